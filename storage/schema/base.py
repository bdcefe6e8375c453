"""What all tables share: the naming of constraints, and times that are UTC."""

import enum
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Enum, MetaData, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


class UnreadableValue(Exception):  # noqa: N818 (it says what is wrong)
    """A stored value is not what this program stores there; `storage.engine.plain_errors` says where and what to do."""


def utc_now() -> datetime:
    """Return the current time as an aware UTC datetime."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime, also where the database keeps no time zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into UTC.

        Raises:
            ValueError: if the time has no time zone, since its meaning would be a guess.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a datetime with a time zone, got {value!r}")
        return value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return what reads a stored time.

        It raises `UnreadableValue` for what is no time.
        """
        read = super().result_processor(dialect, coltype)

        def read_time(stored: Any) -> Any:
            try:
                return read(stored) if read else stored
            except (ValueError, TypeError) as error:
                raise UnreadableValue(f"the stored time {str(stored)[:40]!r} is none") from error

        return read_time

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the stored time as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class StoredEnum(Enum):
    """One of the values of an enumeration, stored as a text."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return what reads a stored value.

        It raises `UnreadableValue` for what is not one of them.
        """
        read = super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]

        def read_value(stored: Any) -> Any:
            try:
                return read(stored) if read else stored
            except LookupError as error:
                raise UnreadableValue(f"the stored word {str(stored)[:40]!r} is none that is known") from error

        return read_value


def one_of(kind: type[enum.Enum]) -> StoredEnum:
    """Return the type of a column that stores a value of `kind` in up to 16 characters."""
    return StoredEnum(
        kind, native_enum=False, length=16, values_callable=lambda values: [each.value for each in values]
    )


class Base(DeclarativeBase):
    """What all rows share: the naming of constraints, and times that are UTC."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: UtcDateTime(), str: Text()}  # noqa: RUF012 (read by SQLAlchemy, never changed)
