"""The real app in a process of its own, on a data folder that is there already."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
_PATIENCE_S = 300.0


def password_of(name: str) -> str:
    """Return the password under which `name` signs in."""
    return f"pw-{name}"


@dataclass(frozen=True)
class RunningApp:
    """A running app, where it listens, and where it writes what it has to say."""

    process: subprocess.Popen[bytes]
    url: str
    output: Path

    @classmethod
    def start(cls, folder: Path, names: tuple[str, ...], output: Path) -> "RunningApp":
        """Start `python app.py` for these people and return once they can sign in.

        Raises:
            RuntimeError: if it ends, or does not answer in time.
        """
        people = output.with_name("people.txt")
        people.write_text("".join(f"{name}:{password_of(name)}\n" for name in names), encoding="utf-8")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ERA_", "GRADIO_SERVER"))}
        environment = kept | {
            "ERA_DATA_DIR": str(folder),
            "ERA_PEOPLE": str(people),
            "GRADIO_SERVER_PORT": str(port),
            "HF_HUB_OFFLINE": "1",
        }
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )
        app = cls(process, f"http://127.0.0.1:{port}", output)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(app.url, timeout=5).is_success:
                    return app
            except httpx.HTTPError:
                time.sleep(0.2)
        app.stop()
        raise RuntimeError(f"The app did not start:\n{app.last_words()}")

    def stop(self) -> None:
        """End the process and wait for it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def state(self) -> str:
        """Return whether it still runs, for a message; an end that is under way is waited for."""
        try:
            return f"ended with {self.process.wait(timeout=2)}"
        except subprocess.TimeoutExpired:
            return "still runs"

    def last_words(self) -> str:
        """Return the end of what it has written."""
        return self.output.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")[-3000:]


async def is_quiet(app: RunningApp) -> bool:
    """Return whether the app has done next to nothing for two seconds; True where that cannot be told (not Linux).

    Once it says that it is ready it still reads the stored queries, with all cores.
    """
    status = Path(f"/proc/{app.process.pid}/stat")
    if not status.is_file():
        return True
    ticks = []
    for pause_s in (2.0, 0.0):
        user, system = status.read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
        ticks.append(int(user) + int(system))
        await asyncio.sleep(pause_s)
    return (ticks[1] - ticks[0]) / os.sysconf("SC_CLK_TCK") < 0.5
