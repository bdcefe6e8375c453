"""What can go wrong in storage that a person can mend; each message says what happened and what to do."""

import shlex
from pathlib import Path

from storage.backups import list_backups, made_at

# ruff: noqa: N818 (the names say what is wrong; "Error" would add nothing)


class StorageError(Exception):
    """A storage problem whose message can be shown as it is."""


class DataFolderNotWritable(StorageError):
    """The folder that should hold a database cannot be created or written."""

    def __init__(self, folder: Path, reason: str) -> None:
        """Keep the folder; `reason` is the system's own wording."""
        super().__init__(
            f"Cannot write in the data folder {folder}: {reason}. "
            "Make sure it is a folder you may write to with free space left, or choose another data folder."
        )
        self.folder = folder


class DatabaseDamaged(StorageError):
    """The file is no database, or something in it is not what was stored; it was left as it is.

    Attributes:
        path: of the file.
        happened: what is the matter, as a sentence.
        safe: what is not affected, in sentences.
        todo: what to do, a step each.
    """

    def __init__(self, path: Path, reason: str) -> None:
        """Look for a backup; `reason` is the database's own wording."""
        backup = next(iter(list_backups(path)), None)
        self.path = path
        self.happened = f"The database {path} is damaged: {' '.join(reason.split())[:300]}."
        self.safe = (
            "Nothing in it was changed or deleted. Adapters, indexes and the other files beside it are not affected. "
            + (f"The newest backup of the database is {backup}, made {made_at(backup)}." if backup else "")
        ).strip()
        mended = "takes that backup and adds" if backup else "makes a new one with"
        self.todo = (
            "Stop the app.",
            f"In the app's folder run “python -m storage.rescue {shlex.quote(str(path))}”.",
            f"That keeps the damaged file under another name, {mended} every mark, query and document that can still "
            "be read. Then start the app again.",
        )
        super().__init__(" ".join((self.happened, self.safe, *self.todo)))


class DatabaseTooNew(StorageError):
    """The database was written by a newer version of this program."""

    def __init__(self, path: Path, revision: str) -> None:
        """Keep the path and the schema revision that this version does not know."""
        super().__init__(
            f"The database {path} was written by a newer version of this program (schema {revision}). "
            "Update the program, or choose another data folder."
        )
        self.path = path
        self.revision = revision


class DatabaseBusy(StorageError):
    """Another writer held the database for longer than a writer waits."""

    def __init__(self, path: Path, reason: str) -> None:
        """Keep the path; `reason` is the database's own wording."""
        super().__init__(f"The database {path} is busy ({reason}). Nothing is lost; try again in a few seconds.")
        self.path = path


class NameTaken(StorageError):
    """A name that must be unique is in use."""

    def __init__(self, kind: str, name: str) -> None:
        """Keep the kind of record and the name."""
        super().__init__(f"There is already a {kind} named {name!r}. Choose another name.")
        self.kind = kind
        self.name = name


class UnknownRecord(StorageError):
    """No record of that kind has that id."""

    def __init__(self, kind: str, record_id: int) -> None:
        """Keep the kind of record and the id that was asked for."""
        super().__init__(f"There is no {kind} with the id {record_id}. Reload the page and choose again.")
        self.kind = kind
        self.id = record_id
