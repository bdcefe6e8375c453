"""How the threads of torch wait for each other: asleep, so that a busy machine slows learning down in proportion."""

import os

_VARIABLE = "OMP_WAIT_POLICY"  # of OpenMP 3.0; read once, when torch is imported


def wait_asleep() -> None:
    """Let threads of torch sleep while they wait, for programs of ours; call it before torch is imported.

    By default they spin, so that two threads on two cores become several times slower as soon as another process wants
    a core. What the environment says already stays.
    """
    os.environ.setdefault(_VARIABLE, "PASSIVE")
