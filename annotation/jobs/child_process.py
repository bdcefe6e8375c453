"""The process in which what people bring is read; `annotation.jobs.child` starts it, asks it, and ends it.

It holds neither the database nor the embedders, and imports nothing of the app but what the questions name. Memory and
processor time are limited where the system can do that. It ends by itself when the process that started it is gone.
"""

import contextlib
import gc
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from annotation.jobs.child_messages import arguments_for, error_as_plain, function_named, receive, send
from era.errors import EraError
from era.io.content import Source

_DOCUMENTS_AT_ONCE, _CHARACTERS_AT_ONCE, _SECONDS_AT_ONCE = 500, 1_000_000, 1.0
_PULSE_S = 0.5
_OBJECTS_BETWEEN_COLLECTIONS = 100_000  # tables of JSON are many small lists, none of them garbage
_RESERVED, _RESERVED_A_CORE = 2 * 2**30, 256 * 2**20  # bytes that libraries and their threads never fill
_PROGRESS = ("n_bytes_read", "file_at")
_STATE = ("name", "format", "remarks", "n_bytes", "n_documents", *_PROGRESS)


def main() -> None:
    """Answer questions until there are no more; the arguments are bytes of memory, seconds a step and a folder."""
    memory_bytes, step_s, tempfile.tempdir = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the asking process hears it as well, and ends this
    if hasattr(os, "nice"):
        os.nice(5)  # people's clicks go first
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    _limit_memory(memory_bytes)
    reader = _Reader(answers, step_s)
    threading.Thread(target=reader.pulse, name="pulse", daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            reader.answer(receive(sys.stdin.buffer))
    os._exit(0)  # without waiting for threads of libraries


class _Reader:
    """Answers one question after the other; of a source, one batch of documents is read ahead.

    A question is {"what", "function", "arguments"}: `call` a function, `open` a source by one, or the source's
    `documents` from the beginning, the `next` of them, its `queries` or `qrels`. The answer is {"kind", "value",
    "state"}: `done` with a value, `failed` with an error, `no-memory`, or `pulse` while it is still being worked on.
    """

    def __init__(self, answers: IO[bytes], step_s: int) -> None:
        self._answers = answers
        self._step_s = step_s
        self._lock = threading.Lock()
        self._is_busy = False
        self._source: Source | None = None
        self._batches: Iterator[list[Any]] = iter(())
        self._ahead: dict[str, Any] | None = None

    def answer(self, question: dict[str, Any]) -> None:
        """Answer a question.

        Raises:
            BrokenPipeError: if the asking process is gone.
        """
        _limit_time(self._step_s)
        self._is_busy = True
        found = self._ahead if question["what"] == "next" else None
        self._ahead = None
        found = found or self._tried(lambda: self._value(question))
        with self._lock:
            self._is_busy = False
            send(self._answers, found)
        if question["what"] in ("documents", "next") and found["kind"] == "done":
            self._ahead = self._tried(self._next)

    def pulse(self) -> None:
        """Say that a question is being worked on, and let it go on as long as more is read."""
        before = None
        while True:
            time.sleep(_PULSE_S)
            state = self._state(_PROGRESS)
            if state != before:
                before = state
                _limit_time(self._step_s)
            try:
                with self._lock:
                    if self._is_busy:
                        send(self._answers, {"kind": "pulse", "value": None, "state": state})
            except OSError:
                os._exit(1)

    def _tried(self, action: Callable[[], Any]) -> dict[str, Any]:
        try:
            kind, value = "done", action()
        except MemoryError:
            kind, value = "no-memory", None
        except BaseException as error:  # noqa: BLE001 - whatever it was, it is raised again where it was asked for
            if not isinstance(error, EraError):
                traceback.print_exception(error)
            kind, value = "failed", error_as_plain(error)
        return {"kind": kind, "value": value, "state": self._state()}

    def _value(self, question: dict[str, Any]) -> Any:
        what = question["what"]
        if what in ("call", "open"):
            function = function_named(question["function"])
            value = function(*arguments_for(function, question["arguments"]))
            if what == "call":
                return value
            self._source = value
        elif what == "documents":
            self._batches = _batches(self._opened)
        elif what == "next":
            return self._next()
        else:
            return self._opened.queries() if what == "queries" else self._opened.qrels()
        return None

    def _next(self) -> list[Any] | None:
        return next(self._batches, None)

    @property
    def _opened(self) -> Source:
        if self._source is None:
            raise ValueError("expected a source to be open")
        return self._source

    def _state(self, names: Sequence[str] = _STATE) -> dict[str, Any] | None:
        source = self._source
        return None if source is None else {name: getattr(source, name) for name in names}


def _batches(source: Source) -> Iterator[list[Any]]:
    """Yield the documents some at a time, as id, title, text and metadata: few where they are long, or take long."""
    batch: list[Any] = []
    n_characters, begun = 0, time.monotonic()
    for read in source.documents():
        document = read.document
        batch.append((document.doc_id, document.title, document.text, read.metadata))
        n_characters += len(document.text)
        is_full = len(batch) == _DOCUMENTS_AT_ONCE or n_characters > _CHARACTERS_AT_ONCE
        if is_full or time.monotonic() - begun > _SECONDS_AT_ONCE:
            yield batch
            batch, n_characters, begun = [], 0, time.monotonic()
    if batch:
        yield batch


def _limit_memory(n_bytes: int) -> None:
    """Let the system refuse what is far too much at once; `annotation.jobs.child` watches what is really filled."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    n_addresses = n_bytes + _RESERVED + _RESERVED_A_CORE * (os.cpu_count() or 1)
    for limit, most in ((resource.RLIMIT_AS, n_addresses), (resource.RLIMIT_CORE, 0)):
        _, highest = resource.getrlimit(limit)
        with contextlib.suppress(ValueError, OSError):  # a lower limit holds already, or the system has none
            resource.setrlimit(limit, (most, highest))


def _limit_time(seconds: int) -> None:
    """Let the system end this process after so many more seconds of computing, however deep in a library it is."""
    try:
        import resource
    except ImportError:
        return
    _, highest = resource.getrlimit(resource.RLIMIT_CPU)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds, highest))
