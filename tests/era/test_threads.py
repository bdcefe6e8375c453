"""Threads that wait asleep: set for programs of ours before torch is there, and never against what was chosen."""

import os
import subprocess
import sys

import pytest

from era.threads import wait_asleep

POLICY = "OMP_WAIT_POLICY"


def test_threads_wait_asleep_unless_something_else_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POLICY, "ACTIVE")
    wait_asleep()
    assert os.environ[POLICY] == "ACTIVE"
    monkeypatch.delenv(POLICY)
    wait_asleep()
    assert os.environ[POLICY] == "PASSIVE"


@pytest.mark.parametrize("program", ["era.cli.program:start", "app:main"])
def test_programs_say_so_before_torch_is_imported(program: str) -> None:
    module, function = program.split(":")
    code = f"""
import os, sys
from {module} import {function}
before = "torch" in sys.modules
sys.argv = ["program", "--no-such-option"]
sys.modules["torch"] = None
try:
    {function}()
except SystemExit:
    pass
sys.stdout.write(f"{{before}} {{os.environ.get('{POLICY}')}}")
"""
    environment = {name: value for name, value in os.environ.items() if name != POLICY}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout == "False PASSIVE"
