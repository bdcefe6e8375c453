"""Reading in a process of its own: what it gives is the same, and it ends whatever the file does to it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from annotation.errors import CollectionFileError, InvalidInputError
from annotation.jobs import child_places
from annotation.jobs.child import LOOKING, Bounds, call_apart, never, source_apart
from annotation.jobs.child_places import N_EACH, ReadingPlaces
from annotation.transfer.judgment_files import JudgmentLine, jsonl_text, read_judgments
from annotation.transfer.run_files import RunFile, read_run_file
from era.errors import Cancelled, FormatError, SourceUnreachable
from era.io.checking import Place
from era.io.content import SourceQuery
from era.io.opening import open_source, preview
from era.io.queries import read_queries
from era.types import Query
from storage.records import JudgmentRole
from tests.annotation.readers_to_end import (
    compute_for_ever,
    end_by,
    open_greedy,
    open_stuck,
    print_and_look,
    raise_named,
    take_memory,
    wait_for_ever,
)
from tests.worlds.desk import Desk, wait_until
from tests.worlds.importing import write_folder

REPOSITORY = Path(__file__).parents[2]
LITTLE = Bounds(seconds=60, quiet_s=60, memory_bytes=2**30)


def is_alive(process_id: int) -> bool:
    with suppress(OSError):
        os.kill(process_id, 0)
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def process_noted(file: Path) -> int:
    return int(wait_until(lambda: file.read_text() if file.exists() else "", bool))


def test_what_is_read_apart_is_what_is_read_here(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets")
    assert call_apart("pets", LOOKING, never, preview, folder) == preview(folder)
    here = open_source(folder)
    with source_apart("pets", LOOKING, never, open_source, folder) as source:
        expected = list(here.documents())
        assert next(source.documents()) == expected[0]  # left in the middle
        assert list(source.documents()) == expected
        assert list(source.documents()) == expected
        assert source.queries() == here.queries()
        assert source.qrels() == here.qrels()
        names = ("name", "format", "remarks", "n_bytes", "n_bytes_read", "n_documents", "file_at")
        assert [getattr(source, each) for each in names] == [getattr(here, each) for each in names]


def test_queries_judgments_and_rankings_cross_as_they_are(tmp_path: Path) -> None:
    content = "id,query\n,wo ist es?\n7,\u00e9t\u00e9\n".encode()
    (tmp_path / "x").write_bytes(content)
    found = call_apart("x.csv", LOOKING, never, read_queries, tmp_path / "x", "x.csv")
    assert found == read_queries(tmp_path / "x", "x.csv")
    assert found.queries[1] == (Place("x.csv", 3), SourceQuery(Query("7", "\u00e9t\u00e9")))
    when = datetime(2026, 5, 3, 12, 30, tzinfo=UTC)
    lines = [
        JudgmentLine("q", "cat", "", "", "d1", 2.0, False, "😀", "ann", JudgmentRole.JUDGE, when, 1.5, 3),
        JudgmentLine("q", "cat", "", "", "d2", None, True, None, "ben", JudgmentRole.ADJUDICATOR, when),
    ]
    (tmp_path / "x.jsonl").write_text(jsonl_text(lines, with_people=True, with_notes=True))
    here = read_judgments(tmp_path / "x.jsonl", "x.jsonl")
    assert here.lines[0] == lines[0]
    assert call_apart("x", LOOKING, never, read_judgments, tmp_path / "x.jsonl", "x.jsonl") == here
    (tmp_path / "x.run").write_text("q Q0 d1 1 2.5 mine\nq Q0 d2 2 1 mine\n")
    run = RunFile({"q": [("d1", 2.5), ("d2", 1.0)]}, is_in_sample=False, remarks=())
    assert call_apart("x.run", LOOKING, never, read_run_file, tmp_path / "x.run", "x.run") == run


def test_errors_cross_with_their_place_and_others_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FormatError) as caught:
        call_apart("x", LOOKING, never, raise_named, "format")
    error = caught.value
    assert (str(error), error.file, error.line, error.column) == (
        'x.csv, row 3, column "text": is wrong.', "x.csv", 3, "text",
    )  # fmt: skip
    for name, kind, said in (
        ("ours", CollectionFileError, "x.csv, line 3: is wrong."),
        ("value", ValueError, "expected another"),
        ("decode", RuntimeError, "UnicodeDecodeError: "),
        ("own", RuntimeError, "OwnError: is wrong"),
    ):
        with pytest.raises(kind) as other:
            call_apart("x", LOOKING, never, raise_named, name)
        assert str(other.value).startswith(said)
    assert "in raise_named" in capfd.readouterr().err  # where it came from, for the terminal


def test_the_reader_holds_nothing_of_the_app_and_leaves_nothing(desk: Desk, tmp_path: Path) -> None:
    with desk.workspace.reading():
        found = call_apart("pets", LOOKING, never, print_and_look, write_folder(tmp_path / "pets"))
    heavy = ("torch", "gradio", "sqlalchemy", "faiss", "transformers", "annotation.workspace")
    assert not set(heavy) & set(found)
    assert "era.io.opening" in found
    assert not [each for each in found if str(desk.workspace.folder) in each]  # neither the database nor the lock
    [scratch] = [each.removeprefix("scratch:") for each in found if each.startswith("scratch:")]
    assert not Path(scratch).exists()


@pytest.mark.parametrize("read", [wait_for_ever, compute_for_ever])
def test_reading_that_is_over_ends_at_once(tmp_path: Path, read: Callable[[Path], str]) -> None:
    noted = tmp_path / "process"
    with pytest.raises(Cancelled):
        call_apart("x.csv", LITTLE, noted.exists, read, noted)
    assert not is_alive(process_noted(noted))


@pytest.mark.parametrize("read", [wait_for_ever, compute_for_ever])
def test_reading_that_takes_too_long_ends_in_words(tmp_path: Path, read: Callable[[Path], str]) -> None:
    noted = tmp_path / "process"
    with pytest.raises(FormatError, match=r"x\.csv: could not be read in 3 seconds\. Split it, or save it as CSV\."):
        call_apart("x.csv", Bounds(3, 60, 2**30), never, read, noted)
    assert not is_alive(process_noted(noted))


def test_source_of_which_nothing_more_is_read_ends_in_words_that_name_its_file(tmp_path: Path) -> None:
    with (
        pytest.raises(FormatError, match=r"x\.zip, inner\.csv: nothing more of it could be read for 2 seconds\."),
        source_apart("x.zip", Bounds(600, 2, 2**30), never, open_stuck, tmp_path) as source,
    ):
        list(source.documents())
    assert source.n_bytes_read == 10


def test_reading_that_takes_too_much_memory_ends_in_words(tmp_path: Path) -> None:
    said = r"takes more memory to read than 1\.1 GB\. Split it into several files\."
    with pytest.raises(FormatError, match=rf"x\.csv: {said}"):
        call_apart("x.csv", LITTLE, never, take_memory, tmp_path)
    with (
        pytest.raises(FormatError, match=rf"x\.csv, inner\.csv: {said}"),
        source_apart("x.csv", LITTLE, never, open_greedy, tmp_path) as source,
    ):
        list(source.documents())
    with pytest.raises(FormatError, match=rf"x\.csv: {said}"):  # what some libraries do
        call_apart("x.csv", LITTLE, never, end_by, int(signal.SIGABRT))


def test_a_reader_that_dies_of_something_else_may_be_tried_again() -> None:
    with pytest.raises(SourceUnreachable, match=r"x\.csv: reading it broke off \(-11\)\. Try again"):
        call_apart("x.csv", LITTLE, never, end_by, int(signal.SIGSEGV))
    with pytest.raises(SourceUnreachable, match=r"x\.csv: the system ended reading it, mostly for want of memory\."):
        call_apart("x.csv", LITTLE, never, end_by, int(signal.SIGKILL))


@pytest.mark.parametrize("read", ["wait_for_ever", "compute_for_ever"])
def test_reader_ends_when_the_app_is_killed(tmp_path: Path, read: str) -> None:
    noted = tmp_path / "process"
    program = (
        "import sys; from pathlib import Path; from annotation.jobs.child import Bounds, call_apart, never; "
        f"from tests.annotation.readers_to_end import {read}; "
        f"call_apart('x', Bounds(1000, 2, 2**30), never, {read}, Path(sys.argv[1]))"
    )
    app = subprocess.Popen([sys.executable, "-c", program, str(noted)], cwd=REPOSITORY)
    reader = process_noted(noted)
    assert is_alive(reader)
    app.kill()
    app.wait()
    wait_until(lambda: is_alive(reader), lambda is_there: not is_there)


def test_reader_ends_with_the_app_and_leaves_no_files(tmp_path: Path) -> None:
    noted = tmp_path / "process"
    program = (
        "import sys, threading; from pathlib import Path; noted = Path(sys.argv[1]); "
        "from annotation.jobs.child import LOOKING, call_apart, never; "
        "from tests.annotation.readers_to_end import compute_for_ever; "
        "about = 'x', LOOKING, never, compute_for_ever, noted; "
        "threading.Thread(target=call_apart, args=about, daemon=True).start()\n"
        "while not (noted.exists() and noted.read_text()): pass"
    )
    command, environment = [sys.executable, "-c", program, str(noted)], {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True)
    assert not is_alive(int(noted.read_text()))
    assert [each.name for each in tmp_path.iterdir()] == ["process"]


@pytest.fixture
def places() -> ReadingPlaces:
    return ReadingPlaces()


class Stuck:
    """A file of somebody that is read without end, in a thread of its own."""

    def __init__(self, places: ReadingPlaces, author: str | None, noted: Path, reading: str = "") -> None:
        self.error: Exception | None = None
        self._about: tuple[Any, ...] = (author, reading, "stuck.csv", compute_for_ever, noted)
        self._places = places
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._places.call(*self._about)
        except Exception as error:  # noqa: BLE001 - it is looked at in the test
            self.error = error

    def ended(self) -> Exception | None:
        self._thread.join()
        return self.error


@pytest.mark.parametrize("author", ["ann", None])
def test_eight_files_that_never_end_leave_places_for_everybody_else(
    places: ReadingPlaces, tmp_path: Path, author: str | None
) -> None:
    stuck = [Stuck(places, author, tmp_path / str(number), f"page {number}") for number in range(8)]
    wait_until(lambda: sum(each.error is not None for each in stuck), lambda n: n == 8 - N_EACH)
    folder = write_folder(tmp_path / "pets")
    assert places.call("ben", "", "pets", preview, folder).name == "pets"
    with places.source("ben", "", "pets", open_source, folder) as source:
        assert places.call("ben", "", "pets", preview, folder).n_qrels == 3
        assert len(list(source.documents())) == 3
    with pytest.raises(InvalidInputError, match="Your other file is still being read"):
        places.call(author, "", "pets", preview, folder)
    for number in range(8):
        places.end(author, f"page {number}")
    said = sorted(type(each.ended()).__name__ for each in stuck)
    assert said == ["Cancelled"] * N_EACH + ["InvalidInputError"] * (8 - N_EACH)
    assert places.call(author, "", "pets", preview, folder).name == "pets"


def test_a_later_look_at_the_same_file_ends_the_former(places: ReadingPlaces, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets")
    for number in range(N_EACH + 1):
        stuck = Stuck(places, "ann", tmp_path / str(number), "page 1")
        process_noted(tmp_path / str(number))
        assert places.call("ann", "page 1", "pets", preview, folder).name == "pets"
        assert isinstance(stuck.ended(), Cancelled)


def test_an_earlier_look_that_comes_late_ends_nothing(places: ReadingPlaces, tmp_path: Path) -> None:
    later = Stuck(places, "ann", tmp_path / "later", "page 1#10")
    process_noted(tmp_path / "later")
    with pytest.raises(Cancelled):
        places.call("ann", "page 1#9", "pets", preview, write_folder(tmp_path / "pets"))
    assert later.error is None
    places.end("ann", "page 1")
    assert isinstance(later.ended(), Cancelled)


def test_who_waits_for_others_is_told_after_a_while(
    places: ReadingPlaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_places, "N_PLACES", 2)
    monkeypatch.setattr(child_places, "_PATIENCE_S", 0.2)
    stuck = [Stuck(places, author, tmp_path / author, author) for author in ("ann", "ben")]
    for author in ("ann", "ben"):
        process_noted(tmp_path / author)
    with pytest.raises(InvalidInputError, match="Files of several other people are being read"):
        places.call("eve", "", "pets", preview, tmp_path)
    monkeypatch.setattr(child_places, "_PATIENCE_S", 60.0)
    threading.Timer(0.2, places.end, ("ann", "ann")).start()
    folder = write_folder(tmp_path / "pets")
    assert places.call("eve", "", "pets", preview, folder).name == "pets"
    places.end("ben", "ben")
    assert [type(each.ended()) for each in stuck] == [Cancelled, Cancelled]
