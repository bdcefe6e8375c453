"""Files that were sent: taken over whole, only from where the server puts them, only for who sent them."""

import hashlib
import os
from pathlib import Path

import pytest

from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.exporting.files import ExportFile
from annotation.ui.downloads import KEPT_S, Downloads
from annotation.uploads import SentFile, Uploads


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """Return the folder where the server puts what it receives."""
    folder = tmp_path / "received"
    folder.mkdir()
    return folder


@pytest.fixture
def uploads(tmp_path: Path, received: Path) -> Uploads:
    return Uploads(tmp_path / "uploads", received)


def receive(received: Path, name: str, text: str) -> Path:
    """Put a file where the server would."""
    path = received / hashlib.sha256(text.encode()).hexdigest() / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def contents(path: Path) -> dict[str, str]:
    """Return place -> text of every file of a folder."""
    return {each.relative_to(path).as_posix(): each.read_text() for each in path.rglob("*") if each.is_file()}


def test_one_file_keeps_its_name_and_is_taken_over(uploads: Uploads, received: Path) -> None:
    sent = receive(received, "rivers.csv", "id,text\n")
    path = uploads.path("ann", uploads.keep("ann", [SentFile(str(sent), "rivers.csv")]))
    assert (path.name, path.read_text()) == ("rivers.csv", "id,text\n")
    assert not sent.exists()


def test_folder_keeps_its_name_and_its_parts(uploads: Uploads, received: Path) -> None:
    files = {"nile/corpus.jsonl": "a", "nile/qrels/test.tsv": "b", "nile/qrels/dev.tsv": "b"}
    sent = [SentFile(str(receive(received, Path(name).name, text)), name) for name, text in files.items()]
    path = uploads.path("ann", uploads.keep("ann", sent))
    assert path.name == "nile"
    assert contents(path) == {"corpus.jsonl": "a", "qrels/test.tsv": "b", "qrels/dev.tsv": "b"}


def test_one_file_may_be_sent_under_two_names(uploads: Uploads, received: Path) -> None:
    sent = str(receive(received, "same.txt", "the same"))
    path = uploads.path(
        "ann", uploads.keep("ann", [SentFile(sent, "top/one/same.txt"), SentFile(sent, "top/same.txt")])
    )
    assert contents(path) == {"one/same.txt": "the same", "same.txt": "the same"}


def test_loose_files_come_into_one_folder_with_names_that_any_disk_takes(uploads: Uploads, received: Path) -> None:
    sent = [
        SentFile(str(receive(received, "x.txt", "x")), 'wh"at?.txt'),
        SentFile(str(receive(received, "y", "y")), "y"),
    ]
    assert contents(uploads.path("ann", uploads.keep("ann", sent))) == {"wh_at_.txt": "x", "y": "y"}


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/etc/passwd", "a//b", "a/", ". .", "x" * 201, "a/" * 12 + "b"])
def test_names_that_lead_elsewhere_are_refused(uploads: Uploads, received: Path, tmp_path: Path, name: str) -> None:
    sent = receive(received, "a.txt", "a")
    with pytest.raises(InvalidInputError, match="cannot be used"):
        uploads.keep("ann", [SentFile(str(sent), name)])
    assert sent.exists()
    assert not (tmp_path / "uploads").exists()


def test_nothing_but_what_the_server_received_is_taken(uploads: Uploads, received: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = received / ("a" * 64)
    folder.mkdir()
    (folder / "link.txt").symlink_to(secret)
    (received / "other").mkdir()
    (received / "other" / "cached.txt").write_text("not received")
    (received / "loose.txt").write_text("neither")
    refused = [
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
    assert secret.read_text() == "secret"
    assert not (tmp_path / "uploads").exists()


def test_two_files_of_one_name_are_refused_and_leave_nothing(uploads: Uploads, received: Path, tmp_path: Path) -> None:
    one, two = receive(received, "a.txt", "one"), receive(received, "a.txt", "two")
    with pytest.raises(InvalidInputError, match=r"Two of the files are called a\.txt"):
        uploads.keep("ann", [SentFile(str(one), "a.txt"), SentFile(str(two), "a.txt")])
    assert one.exists()
    assert not (tmp_path / "uploads").exists()


def test_only_who_sent_files_gets_at_them(uploads: Uploads, received: Path, tmp_path: Path) -> None:
    token = uploads.keep("ann", [SentFile(str(receive(received, "a.txt", "a")), "a.txt")])
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
        uploads.keep(None, [SentFile(str(receive(received, "a.txt", "a")), "a.txt")])
    with pytest.raises(InvalidInputError, match="Choose between 1 and"):
        uploads.keep("ann", [])


def test_what_was_lent_may_be_taken_away_and_the_lot_stays(uploads: Uploads, received: Path, tmp_path: Path) -> None:
    sent = [SentFile(str(receive(received, name, name)), f"top/{name}") for name in ("a.txt", "b.txt")]
    folder = uploads.keep("ann", sent)
    file = uploads.keep("ann", [SentFile(str(receive(received, "c.txt", "c")), "c.txt")])
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
    uploads: Uploads, received: Path, tmp_path: Path
) -> None:
    bens = uploads.keep("ben", [SentFile(str(receive(received, "b.txt", "ben")), "b.txt")])
    tokens = [uploads.keep("ann", [SentFile(str(receive(received, "a.txt", f"text {i}")), "a.txt")]) for i in range(5)]
    with pytest.raises(NotFoundError):
        uploads.path("ann", tokens[0])
    assert [uploads.path("ann", token).read_text() for token in tokens[1:]] == [f"text {i}" for i in range(1, 5)]
    assert uploads.path("ben", bens).read_text() == "ben"
    assert len(contents(tmp_path / "uploads")) == 5
    Uploads(tmp_path / "uploads", received)
    assert not (tmp_path / "uploads").exists()


def test_file_to_take_along_lies_where_nobody_can_guess_for_an_hour(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "out")
    url, n_bytes = downloads.offer(ExportFile("../my judgments?.csv", b"a,b\n", "text/csv"))
    path = Path(url.removeprefix("gradio_api/file=").replace("%20", " "))
    assert (path.name, path.read_bytes(), n_bytes) == ("_my judgments_.csv", b"a,b\n", 4)
    assert path.parent.parent == tmp_path / "out"
    assert len(path.parent.name) == 64
    large = tmp_path / "large.zip"
    large.write_bytes(b"zip")
    again, _ = downloads.offer(ExportFile("large.zip", large, "application/zip"))
    assert again.endswith("/large.zip")
    assert not large.exists()
    then = path.parent.stat().st_mtime - KEPT_S - 1
    os.utime(path.parent, (then, then))
    downloads.offer(ExportFile("c.csv", b"", "text/csv"))
    assert not path.exists()
    assert Path(again.removeprefix("gradio_api/file=")).exists()
