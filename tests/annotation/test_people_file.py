"""The file of people: hashed by its command, written whole or not at all, and read as older ones were written."""

import getpass
import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from annotation.errors import InvalidInputError
from annotation.people.password_file import convert, main, read_people, remove_person, set_password
from annotation.people.sign_in import SignIn

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.txt"


def can_sign_in(path: Path, name: str, password: str) -> bool:
    return SignIn(read_people(path)).is_right(name, password, "192.0.2.1")


def run(path: Path, *words: str, sent: str = "") -> tuple[int, str, str]:
    """Return exit code, output and complaints of the command, with this on standard input."""
    ended = subprocess.run(
        [sys.executable, "-m", "annotation.people", str(path), *words],
        cwd=ROOT,
        input=sent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_the_command_adds_changes_and_removes_people(path: Path) -> None:
    assert run(path, "ann", sent="first:1\n") == (0, "ann can sign in, once the app is started again.\n", "")
    assert run(path, "Bob Lee", sent="second\r\nnot this\n")[0] == 0
    assert [person.name for person in read_people(path)] == ["ann", "Bob Lee"]
    assert all(person.secret.startswith("$argon2id$") for person in read_people(path))
    assert "first" not in path.read_text()
    assert can_sign_in(path, "ann", "first:1")
    assert can_sign_in(path, "Bob Lee", "second")
    assert run(path, "ann", sent="third") == (0, "ann has another password, once the app is started again.\n", "")
    assert [can_sign_in(path, "ann", password) for password in ("first:1", "third")] == [False, True]
    assert run(path, "ann", "--remove") == (
        0, "ann cannot sign in any more, once the app is started again. All marks stay.\n", "",
    )  # fmt: skip
    assert [person.name for person in read_people(path)] == ["Bob Lee"]
    assert run(path, "ann", "--remove")[::2] == (1, f"{path} names no 'ann'.\n")
    assert run(path, "Bob Lee", "--remove")[0] == 1
    assert can_sign_in(path, "Bob Lee", "second")


def test_a_password_is_asked_for_twice_and_not_shown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    asked: list[str] = []
    typed = iter(["secret", "secret", "secret", "other"])
    monkeypatch.setattr(sys, "stdin", Terminal("not this\n"))

    def getpass_(prompt: str) -> str:
        asked.append(prompt)
        return next(typed)

    monkeypatch.setattr(getpass, "getpass", getpass_)
    assert main([str(path), "ann"]) == 0
    assert asked == ["Password of ann: ", "The same again: "]
    before = path.read_text()
    assert main([str(path), "ann"]) == 1
    assert path.read_text() == before
    assert can_sign_in(path, "ann", "secret")


def test_other_lines_stay_and_the_file_is_for_its_owner_alone(path: Path) -> None:
    path.write_text("# judges\n\nann : first\n# ben:out\nben:second\n")
    path.chmod(0o644)
    set_password(path, "ben", "third")
    lines = path.read_text().splitlines()
    assert lines[:4] == ["# judges", "", "ann : first", "# ben:out"]
    assert lines[4].startswith("ben:$argon2id$")
    assert len(lines) == 5
    assert [path.name for path in path.parent.iterdir()] == ["people.txt"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    set_password(path, "ann", "first")
    link.symlink_to(path)
    set_password(link, "ben", "second")
    assert link.is_symlink()
    assert [person.name for person in read_people(path)] == ["ann", "ben"]


def test_a_file_that_cannot_be_written_is_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_password(path, "ann", "first")
    before = path.read_text()

    def fsync(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(InvalidInputError, match=r"could not be written: no space left\. It is as it was"):
        set_password(path, "ann", "second")
    assert path.read_text() == before
    assert [path.name for path in path.parent.iterdir()] == ["people.txt"]


def test_older_files_are_converted_as_a_whole(path: Path) -> None:
    path.write_text("\ufeff ann : first \r\n# remark\r\nJosé:with:colons:#\n", encoding="utf-8")
    set_password(path, "cleo", "third")
    assert [person.is_hashed for person in read_people(path)] == [False, False, True]
    assert run(path, "--convert")[:2] == (0, "2 passwords were hashed.\n")
    assert [person.is_hashed for person in read_people(path)] == [True, True, True]
    assert [can_sign_in(path, *each) for each in (("ann", "first"), ("José", "with:colons:#"), ("cleo", "third"))] == [
        True, True, True,
    ]  # fmt: skip
    assert path.read_text().splitlines()[1] == "# remark"
    before = path.read_text()
    assert convert(path) == 0
    assert path.read_text() == before


@pytest.mark.parametrize("name", ["", "  ", "a:b", "#ann", "ann\nben", "ann\x85ben"])
def test_a_name_that_the_file_could_not_hold_is_refused(path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="A name is one line without a colon"):
        set_password(path, name, "first")
    assert not path.exists()


@pytest.mark.parametrize("sent", ["", "\n", "   \n"])
def test_an_empty_password_is_refused(path: Path, sent: str) -> None:
    code, _, complaint = run(path, "ann", sent=sent)
    assert (code, complaint) == (1, "Choose a password; an empty one lets everybody in.\n")
    assert not path.exists()


@pytest.mark.parametrize("rest", ["", "$v=19", "$v=19$m=65536,t=3,p=4$salt", "$v=19$m=65536,t=3,p=4$salt$"])
def test_a_damaged_hash_is_named_with_its_line_and_its_remedy(path: Path, rest: str) -> None:
    path.write_text(f"ann:{PasswordHasher().hash('first')}\nben:$argon2id{rest}\n")
    with pytest.raises(InvalidInputError, match="line 2: this hash is damaged") as error:
        read_people(path)
    assert str(error.value).endswith(f"set the password again by python -m annotation.people {path} ben")
    set_password(path, "ben", "second")
    assert can_sign_in(path, "ben", "second")


def test_without_a_name_the_command_says_what_is_missing(path: Path) -> None:
    assert run(path)[::2] == (1, f"Name the person: python -m annotation.people {path} NAME\n")
    assert run(path, "ann", "--remove")[0] == 1
    assert run(path, "ann", "--remove", "--convert")[0] == 2


def test_the_last_person_stays(path: Path) -> None:
    set_password(path, "ann", "first")
    with pytest.raises(InvalidInputError, match="ann is the only person"):
        remove_person(path, "ann")
    assert can_sign_in(path, "ann", "first")
