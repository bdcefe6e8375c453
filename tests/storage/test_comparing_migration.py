"""Migration 0003 on rows of the second schema: nothing is lost, and the queue keeps its order."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage import comparisons, label_sets, migrations, training_runs
from storage.engine import close, open_database, session_factory
from storage.records import (
    JobState,
    LabelSetRecord,
    NewPreference,
    NewSnapshot,
    NewTrainingRun,
    Preferred,
    ShownLeft,
    SnapshotRanking,
    TrainingRunRecord,
)
from tests.worlds import training_states
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
    "INSERT INTO collection VALUES"
    " (1, 'birds', '', 0, 'ff', 1, '{}', '2024-05-01 10:00:00', '2024-05-02 10:00:00', '{\"n_judges\": 2}')",
    "INSERT INTO instruction VALUES (1, 1, '', '2024-05-01 10:00:00')",
    "INSERT INTO query VALUES (1, 1, NULL, 'owls', 1, 'ann', '2024-05-01 10:00:00', 'Why they hoot')",
    "INSERT INTO label_set VALUES (1, 1, 'main', 'ann', '2024-05-01 10:00:00')",
    "INSERT INTO label_set VALUES (2, 1, 'mine', 'bob', '2024-05-01 11:00:00')",
    "INSERT INTO judgment_event VALUES (1, 1, 1, 1, 'd1', 'aa', 'ann', 2.0, 1, 'before', 'page', 1,"
    " '2024-05-01 10:00:00', 'adjudicator', 0, 'settled', 2.5, NULL, NULL)",
    "INSERT INTO training_run VALUES (1, 1, 1, 1, 'finished', 'era', 7, '{\"steps\": 9}', '{\"1\": {\"d1\": 2.0}}',"
    " 'cc', 1, 1, 0, 'adapt', 1.0, 'Step 9', '{\"nDCG@10\": 0.5}', 'cpu', 'ann', 0, '2024-05-01 10:00:00',"
    " '2024-05-01 10:00:01', '2024-05-01 10:00:02.250000', '2024-05-01 10:00:01.500000')",
    "INSERT INTO training_run VALUES (2, 1, 2, 2, 'running', 'paper', 8, '{}', '{\"1\": {\"d1\": 1.0}}', 'dd', 1, 1, 0,"
    " 'align', 0.25, 'Reading', NULL, NULL, 'ann', 1, '2024-05-01 11:00:00', '2024-05-01 11:00:01', NULL,"
    " '2024-05-01 11:00:02')",
    *(
        f"INSERT INTO training_run VALUES ({run_id}, 1, 1, {run_id}, 'queued', 'era', 7, '{{}}', '{{}}', 'cc', 0, 0, 0,"
        f" '', 0.0, '', NULL, NULL, 'ann', 0, '2024-05-01 12:00:0{run_id}', NULL, NULL, NULL)"
        for run_id in (3, 4)
    ),
)
TABLES = ("collection", "instruction", "query", "label_set", "judgment_event", "training_run")


@pytest.fixture
def old_path(tmp_path: Path) -> Path:
    """Return a database of the second schema with label sets and training runs in it."""
    return old_database(tmp_path, "0002", ROWS)


def at(hour: int, second: int, microsecond: int = 0) -> datetime:
    return datetime(2024, 5, 1, hour, 0, second, microsecond, tzinfo=UTC)


def test_every_value_of_the_second_schema_survives(old_path: Path) -> None:
    before = rows_in(old_path, TABLES)
    assert [len(before[table]) for table in TABLES] == [1, 1, 1, 2, 1, 4]
    close(open_database(old_path))
    with looking_into(old_path) as connection:
        migrations.downgrade(connection, "0005")  # where training runs have columns for all of it
    assert_values_survive(before, rows_in(old_path, TABLES))


def test_old_runs_are_read_as_they_were_with_nothing_said_of_them(opened: Engine) -> None:
    with session_factory(opened).begin() as session:
        finished, running = training_runs.get(session, 1), training_runs.get(session, 2)
        assert training_runs.label_snapshot(session, 1) == {"1": {"d1": 2.0}}
        assert training_runs.label_snapshot(session, 2) == {"1": {"d1": 1.0}}
        assert training_runs.curves_under_way(session) == []
    nothing_said = ("", "", False, False, None, None, False)
    assert finished == TrainingRunRecord(
        1, 1, 1, 1, JobState.FINISHED, "era", 7, {"steps": 9}, "cc", 1, 1, 0, "adapt", 1.0, "Step 9",
        {"nDCG@10": 0.5}, "cpu", "ann", False, at(10, 0), at(10, 1), at(10, 2, 250_000), at(10, 1, 500_000),
        *nothing_said, 1,
    )  # fmt: skip
    assert running == TrainingRunRecord(
        2, 1, 2, 2, JobState.RUNNING, "paper", 8, {}, "dd", 1, 1, 0, "align", 0.25, "Reading",
        None, None, "ann", True, at(11, 0), at(11, 1), None, at(11, 2),
        *nothing_said, 2,
    )  # fmt: skip


def test_old_label_sets_use_the_best_there_is(opened: Engine) -> None:
    with session_factory(opened).begin() as session:
        assert label_sets.list_names(session, 1) == [
            LabelSetRecord(1, 1, "main", "ann", at(10, 0), in_use=""),
            LabelSetRecord(2, 1, "mine", "bob", at(11, 0), in_use=""),
        ]


def test_old_queue_is_done_before_what_is_resumed_and_added(opened: Engine) -> None:
    with session_factory(opened).begin() as session:
        assert training_states.mark_interrupted_all_running(session) == 1
        training_states.resume(session, 2)
        added = training_runs.create_queued(session, NewTrainingRun(1, 1, "era", 7, {}, {}, "cc", 0, 0, 0, "ann"))
        assert [run.id for run in training_states.in_queue(session)] == [3, 4, 2, added.id]
    with opened.connect() as connection:
        queued = connection.exec_driver_sql("SELECT queued_at = created_at FROM job ORDER BY id").scalars()
        assert list(queued) == [1, 0, 1, 1, 0]


def use_the_third_schema(engine: Engine) -> None:
    """Write something into all that the second schema lacks."""
    with session_factory(engine).begin() as session:
        label_sets.set_in_use(session, 1, "run-1")
        training_runs.describe(session, 2, name="Été", note="slow", is_pinned=True, is_archived=True)
        training_runs.set_curve(session, 2, {"n": 1})
        training_runs.delete(session, 1)
        comparisons.keep_view(session, "abc", {"query": 1})
        comparisons.append_preference(session, NewPreference(1, 1, "ann", "a", "b", Preferred.TIE, ShownLeft.FIRST))
        ranking = SnapshotRanking(0, 1, (("d1", 0.5),), is_held_out=False)
        comparisons.create_snapshot(session, NewSnapshot("abc", 1, 1, "", "", "ann", {}), [ranking])


def test_downgrade_keeps_all_but_what_was_deleted(old_path: Path) -> None:
    before = rows_in(old_path, TABLES)
    engine = open_database(old_path)
    use_the_third_schema(engine)
    with engine.begin() as connection:
        migrations.downgrade(connection, "0002")
    with engine.connect() as connection:
        assert rows_of(connection, TABLES) == before | {"training_run": before["training_run"][1:]}
        assert_whole(connection)
    close(engine)


def test_upgrade_after_downgrade_starts_with_nothing_in_what_was_dropped(opened: Engine) -> None:
    use_the_third_schema(opened)
    with opened.begin() as connection:
        migrations.downgrade(connection, "0002")
        migrations.upgrade(connection)
    with session_factory(opened).begin() as session:
        assert label_sets.get(session, 1).in_use == ""
        run = training_runs.get(session, 2)
        assert (run.name, run.note, run.is_pinned, run.is_archived, run.curve) == ("", "", False, False, None)
        assert comparisons.find_view(session, "abc") is None
        assert comparisons.standing_preferences(session, 1, "aligned", "run-2") == []
        assert comparisons.list_snapshots(session, 1) == []


def test_upgrade_that_fails_leaves_the_second_schema_and_its_rows(old_path: Path) -> None:
    before = rows_in(old_path, TABLES)
    assert_fails_to_open_with(old_path, "snapshot_ranking", "0002")
    assert rows_in(old_path, TABLES) == before
