"""Apps that start within a second: `python -m tests.ui.forks` imports all that an app does; each app is a fork of it.

Importing takes a dozen seconds of processor time, which is the same for every app of a run. What a fork runs is
`app.py`, as `python app.py` would; tests of how it starts, and of what is read while modules are imported, start that.
"""

import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]


class ForkedApp:
    """An app, as `subprocess.Popen` would have it; another process waits for it, so how it exited is not known."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return None while it runs."""
        return 0 if select.select([self._handle], [], [], 0)[0] else None

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def wait(self) -> None:
        """Return once it is over."""
        select.select([self._handle], [], [])


class Forks:
    """The process that apps are forks of; it ends with this one."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ERA_", "GRADIO_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.forks"],
            cwd=ROOT,
            env=environment | {"HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, arguments: Sequence[str], variables: Mapping[str, str], output: Path) -> ForkedApp:
        """Start an app with these arguments and environment variables and let it write to the file `output`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        output.touch()  # so that it can be read before the app writes to it
        wanted = {"arguments": list(arguments), "variables": dict(variables), "output": str(output)}
        print(json.dumps(wanted), file=self._process.stdin, flush=True)
        return ForkedApp(int(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process; no app ends with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Fork an app for each line of standard input, and answer with its process id."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _import_everything()
    threads = [thread.name for thread in threading.enumerate()]
    assert len(threads) == 1, f"what threads hold would be held for ever in a fork: {threads}"
    gc.freeze()  # what is never looked at is never copied
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # apps that are over are forgotten at once
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            answers.close()
            _become(**json.loads(line))
        print(pid, file=answers, flush=True)


def _import_everything() -> None:
    import tqdm

    tqdm.tqdm.monitor_interval = 0  # a thread of its own

    from annotation.collections import imports, preparation  # noqa: F401
    from annotation.comparing import strong  # noqa: F401
    from annotation.training import jobs  # noqa: F401
    from annotation.ui.app import build_ui  # noqa: F401
    from annotation.ui.server import api, damage_page, serving  # noqa: F401
    from era.encoders.loading import load_pair
    from era.encoders.spec import BUNDLED

    load_pair(BUNDLED, "cpu", None)


def _become(arguments: Sequence[str], variables: Mapping[str, str], output: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (stream, 1), (stream, 2)):
        os.dup2(source, target)
    os.environ.update(variables)
    sys.argv = ["app.py", *arguments]
    runpy.run_path(str(ROOT / "app.py"), run_name="__main__")


if __name__ == "__main__":
    main()
