"""The file of the people who may sign in: a line `name:hash` each, hashes made by argon2.

    python -m annotation.people people.txt ann            add Ann, or give her another password
    python -m annotation.people people.txt ann --remove   let her sign in no more
    python -m annotation.people people.txt --convert      hash the passwords of an older file

The password is asked for without showing it; a script sends it as the first line of standard input. Older files hold
passwords as they were typed; those are read as well. Other lines (remarks, blank ones) stay where they are.
"""

import argparse
import getpass
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError

from annotation.errors import AnnotationError, InvalidInputError

logger = logging.getLogger(__name__)

_HASHES = "$argon2"


class Person(NamedTuple):
    """A line of the file: who may sign in, and the hash of the password or, in older files, the password itself."""

    name: str
    secret: str

    @property
    def is_hashed(self) -> bool:
        """Return whether the file keeps the password as a hash."""
        return self.secret.startswith(_HASHES)


def read_people(path: Path | None) -> list[Person]:
    """Return everybody who may sign in, in the order of the file; without a file no one has to.

    Raises:
        InvalidInputError: if the file cannot be read, names no one, or a line is not `name:password` or `name:hash`.
    """
    if path is None:
        return []
    path = path.expanduser()
    people: dict[str, Person] = {}
    for number, line in enumerate(_lines(path), start=1):
        if _is_remark(line):
            continue
        person = _parse(line)
        if person is None or person.name in people:
            raise InvalidInputError(
                f"{path}, line {number}: expected name:password, each name once. "
                "No one can sign in before this is mended."
            )
        if person.is_hashed and not _is_whole(person.secret):
            raise InvalidInputError(
                f"{path}, line {number}: this hash is damaged. No one can sign in before this is mended: "
                f"set the password again by {_command(path)} {person.name}"
            )
        people[person.name] = person
    if not people:
        raise InvalidInputError(f"{path} names no one. Add a person by {_command(path)} NAME")
    return list(people.values())


def set_password(path: Path, name: str, password: str) -> bool:
    """Add a person, or change the password; return whether the person is new. The file is made if it is missing.

    Raises:
        InvalidInputError: if the name cannot be one, the password is empty, or the file cannot be read or written.
    """
    name = name.strip()
    if not name or name.startswith("#") or ":" in name or len(name.splitlines()) != 1:
        raise InvalidInputError("A name is one line without a colon that does not begin with #.")
    if not password.strip():
        raise InvalidInputError("Choose a password; an empty one lets everybody in.")
    lines = _lines(path) if path.exists() else []
    line = f"{name}:{hash_password(password)}"
    places = [i for i, each in enumerate(lines) if _names(each, name)]
    for place in places:
        lines[place] = line
    _write(path, lines if places else [*lines, line])
    return not places


def remove_person(path: Path, name: str) -> None:
    """Take a person out of the file; what they marked stays.

    Raises:
        InvalidInputError: if there is no such person, it is the last one, or the file cannot be read or written.
    """
    lines = _lines(path)
    left = [line for line in lines if not _names(line, name.strip())]
    if len(left) == len(lines):
        raise InvalidInputError(f"{path} names no {name.strip()!r}.")
    if all(map(_is_remark, left)):
        raise InvalidInputError(
            f"{name.strip()} is the only person in {path}. Add another one first, or start without ERA_PEOPLE."
        )
    _write(path, left)


def convert(path: Path) -> int:
    """Hash every password that the file still holds as it was typed; return how many there were.

    Raises:
        InvalidInputError: if the file cannot be read or written, or a line is not `name:password`.
    """
    clear = {person.name: person.secret for person in read_people(path) if not person.is_hashed}
    lines = _lines(path)
    for place, line in enumerate(lines):
        person = None if _is_remark(line) else _parse(line)
        if person is not None and person.name in clear:
            lines[place] = f"{person.name}:{hash_password(person.secret)}"
    if clear:
        _write(path, lines)
    return len(clear)


def warn_of_clear_passwords(path: Path | None, people: Sequence[Person]) -> None:
    """Say in the log how to hash the passwords that a file still holds as they were typed."""
    n_clear = sum(not person.is_hashed for person in people)
    if n_clear:
        logger.warning(
            "%s holds %d password%s as typed. Hash what is there: %s --convert",
            path,
            n_clear,
            "" if n_clear == 1 else "s",
            _command(path or Path()),
        )


def hash_password(password: str) -> str:
    """Return the hash of a password, salted, with what is needed to check it."""
    return PasswordHasher().hash(password)


def main(words: Sequence[str]) -> int:
    """Do what the words of a command line say; return the exit code: 0 if it was done, 1 if it could not be."""
    arguments = _parser().parse_args(words)
    path: Path = arguments.path.expanduser()
    try:
        sys.stdout.write(f"{_do(arguments, path)}\n")
    except AnnotationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (KeyboardInterrupt, EOFError):
        sys.stderr.write("Stopped; nothing was changed.\n")
        return 1
    return 0


def _do(arguments: argparse.Namespace, path: Path) -> str:
    if arguments.convert:
        n_converted = convert(path)
        return f"{n_converted} passwords were hashed." if n_converted != 1 else "1 password was hashed."
    if not arguments.name:
        raise InvalidInputError(f"Name the person: {_command(path)} NAME")
    if arguments.remove:
        remove_person(path, arguments.name)
        return f"{arguments.name} cannot sign in any more, once the app is started again. All marks stay."
    is_new = set_password(path, arguments.name, _ask_for_password(arguments.name))
    return f"{arguments.name} {'can sign in' if is_new else 'has another password'}, once the app is started again."


def _ask_for_password(name: str) -> str:
    """Return the password, typed twice at a terminal, or the first line of what a script sends.

    Raises:
        InvalidInputError: if the two differ.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"Password of {name}: ")
    if getpass.getpass("The same again: ") != password:
        raise InvalidInputError("The two passwords differ. Nothing was changed; try again.")
    return password


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m annotation.people", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("path", type=Path, help="the file that ERA_PEOPLE names; it is made if it is missing")
    parser.add_argument("name", nargs="?", help="of the person to add, or whose password changes")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--remove", action="store_true", help="let the person sign in no more")
    what.add_argument("--convert", action="store_true", help="hash the passwords of an older file")
    return parser


def _command(path: Path) -> str:
    return f"python -m annotation.people {path}"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The file of people {path} could not be read: {error}") from error


def _is_remark(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _parse(line: str) -> Person | None:
    name, colon, secret = (part.strip() for part in line.partition(":"))
    return Person(name, secret) if name and colon and secret else None


def _names(line: str, name: str) -> bool:
    person = None if _is_remark(line) else _parse(line)
    return person is not None and person.name == name


def _is_whole(secret: str) -> bool:
    try:
        extract_parameters(secret)
    except InvalidHashError:
        return False
    return secret.count("$") == 5 and all(secret.split("$")[1:])


def _write(path: Path, lines: Sequence[str]) -> None:
    """Put the lines in place of the file at once, readable by its owner alone.

    Raises:
        InvalidInputError: if that is not possible; the file is as it was.
    """
    path = path.resolve()  # what a link leads to, so that it stays a link
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # of mode 600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidInputError(f"{path} could not be written: {error}. It is as it was.") from error
