"""Files that were sent: taken over whole, only from where the server puts them, only for who sent them."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from annotation.collections.uploads import DOWNLOADS, SentFile, UploadLimits, Uploads
from annotation.collections.uploads import KEPT_S as LOTS_KEPT_S
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.settings import Settings
from annotation.transfer.files import ExportFile
from annotation.ui.downloads import KEPT_S, MOST_EACH, Downloads

Receive = Callable[..., Path]
LIMITS = UploadLimits(file_bytes=100, bytes_each=1000, files_each=50)


class Clock:
    """Seconds that pass when they are told to, from now on."""

    def __init__(self) -> None:
        self.now_s = time.time()

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """Return the folder where the server puts what it receives."""
    return tmp_path / "received"


@pytest.fixture
def uploads(tmp_path: Path, received: Path, clock: Clock) -> Uploads:
    return Uploads(tmp_path / "uploads", received, LIMITS, clock)


@pytest.fixture
def receive(uploads: Uploads, received: Path) -> Receive:
    """Return what puts a file where the server would, and tells who sent it."""

    def put(name: str, text: str, author: str = "ann") -> Path:
        path = received / hashlib.sha256(text.encode()).hexdigest() / name
        with uploads.receiving(author, len(text)) as arrived:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            arrived([path])
        return path

    return put


def contents(path: Path) -> dict[str, str]:
    """Return place -> text of every file of a folder."""
    return {each.relative_to(path).as_posix(): each.read_text() for each in path.rglob("*") if each.is_file()}


def test_one_file_keeps_its_name_and_is_taken_over(uploads: Uploads, receive: Receive) -> None:
    sent = receive("rivers.csv", "id,text\n")
    path = uploads.path("ann", uploads.keep("ann", [SentFile(str(sent), "rivers.csv")]))
    assert (path.name, path.read_text()) == ("rivers.csv", "id,text\n")
    assert not sent.exists()


def test_folder_keeps_its_name_and_its_parts(uploads: Uploads, receive: Receive) -> None:
    files = {"nile/corpus.jsonl": "a", "nile/qrels/test.tsv": "b", "nile/qrels/dev.tsv": "b"}
    sent = [SentFile(str(receive(Path(name).name, text)), name) for name, text in files.items()]
    path = uploads.path("ann", uploads.keep("ann", sent))
    assert path.name == "nile"
    assert contents(path) == {"corpus.jsonl": "a", "qrels/test.tsv": "b", "qrels/dev.tsv": "b"}


def test_one_file_may_be_sent_under_two_names(uploads: Uploads, receive: Receive) -> None:
    sent = str(receive("same.txt", "the same"))
    path = uploads.path(
        "ann", uploads.keep("ann", [SentFile(sent, "top/one/same.txt"), SentFile(sent, "top/same.txt")])
    )
    assert contents(path) == {"one/same.txt": "the same", "same.txt": "the same"}


def test_loose_files_come_into_one_folder_with_names_that_any_disk_takes(uploads: Uploads, receive: Receive) -> None:
    sent = [
        SentFile(str(receive("x.txt", "x")), 'wh"at?.txt'),
        SentFile(str(receive("y", "y")), "y"),
    ]
    assert contents(uploads.path("ann", uploads.keep("ann", sent))) == {"wh_at_.txt": "x", "y": "y"}


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/etc/passwd", "a//b", "a/", ". .", "x" * 201, "a/" * 12 + "b"])
def test_names_that_lead_elsewhere_are_refused(uploads: Uploads, receive: Receive, tmp_path: Path, name: str) -> None:
    sent = receive("a.txt", "a")
    with pytest.raises(InvalidInputError, match="cannot be used"):
        uploads.keep("ann", [SentFile(str(sent), name)])
    assert sent.exists()
    assert not (tmp_path / "uploads").exists()


def test_nothing_but_what_the_server_received_is_taken(
    uploads: Uploads, receive: Receive, received: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    bens = receive("b.txt", "ben's", author="ben")
    folder = received / ("a" * 64)
    folder.mkdir()
    (folder / "link.txt").symlink_to(secret)
    (received / "other").mkdir()
    (received / "other" / "cached.txt").write_text("not received")
    (received / "loose.txt").write_text("neither")
    refused = [
        str(bens),
        str(secret),
        str(folder / "link.txt"),
        str(folder),
        str(received / "other" / "cached.txt"),
        str(received / "loose.txt"),
        f"{received}/../received/{'a' * 64}/../../secret.txt",
        f"{received}/{'a' * 64}/../../secret.txt",
        str(folder / "missing.txt"),
        "secret.txt",
        "",
        "\x00",
        "a" * 5000,
    ]
    for path in refused:
        with pytest.raises(InvalidInputError, match="has not arrived"):
            uploads.keep("ann", [SentFile(path, "a.txt")])
        uploads.discard("ann", [SentFile(path, "a.txt")])
    assert (secret.read_text(), bens.read_text()) == ("secret", "ben's")
    assert not (tmp_path / "uploads").exists()


def test_two_files_of_one_name_are_refused_and_leave_nothing(
    uploads: Uploads, receive: Receive, tmp_path: Path
) -> None:
    one, two = receive("a.txt", "one"), receive("a.txt", "two")
    with pytest.raises(InvalidInputError, match=r"Two of the files are called a\.txt"):
        uploads.keep("ann", [SentFile(str(one), "a.txt"), SentFile(str(two), "a.txt")])
    assert one.exists()
    assert not (tmp_path / "uploads").exists()


def test_only_who_sent_files_gets_at_them(uploads: Uploads, receive: Receive, tmp_path: Path) -> None:
    token = uploads.keep("ann", [SentFile(str(receive("a.txt", "a")), "a.txt")])
    for author in ("ben", None):
        with pytest.raises(NotFoundError, match="not there any more"):
            uploads.path(author, token)
        uploads.forget(author, token)
    assert uploads.path("ann", token).is_file()
    uploads.forget("ann", token)
    with pytest.raises(NotFoundError):
        uploads.path("ann", token)
    assert contents(tmp_path / "uploads") == {}
    with pytest.raises(NotAllowedError, match="Sign in"):
        uploads.keep(None, [SentFile(str(receive("a.txt", "a")), "a.txt")])
    with pytest.raises(InvalidInputError, match="Choose between 1 and"):
        uploads.keep("ann", [])


def test_what_was_lent_may_be_taken_away_and_the_lot_stays(uploads: Uploads, receive: Receive, tmp_path: Path) -> None:
    sent = [SentFile(str(receive(name, name)), f"top/{name}") for name in ("a.txt", "b.txt")]
    folder = uploads.keep("ann", sent)
    file = uploads.keep("ann", [SentFile(str(receive("c.txt", "c")), "c.txt")])
    with uploads.lend("ann", folder) as lent, uploads.lend("ann", file) as other:
        assert (lent.name, contents(lent)) == ("top", {"a.txt": "a.txt", "b.txt": "b.txt"})
        lent.rename(tmp_path / "taken")
        other.unlink()
    assert contents(uploads.path("ann", folder)) == contents(tmp_path / "taken")
    assert uploads.path("ann", file).read_text() == "c"
    assert len(contents(tmp_path / "uploads")) == 3
    with pytest.raises(NotFoundError), uploads.lend("ben", file):
        pass


def test_the_oldest_lot_of_a_person_goes_and_so_does_what_an_earlier_process_left(
    uploads: Uploads, receive: Receive, tmp_path: Path
) -> None:
    bens = uploads.keep("ben", [SentFile(str(receive("b.txt", "ben", author="ben")), "b.txt")])
    tokens = [uploads.keep("ann", [SentFile(str(receive("a.txt", f"text {i}")), "a.txt")]) for i in range(5)]
    with pytest.raises(NotFoundError):
        uploads.path("ann", tokens[0])
    assert [uploads.path("ann", token).read_text() for token in tokens[1:]] == [f"text {i}" for i in range(1, 5)]
    assert uploads.path("ben", bens).read_text() == "ben"
    assert len(contents(tmp_path / "uploads")) == 5
    left = receive("a.txt", "never looked at")
    Uploads(tmp_path / "uploads", tmp_path / "received", LIMITS)
    assert not (tmp_path / "uploads").exists()
    assert not left.exists()


def test_what_one_person_sends_is_counted_and_the_oldest_lots_make_way(uploads: Uploads, receive: Receive) -> None:
    tokens = [uploads.keep("ann", [SentFile(str(receive("a.txt", str(n) * 300)), "a.txt")]) for n in range(3)]
    loose = receive("b.txt", "b" * 300)  # 1,200 bytes: the oldest lot made way
    with pytest.raises(NotFoundError):
        uploads.path("ann", tokens[0])
    assert all(uploads.path("ann", token).is_file() for token in tokens[1:])
    assert loose.is_file()
    with pytest.raises(InvalidInputError, match="One person may send 1e-06 GB in 50 files at a time"):
        receive("c.txt", "c" * 701)  # what is not in a lot yet may be part of what is being sent
    assert all(uploads.path("ann", token).is_file() for token in tokens[1:])
    receive("c.txt", "c" * 700)
    for token in tokens[1:]:
        with pytest.raises(NotFoundError):
            uploads.path("ann", token)
    assert receive("d.txt", "d" * 1000, author="ben").is_file()  # who has a share of his own


def test_what_is_on_the_way_counts_and_what_does_not_arrive_no_more(uploads: Uploads, receive: Receive) -> None:
    with uploads.receiving("ann", 600), pytest.raises(InvalidInputError, match="Send less at once"):
        receive("a.txt", "a" * 401)
    with pytest.raises(ValueError, match="broken off"), uploads.receiving("ann", 1000):
        raise ValueError("broken off")
    assert receive("a.txt", "a" * 1000).is_file()


def test_many_small_files_are_counted_too(uploads: Uploads, receive: Receive) -> None:
    for n in range(50):
        receive(f"{n}.txt", "")
    with pytest.raises(InvalidInputError, match="in 50 files"):
        receive("one more", "")


def test_what_is_given_up_is_removed_unless_somebody_else_sent_the_same(uploads: Uploads, receive: Receive) -> None:
    same, own = receive("a.txt", "the same"), receive("b.txt", "ann's own")
    assert receive("a.txt", "the same", author="ben") == same
    sent = [SentFile(str(same), "a.txt"), SentFile(str(own), "b.txt")]
    uploads.discard("cleo", sent)
    assert same.is_file()
    assert own.is_file()
    uploads.discard("ann", sent)
    assert same.is_file()
    assert not own.exists()
    assert uploads.path("ben", uploads.keep("ben", sent[:1])).read_text() == "the same"
    assert not same.exists()


def test_what_nobody_uses_goes_after_six_hours(
    uploads: Uploads, receive: Receive, received: Path, clock: Clock, tmp_path: Path
) -> None:
    taken = received / DOWNLOADS / "secret" / "model.zip"
    taken.parent.mkdir(parents=True)
    taken.write_text("to take along")
    broken_off = received / "tmp1234"
    broken_off.write_text("half of a fi")
    loose = receive("a.txt", "never looked at")
    lot, used = (uploads.keep("ann", [SentFile(str(receive("a.txt", text)), "a.txt")]) for text in ("one", "two"))
    clock.now_s += 3600
    fresh = receive("b.txt", "later")
    uploads.path("ann", used)
    clock.now_s += LOTS_KEPT_S - 3500
    uploads.sweep()
    assert not loose.parent.exists()
    assert not broken_off.exists()
    with pytest.raises(NotFoundError):
        uploads.path("ann", lot)
    assert uploads.path("ann", used).read_text() == "two"
    assert fresh.is_file()
    assert taken.is_file()
    assert len(contents(tmp_path / "uploads")) == 1
    receive("c.txt", "c" * 990)  # what went is not counted any more


def test_limits_are_stricter_on_a_space() -> None:
    here, there = UploadLimits.of(Settings(space_id=None)), UploadLimits.of(Settings(space_id="ann/era"))
    assert (here.file_bytes, here.bytes_each, here.files_each) == (4 * 2**30, 16 * 2**30, 100_000)
    assert (there.file_bytes, there.bytes_each, there.files_each) == (500_000_000, 1_000_000_000, 20_000)


def test_file_to_take_along_lies_where_nobody_can_guess_for_an_hour(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "out")
    url, n_bytes = downloads.offer("ann", ExportFile("../my judgments?.csv", b"a,b\n", "text/csv"))
    path = Path(url.removeprefix("gradio_api/file=").replace("%20", " "))
    assert (path.name, path.read_bytes(), n_bytes) == ("_my judgments_.csv", b"a,b\n", 4)
    assert path.parent.parent == tmp_path / "out"
    assert len(path.parent.name) == 64
    large = tmp_path / "large.zip"
    large.write_bytes(b"zip")
    again, _ = downloads.offer("ann", ExportFile("large.zip", large, "application/zip"))
    assert again.endswith("/large.zip")
    assert not large.exists()
    then = path.parent.stat().st_mtime - KEPT_S - 1
    os.utime(path.parent, (then, then))
    downloads.sweep()
    assert not path.exists()
    assert Path(again.removeprefix("gradio_api/file=")).exists()


def test_one_person_or_all_visitors_have_only_so_many_files_to_take_along(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "out")

    def offer(author: str | None) -> Path:
        url, _ = downloads.offer(author, ExportFile("a.csv", b"", "text/csv"))
        return Path(url.removeprefix("gradio_api/file="))

    anns = offer("ann")
    visitors = [offer(None) for _ in range(MOST_EACH + 2)]
    assert [path.exists() for path in visitors] == [False] * 2 + [True] * MOST_EACH
    assert anns.exists()
    assert len(list((tmp_path / "out").iterdir())) == MOST_EACH + 1
