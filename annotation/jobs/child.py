"""Read what people bring in a process of its own, which can be ended: at any time, and with all it holds.

No file can keep a thread of the app, or its memory: one that takes too long or too much is refused in words, and
whatever was begun with it goes. Nothing here knows a format; what reads is a function of the caller's choice, which is
imported there anew. It has to be quick to import, so it must not lead to the database, the embedders or the screens.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, ParamSpec, TypeVar

from annotation.jobs.child_messages import error_made, made, name_of, receive, returned_by, send
from era.errors import Cancelled, FormatError, SourceUnreachable
from era.io.content import Source, SourceDocument, SourceQuery
from era.io.limits import size_in_words
from era.types import Document

Parameters = ParamSpec("Parameters")
ValueT = TypeVar("ValueT")

_PROGRAM = "from annotation.jobs.child_process import main; main()"
_HOME = Path(__file__).parents[2]
_LOOK_EVERY_S = 0.2
_HAND_OVER_S = 0.1  # between two looks at whether what was read ahead is wanted
_ENDED = "Reading was ended before it was done."


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much reading may take.

    Attributes:
        seconds: for all of it, while somebody waits; infinite for what runs in the background.
        quiet_s: without anything more being read.
        memory_bytes: of the process; where the system does not tell how much that is, it has no such bound.
    """

    seconds: float
    quiet_s: float
    memory_bytes: int


LOOKING = Bounds(seconds=300, quiet_s=300, memory_bytes=2 * 2**30)
"""For a file of which the beginning is shown, or which is small."""

COUNTING = Bounds(seconds=1800, quiet_s=300, memory_bytes=4 * 2**30)
"""For all documents, while somebody waits."""

IMPORTING = Bounds(seconds=float("inf"), quiet_s=600, memory_bytes=8 * 2**30)
"""For all documents, in the background: ten million take three gigabytes, mostly for their ids."""


def never() -> bool:
    """Return that it need not end."""
    return False


def call_apart(
    file: str,
    bounds: Bounds,
    is_over: Callable[[], bool],
    function: Callable[Parameters, ValueT],
    *arguments: Parameters.args,
    **named: Parameters.kwargs,
) -> ValueT:
    """Return what a function returns in a process of its own; what it raises is raised here.

    Args:
        file: what a person calls what is read; names it in messages.
        bounds: beyond which it is ended.
        is_over: asked a few times a second, in another thread; once it is true, the process is ended.
        function: of a module that is quick to import.
        arguments: for the function.
        named: none; for the type checker only.

    Raises:
        Cancelled: if it was over before it was done.
        FormatError: if it takes more than it may.
        SourceUnreachable: if the process died for another reason.
    """
    process = _Process(file, bounds, is_over)
    try:
        value: ValueT = returned_by(function, process.ask("call", function, arguments))
        return value
    finally:
        process.close()


@contextmanager
def source_apart(
    file: str,
    bounds: Bounds,
    is_over: Callable[[], bool],
    opener: Callable[Parameters, Source],
    *arguments: Parameters.args,
    **named: Parameters.kwargs,
) -> Iterator[Source]:
    """Open a source in a process of its own, which ends with this; arguments and errors are those of `call_apart`.

    Whatever is asked of the source may raise these errors as well, wherever it is asked.
    """
    process = _Process(file, bounds, is_over)
    try:
        process.ask("open", opener, arguments)
        yield _SourceApart(process)
    finally:
        process.close()


@dataclass(frozen=True, slots=True)
class _State:
    """What is known of a source at the moment, as `era.io.content.Source` says."""

    name: str
    format: str
    remarks: list[str]
    n_bytes: int
    n_bytes_read: int
    n_documents: int | None
    file_at: str


