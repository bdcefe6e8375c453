"""Training runs that were done elsewhere and come in finished."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from storage import training_runs
from storage.errors import UnknownRecord
from storage.records import FinishedTraining, JobState, NewTrainingRun
from tests.worlds import training_states
from tests.worlds.databases import Sessions

STARTED, ENDED = datetime(2026, 5, 3, 12, 0, tzinfo=UTC), datetime(2026, 5, 3, 12, 1, tzinfo=UTC)
DONE = FinishedTraining(
    measures={"n": 1},
    device="a GPU",
    message="noted",
    name="spring",
    note="Imported",
    curve={"error": "too few"},
    started_at=STARTED,
    finished_at=ENDED,
)


def test_a_finished_run_gets_the_next_number_and_keeps_what_it_brings(
    sessions: Sessions, new_run: NewTrainingRun
) -> None:
    with sessions.begin() as session:
        queued = training_runs.create_queued(session, new_run)
        added = training_runs.add_finished(session, new_run, DONE)
        assert training_runs.get(session, added.id) == added
        assert training_runs.label_snapshot(session, added.id) == new_run.label_snapshot
        assert [run.id for run in training_states.in_queue(session)] == [queued.id]
        following = training_runs.create_queued(session, new_run)
    assert (queued.number, added.number, following.number) == (1, 2, 3)
    assert (added.state, added.fraction) == (JobState.FINISHED, 1.0)
    assert (added.measures, added.curve, added.device) == ({"n": 1}, {"error": "too few"}, "a GPU")
    assert (added.name, added.note, added.message) == ("spring", "Imported", "noted")
    assert (added.started_at, added.finished_at) == (STARTED, ENDED)
    assert (added.snapshot_hash, added.author, added.wants_curve) == (new_run.snapshot_hash, "ann", False)


def test_a_finished_run_is_neither_claimed_nor_interrupted(sessions: Sessions, new_run: NewTrainingRun) -> None:
    with sessions.begin() as session:
        added = training_runs.add_finished(session, new_run, replace(DONE, measures=None, curve=None))
        assert training_states.claim_next(session) is None
        assert training_states.mark_interrupted_all_running(session) == 0
    assert (added.measures, added.curve) == (None, None)


def test_a_finished_run_of_no_collection_is_refused(
    sessions: Sessions, new_run: NewTrainingRun, at_once: Callable[..., object]
) -> None:
    with sessions.begin() as session, pytest.raises(UnknownRecord):
        training_runs.add_finished(session, replace(new_run, collection_id=99), DONE)
