"""From the third schema to the fourth and back: what was there stays, and nothing else is claimed of it."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage import collections, documents, jobs, judgments, migrations
from storage.engine import close, open_database, session_factory
from storage.records import IMPORTS, CollectionState, JobKind, NewDocument, NewJob
from tests.worlds.databases import (
    assert_fails_to_open_with,
    assert_values_survive,
    assert_whole,
    looking_into,
    old_database,
    rows_in,
    rows_of,
)

ROWS = (
    "INSERT INTO collection VALUES (1, 'birds', 'All', 1, 'ff', 2, '{}', '2024-05-01 10:00:00', '2024-05-02 10:00:00',"
    " '{\"n_judges\": 2}')",
    "INSERT INTO document VALUES (1, 1, 0, 'd1', 'Owl', 'hoots', 'aa', NULL)",
    "INSERT INTO document VALUES (2, 1, 1, 'd2', '', 'Wrens sing', 'bb', '{\"year\": \"1999\"}')",
    "INSERT INTO instruction VALUES (1, 1, 'find causes', '2024-05-01 10:00:00')",
    "INSERT INTO query VALUES (1, 1, NULL, 'owls', 1, 'ann', '2024-05-01 10:00:00', '')",
    "INSERT INTO label_set VALUES (1, 1, 'main', 'ann', '2024-05-01 10:00:00', '')",
    *(
        f"INSERT INTO judgment_event VALUES ({number}, 1, 1, 1, 'd{number}', 'aa', 'ann', 1.0, NULL, NULL, 'page',"
        f" {number}, '2024-05-01 10:00:00', 'judge', 0, '', NULL, NULL, NULL)"
        for number in (1, 2)
    ),
)
TABLES = ("collection", "document", "query", "label_set", "judgment_event")


@pytest.fixture
def old_path(tmp_path: Path) -> Path:
    """Return a database of the third schema with two judged documents."""
    return old_database(tmp_path, "0003", ROWS)


def test_every_value_of_the_third_schema_survives(old_path: Path) -> None:
    before = rows_in(old_path, TABLES)
    assert [len(before[table]) for table in TABLES] == [1, 2, 1, 1, 2]
    close(open_database(old_path))
    assert_values_survive(before, rows_in(old_path, TABLES))


def test_old_collections_are_ready_with_the_bundled_embedders_and_nobodys(opened: Engine) -> None:
    with session_factory(opened).begin() as session:
        [found] = collections.list_all(session)
        assert jobs.list_all(session, IMPORTS) == []
        assert len(judgments.standing(session, 1)) == 2
    assert (found.name, found.desk, found.is_demo) == ("birds", {"n_judges": 2}, True)
    assert (found.embedders, found.archived_at, found.state, found.created_by) == (
        None, None, CollectionState.READY, "",
    )  # fmt: skip


def test_downgrade_leaves_the_third_schema_with_what_it_had(old_path: Path) -> None:
    before = rows_in(old_path, TABLES)
    engine = open_database(old_path)
    with session_factory(engine).begin() as session:
        staging = collections.add(
            session, name="fish", description="", is_demo=False, corpus_fingerprint="", n_documents=0,
            document_embedder="", state=CollectionState.IMPORTING,
        )  # fmt: skip
        documents.add_many(session, staging.id, [NewDocument("f1", "", "Fish swim", "cc")])
        job = jobs.create_queued(session, NewJob(JobKind.NEW, "ann", "fish"))
        jobs.set_staging(session, job.id, staging.id)
        collections.set_embedders(session, 1, {"strong": {}})
        collections.archive(session, 1, True)
        assert documents.remove(session, 1, ["d2"]) == 1
        assert len(judgments.standing(session, 1)) == 1
    with engine.begin() as connection:
        migrations.downgrade(connection, "0003")
    with engine.connect() as connection:
        assert rows_of(connection, TABLES) == before | {"document": before["document"][:1]}
        assert len(connection.exec_driver_sql("SELECT * FROM current_judgment").all()) == 2
        assert_whole(connection)
    close(engine)


def test_upgrade_that_fails_leaves_the_third_schema_and_its_rows(old_path: Path) -> None:
    before = rows_in(old_path, TABLES)
    assert_fails_to_open_with(old_path, "import_job", "0003")
    with looking_into(old_path) as connection:
        assert rows_of(connection, TABLES) == before
        assert len(connection.exec_driver_sql("SELECT * FROM current_judgment").all()) == 2
