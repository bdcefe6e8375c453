"""Bring a database to a version of the schema: Alembic, configured in code instead of an ini file.

Every function works inside the caller's transaction and commits nothing, so a migration that fails leaves the
database as it was. The working directory plays no part and logging stays as the program set it.
"""

from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_FOLDER = Path(__file__).parent


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the database up to `revision`; do nothing where it is there already."""
    if revision != "head" or MigrationContext.configure(connection).get_current_heads() != _revisions()[:1]:
        command.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Take the database back to `revision` ("base" is an empty database)."""
    command.downgrade(_config(connection), revision)


def unknown_revision(connection: Connection) -> str | None:
    """Return the revision of the database if this version of the program does not know it, else None."""
    heads = MigrationContext.configure(connection).get_current_heads()
    return next((head for head in heads if head not in _revisions()), None)


@lru_cache
def _revisions() -> tuple[str, ...]:
    """Return the revisions that this version of the program knows, the newest first; finding them runs their files."""
    return tuple(script.revision for script in ScriptDirectory(_FOLDER).walk_revisions())


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))  # a lone % starts an interpolation
    config.attributes["connection"] = connection
    return config
