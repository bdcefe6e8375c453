import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, text

from storage import collections, documents, judgments, migrations, queries, training_runs
from storage.engine import close, open_database, session_factory
from storage.records import DocumentRecord, JobState, JudgmentRecord, JudgmentRole
from storage.schema import Base, current_judgment
from tests.worlds.databases import old_database, plain_engine

ROWS_OF_THE_FIRST_SCHEMA = (
    "INSERT INTO collection VALUES (1, 'birds', '', 0, 'ff', 1, '{}', '2024-05-01 10:00:00', '2024-05-02 10:00:00')",
    "INSERT INTO document VALUES (1, 1, 0, 'd1', 'Owl', 'hoots', 'aa')",
    "INSERT INTO instruction VALUES (1, 1, 'find causes', '2024-05-01 10:00:00')",
    "INSERT INTO query VALUES (1, 1, NULL, 'owls', 1, 'ann', '2024-05-01 10:00:00')",
    "INSERT INTO label_set VALUES (1, 1, 'main', 'ann', '2024-05-01 10:00:00')",
    "INSERT INTO judgment_event VALUES"
    " (1, 1, 1, 1, 'd1', 'aa', 'ann', 2.0, 1, 'before', 'page', 1, '2024-05-01 10:00:00.500000')",
    "INSERT INTO search_event VALUES (1, 1, 'ann', 'before', 10, 1.5, '[[\"d1\", 0.5]]', '2024-05-01 10:00:00')",
    "INSERT INTO training_run VALUES (1, 1, 1, 1, 'finished', 'era', 7, '{}', '{\"1\": {\"d1\": 2.0}}', 'cc', 1, 1, 0,"
    " '', 1.0, '', '{\"nDCG@10\": 0.5}', 'cpu', 'ann', 0, '2024-05-01 10:00:00', NULL, NULL, NULL)",
)


def shape_of(connection: Connection) -> dict[str, object]:
    """Return what tables, database indexes and views are made of."""
    inspector = inspect(connection)
    shape: dict[str, object] = {
        table: (
            [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(table)],
            sorted((str(i["name"]), i["column_names"]) for i in inspector.get_indexes(table)),
            sorted(str(c["name"]) for c in inspector.get_unique_constraints(table)),
            sorted(str(c["name"]) for c in inspector.get_check_constraints(table)),
            sorted(str(c["name"]) for c in inspector.get_foreign_keys(table)),
        )
        for table in inspector.get_table_names()
    }
    return shape | {view: inspector.get_view_definition(view) for view in inspector.get_view_names()}


def shape_of_the_file(engine: Engine) -> dict[str, object]:
    with engine.connect() as connection:
        return shape_of(connection)


def test_migrated_schema_equals_the_orm_metadata(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_comparison_would_notice_a_missing_database_index(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_search_event_query_id_id"))
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert [difference[0] for difference in differences] == ["add_index"]


def test_view_has_the_columns_that_are_read(engine: Engine) -> None:
    columns = [column["name"] for column in inspect(engine).get_columns("current_judgment")]
    assert columns == [column.name for column in current_judgment.columns]


def test_rows_of_the_first_schema_survive_the_upgrade(tmp_path: Path) -> None:
    engine = open_database(old_database(tmp_path, "0001", ROWS_OF_THE_FIRST_SCHEMA))
    with session_factory(engine).begin() as session:
        (collection,) = collections.list_all(session)
        (document,) = documents.iter_all(session, collection_id=1)
        (query,) = queries.list_all(session, collection_id=1)
        (judgment,) = judgments.current_for_query(session, label_set_id=1, query_id=1)
        search = queries.latest_search(session, query_id=1)
        (run,) = training_runs.list_for(session, collection_id=1)
        snapshot = training_runs.label_snapshot(session, run.id)
    close(engine)
    assert (collection.name, collection.desk) == ("birds", None)
    assert document == DocumentRecord(1, 0, "d1", "Owl", "hoots", "aa", metadata=None)
    assert (query.text, query.instruction, query.need) == ("owls", "find causes", "")
    assert judgment == JudgmentRecord(
        id=1,
        label_set_id=1,
        query_id=1,
        instruction_id=1,
        doc_id="d1",
        content_hash="aa",
        author="ann",
        grade=2.0,
        rank_shown=1,
        retriever="before",
        client_id="page",
        sequence=1,
        role=JudgmentRole.JUDGE,
        is_unsure=False,
        note="",
        seconds=None,
        together_with=None,
        undoes_id=None,
        created_at=datetime(2024, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC),
    )
    assert search is not None
    assert search.ranking == (("d1", 0.5),)
    assert (run.state, run.measures, run.device) == (JobState.FINISHED, {"nDCG@10": 0.5}, "cpu")
    assert snapshot == {"1": {"d1": 2.0}}


def test_opening_again_changes_nothing(database_path: Path) -> None:
    close(open_database(database_path))
    first = database_path.read_bytes()
    close(open_database(database_path))
    assert database_path.read_bytes() == first


def test_downgrade_to_base_leaves_nothing_but_the_version_table(engine: Engine) -> None:
    with engine.begin() as connection:
        migrations.downgrade(connection, "base")
    inspector = inspect(engine)
    assert inspector.get_table_names() == ["alembic_version"]
    assert inspector.get_view_names() == []


def test_upgrade_after_downgrade_gives_the_schema_again(engine: Engine) -> None:
    with engine.begin() as connection:
        migrations.downgrade(connection, "base")
        migrations.upgrade(connection)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.parametrize(("earlier", "later"), [("0001", "0002"), ("0002", "0003"), ("0003", "0004"), ("0004", "0005")])
def test_schema_taken_back_is_the_one_before(tmp_path: Path, earlier: str, later: str) -> None:
    before, after = plain_engine(tmp_path / "before.sqlite"), plain_engine(tmp_path / "after.sqlite")
    with before.begin() as connection:
        migrations.upgrade(connection, earlier)
    with after.begin() as connection:
        migrations.upgrade(connection, later)
        assert shape_of(connection) != shape_of_the_file(before)
        migrations.downgrade(connection, earlier)
        assert shape_of(connection) == shape_of_the_file(before)
    before.dispose()
    after.dispose()


def test_migration_that_fails_leaves_no_tables(engine: Engine) -> None:
    with engine.begin() as connection:
        migrations.downgrade(connection, "base")
        connection.execute(text("CREATE TABLE training_run (id INTEGER)"))  # in the way of the last table created
    with pytest.raises(Exception, match="training_run already exists"), engine.begin() as connection:
        migrations.upgrade(connection)
    assert inspect(engine).get_table_names() == ["alembic_version", "training_run"]


def test_database_opens_from_another_working_directory_and_an_odd_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = open_database(Path("100% ours") / "été.sqlite")
    assert "collection" in inspect(engine).get_table_names()
    close(engine)
    assert (tmp_path / "100% ours" / "été.sqlite").is_file()


def test_migrating_leaves_logging_as_it_was(database_path: Path) -> None:
    root, other = logging.getLogger(), logging.getLogger("some.other")
    before = (root.level, list(root.handlers), logging.getLogger("alembic").level)
    close(open_database(database_path))
    assert (root.level, list(root.handlers), logging.getLogger("alembic").level) == before
    assert not other.disabled
