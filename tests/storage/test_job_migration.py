"""Migration 0006: imports, training runs and wanted curves become jobs, and go back as they were."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage import jobs, migrations, training_runs
from storage.engine import close, open_database, session_factory
from storage.records import IMPORTS, JobKind, JobState, NewJob
from tests.worlds.databases import (
    assert_fails_to_open_with,
    assert_whole,
    looking_into,
    old_database,
    rows_in,
)

AT = "2024-05-01 10:00:0"


def run(number: int, state: str, stage: str, message: str, times: str, said: str = "", wants: int = 0) -> str:
    """Return what inserts a training run as the fifth schema had it; `times` are those of start, end, sign of life."""
    return (
        f"INSERT INTO training_run VALUES ({number}, 1, 1, {number}, '{state}', 'era', 7, '{{}}', '{{\"1\": {{}}}}',"
        f" 'cc', 1, 1, 0, '{stage}', 0.5, '{message}', NULL, NULL, 'ann', 0, '{AT}0', {times}, '{AT}{number}',"
        f" '{said}', '', 0, 0, NULL, NULL, {wants}, NULL)"
    )


def an_import(number: int, state: str, stage: str, collection: str, staging: str) -> str:
    """Return what inserts an import as the fifth schema had it."""
    return (
        f"INSERT INTO import_job VALUES ({number}, 'new', 'fish', '{{\"hub\": \"\"}}', 'ben', {collection}, {staging},"
        f" '{state}', '{stage}', 0.25, 'half', 'full', '[\"a\"]', 1, '{AT}0', '{AT}5', NULL)"
    )


ROWS = (
    "INSERT INTO collection VALUES (1, 'birds', '', 0, 'ff', 1, '{}', '2024-05-01 10:00:00', '2024-05-02 10:00:00',"
    " NULL, NULL, NULL, 'ready', '')",
    "INSERT INTO label_set VALUES (1, 1, 'main', 'ann', '2024-05-01 10:00:00', '')",
    run(1, "finished", "evaluation", "noted", f"'{AT}1', '{AT}2', '{AT}2'", said="spring", wants=1),
    run(2, "failed", "adaptation", "no memory", f"'{AT}1', '{AT}2', '{AT}2'"),
    run(3, "queued", "", "", "NULL, NULL, NULL"),
    run(4, "running", "alignment", "Reading", f"'{AT}3', NULL, '{AT}4'"),
    an_import(7, "failed", "embedding", "NULL", "1"),
    an_import(8, "queued", "", "1", "NULL"),
    an_import(9, "queued", "", "NULL", "NULL"),
    "DELETE FROM import_job WHERE id = 9",
)
TABLES = ("training_run", "import_job", "collection", "label_set")


@pytest.fixture
def old_path(tmp_path: Path) -> Path:
    return old_database(tmp_path, "0005", ROWS)


def test_all_queues_become_one_with_their_ids_states_and_histories(old_path: Path) -> None:
    engine = open_database(old_path)
    with session_factory(engine).begin() as session:
        failed, queued = jobs.list_all(session, IMPORTS)
        runs = training_runs.list_for(session, 1)[::-1]
        [curve] = jobs.list_all(session, {JobKind.CURVE})
        waiting = jobs.queue(session, {JobKind.TRAIN})
        added = jobs.create_queued(session, NewJob(JobKind.ADD, "ann", "birds"))
    close(engine)
    assert (failed.id, failed.kind, failed.state, failed.author, failed.name) == (7, "new", "failed", "ben", "fish")
    assert (failed.request, failed.collection_id, failed.staging_id) == ({"hub": ""}, None, 1)
    assert (failed.stage, failed.fraction, failed.message, failed.error) == ("embedding", 0.25, "half", "full")
    assert (list(failed.remarks), failed.is_cancel_requested) == (["a"], True)
    assert failed.started_at == datetime(2024, 5, 1, 10, 0, 5, tzinfo=UTC)  # it had its turn
    assert (queued.id, queued.state, queued.collection_id, queued.started_at) == (8, "queued", 1, None)
    assert [(each.id, each.number, each.state.value) for each in runs] == [
        (1, 1, "finished"), (2, 2, "failed"), (3, 3, "queued"), (4, 4, "running"),
    ]  # fmt: skip
    assert [each.message for each in runs] == ["noted", "no memory", "", "Reading"]
    assert [each.wants_curve for each in runs] == [True, False, False, False]
    assert [each.id for each in waiting] == [runs[3].job_id, runs[2].job_id]
    assert (curve.training_run_id, curve.state, curve.author) == (1, JobState.QUEUED, "ann")
    assert min(each.job_id for each in runs) == 10  # no id that an import ever had is given again
    assert added.id > curve.id


def test_downgrade_brings_back_what_there_was(old_path: Path) -> None:
    before = rows_in(old_path, TABLES)
    close(open_database(old_path))
    with looking_into(old_path) as connection:
        migrations.downgrade(connection, "0005")
        assert_whole(connection)
    assert rows_in(old_path, TABLES) == before
    close(open_database(old_path))


def test_upgrade_that_fails_leaves_the_fifth_schema_and_its_rows(old_path: Path) -> None:
    before = rows_in(old_path, TABLES)
    assert_fails_to_open_with(old_path, "job", "0005")
    assert rows_in(old_path, TABLES) == before