class _SourceApart:
    """A source that another process reads."""

    def __init__(self, process: "_Process") -> None:
        self._process = process

    @property
    def name(self) -> str:
        return self._process.state.name

    @property
    def format(self) -> str:
        return self._process.state.format

    @property
    def remarks(self) -> list[str]:
        return self._process.state.remarks

    @property
    def n_bytes(self) -> int:
        return self._process.state.n_bytes

    @property
    def n_bytes_read(self) -> int:
        return self._process.state.n_bytes_read

    @property
    def n_documents(self) -> int | None:
        return self._process.state.n_documents

    @property
    def file_at(self) -> str:
        return self._process.state.file_at

    def documents(self) -> Iterator[SourceDocument]:
        self._process.ask("documents")
        while (batch := self._process.ask("next")) is not None:
            for doc_id, title, text, metadata in batch:
                yield SourceDocument(Document(doc_id, title, text), metadata)

    def queries(self) -> list[SourceQuery]:
        found: list[SourceQuery] = made(list[SourceQuery], self._process.ask("queries"))
        return found

    def qrels(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = self._process.ask("qrels")
        return found


class _Process:
    """A process that reads, and the thread that watches over it."""

    def __init__(self, file: str, bounds: Bounds, is_over: Callable[[], bool]) -> None:
        self.state = _State(file, "", [], 0, 0, None, "")
        self._file = file
        self._bounds = bounds
        self._is_over = is_over
        self._reason: Exception | None = None  # why it was ended from here
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._begun = self._changed = time.monotonic()
        self._is_waiting = False
        scratch = tempfile.mkdtemp(prefix="era-reading-")
        command = [sys.executable, "-c", _PROGRAM, str(bounds.memory_bytes), str(int(bounds.quiet_s)), scratch]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_HOME)
        except OSError:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        self._end = weakref.finalize(self, _end, self._process, scratch)  # at the latest when the app ends
        threading.Thread(target=self._watch, name="watching a reader", daemon=True).start()

    def ask(self, what: str, function: Callable[..., Any] | None = None, arguments: Sequence[Any] = ()) -> Any:
        """Return the answer to a question, as `annotation.jobs.child_process` says."""
        with self._lock:
            self._changed, self._is_waiting = time.monotonic(), True
            try:
                answer = self._exchange(what, function, arguments)
            except (EOFError, OSError) as error:
                self._process.wait()
                raise self._reason or self._own_end() from error
            finally:
                self._is_waiting = False
        if answer["kind"] == "failed":
            raise error_made(answer["value"])
        if answer["kind"] == "no-memory":
            raise self._too_much_memory()
        return answer["value"]

    def close(self) -> None:
        """End the process, if it is not over, and remove what it unpacked."""
        self._is_closed.set()
        self._end()

    def _exchange(self, what: str, function: Callable[..., Any] | None, arguments: Sequence[Any]) -> dict[str, Any]:
        if self._process.stdin is None or self._process.stdout is None:
            raise EOFError("the process has no pipes")
        name = "" if function is None else name_of(function)
        send(self._process.stdin, {"what": what, "function": name, "arguments": arguments})
        while True:
            answer = receive(self._process.stdout)
            if answer["state"] is not None:
                state = replace(self.state, **answer["state"])
                if (state.n_bytes_read, state.file_at) != (self.state.n_bytes_read, self.state.file_at):
                    self._changed = time.monotonic()
                self.state = state
            if answer["kind"] != "pulse":
                return answer

    def _watch(self) -> None:
        while not self._is_closed.wait(_LOOK_EVERY_S):
            if (reason := self._why_end()) is not None:
                self._reason = reason
                self._process.kill()
                return

    def _why_end(self) -> Exception | None:
        now = time.monotonic()
        if self._is_over():
            return Cancelled(_ENDED)
        if now - self._begun > self._bounds.seconds:
            return self._error(f"could not be read in {_in_words(self._bounds.seconds)}. Split it, or save it as CSV.")
        if _memory_of(self._process.pid) > self._bounds.memory_bytes:
            return self._too_much_memory()
        if self._is_waiting and now - self._changed > self._bounds.quiet_s:
            return self._stuck()
        return None

    def _own_end(self) -> FormatError:
        """Return why the process ended by itself, or by the hand of the system."""
        by_signal = -self._process.returncode
        if by_signal == signal.SIGABRT:  # how some libraries give up that get no memory
            return self._too_much_memory()
        if by_signal == getattr(signal, "SIGXCPU", None):
            return self._stuck()
        problem = f"reading it broke off ({-by_signal}). Try again; if that does not help, save it again, or as CSV."
        if by_signal == getattr(signal, "SIGKILL", None):
            problem = "the system ended reading it, mostly for want of memory. Close other programs, then try again."
        return self._error(problem, SourceUnreachable)

    def _stuck(self) -> FormatError:
        how_long = _in_words(self._bounds.quiet_s)
        return self._error(f"nothing more of it could be read for {how_long}. Save it again, or leave it out.")

    def _too_much_memory(self) -> FormatError:
        most = size_in_words(self._bounds.memory_bytes)
        return self._error(f"takes more memory to read than {most}. Split it into several files.")

    def _error(self, problem: str, kind: type[FormatError] = FormatError) -> FormatError:
        inner = self.state.file_at
        return kind(problem, self._file if inner in ("", self._file) else f"{self._file}, {inner}")


def _end(process: "subprocess.Popen[bytes]", scratch: str) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # the other end is gone
                stream.close()
    shutil.rmtree(scratch, ignore_errors=True)


def _memory_of(process_id: int) -> int:
    """Return the bytes of memory that a process fills; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


ItemT = TypeVar("ItemT")


class _End:
    """Stands for the end of the items, and for what ended them."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(items: Iterator[ItemT], n: int = 2) -> Generator[ItemT, None, None]:
    """Yield the items, up to `n` of which another thread has ready; what is raised there is raised here.

    Where the caller stops early, the thread ends before this generator does, and `items` is closed.
    """
    ready: Queue[ItemT | _End] = Queue(maxsize=n)
    is_over = threading.Event()
    reader = threading.Thread(target=_read, args=(items, ready, is_over), name="reading-ahead", daemon=True)
    reader.start()
    try:
        while True:
            try:
                item = ready.get(timeout=_HAND_OVER_S)
            except Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        is_over.set()
        reader.join()


def _read(items: Iterator[ItemT], ready: "Queue[ItemT | _End]", is_over: threading.Event) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            if not _put(item, ready, is_over):
                break
    except BaseException as caught:  # noqa: BLE001 - it is raised again where the items are used
        error = caught
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
        _put(_End(error), ready, is_over)


def _put(item: "ItemT | _End", ready: "Queue[ItemT | _End]", is_over: threading.Event) -> bool:
    """Return whether the item was taken; False once no more are wanted."""
    while not is_over.is_set():
        try:
            ready.put(item, timeout=_HAND_OVER_S)
        except Full:
            continue
        return True
    return False
