"""Databases of an earlier schema: made, opened, and compared with what there was."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from storage import migrations
from storage.engine import open_database

Sessions = sessionmaker[Session]
Rows = dict[str, list[dict[str, object]]]


def plain_engine(path: Path) -> Engine:
    """Return an engine that neither migrates the file nor sets anything."""
    return create_engine(URL.create("sqlite", database=str(path)))


@contextmanager
def looking_into(path: Path) -> Iterator[Connection]:
    """Connect to a file as it is; what is done is kept."""
    engine = plain_engine(path)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def old_database(folder: Path, revision: str, statements: Iterable[str]) -> Path:
    """Return a database of an earlier schema in which the statements were done."""
    path = folder / "old.sqlite"
    with looking_into(path) as connection:
        migrations.upgrade(connection, revision)
        for statement in statements:
            connection.exec_driver_sql(statement)
    return path


def rows_of(connection: Connection, tables: Iterable[str]) -> Rows:
    """Return the rows of some tables in the order of their ids."""
    return {
        table: [dict(row._mapping) for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY id")]
        for table in tables
    }


def rows_in(path: Path, tables: Iterable[str]) -> Rows:
    """Return the rows of some tables of a file."""
    with looking_into(path) as connection:
        return rows_of(connection, tables)


def assert_values_survive(before: Rows, after: Rows) -> None:
    """Fail where a row is gone or new, or where a column that there was before has another value."""
    for table, rows in before.items():
        for old, new in zip(rows, after[table], strict=True):
            assert {column: new[column] for column in old} == old


def assert_whole(connection: Connection) -> None:
    """Fail where the file is damaged, or where a row refers to nothing."""
    assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


def assert_fails_to_open_with(path: Path, table: str, revision: str) -> None:
    """Fail unless a table in the way of the last step of a migration leaves the file at its revision."""
    with looking_into(path) as connection:
        connection.exec_driver_sql(f"CREATE TABLE {table} (id INTEGER)")
    with pytest.raises(Exception, match=f"{table} already exists"):
        open_database(path)
    with looking_into(path) as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == revision
