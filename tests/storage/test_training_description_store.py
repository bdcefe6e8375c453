from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session, sessionmaker

from storage import jobs, training_runs
from storage.errors import UnknownRecord
from storage.records import JobKind, NewTrainingRun
from tests.worlds import training_states
from tests.worlds.training_states import STEPS, bring_to, queue

Sessions = sessionmaker[Session]

CURVE = {"points": [{"share": 0.25, "value": 0.5}], "advice": "Plus d'étiquettes aideront."}


def is_first_to_learn(sessions: Sessions, run_id: int | None) -> bool:
    """Return whether the run, or none, is the one whose learning curve is to be computed next."""
    with sessions.begin() as session:
        wanted = next(iter(training_runs.curves_under_way(session)), None)
    return (None if wanted is None else wanted.training_run_id) == run_id


@pytest.mark.parametrize("state", ["queued", "running", "finished", "failed", "cancelled", "interrupted"])
def test_run_in_any_state_is_described(sessions: Sessions, new_run: NewTrainingRun, state: str) -> None:
    run_id = bring_to(sessions, new_run, state)
    with sessions.begin() as session:
        before = training_runs.get(session, run_id)
        described = training_runs.describe(
            session, run_id, name="Été", note="the good one", is_pinned=True, is_archived=True
        )
    assert described == replace(before, name="Été", note="the good one", is_pinned=True, is_archived=True)
    with sessions.begin() as session:
        assert training_runs.get(session, run_id) == described
        assert training_runs.list_for(session, new_run.collection_id) == [described]


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"note": ""}, {"is_pinned": False}, {"is_archived": False}, {"name": "b", "note": "c"}, {}]
)
def test_what_is_not_given_stays(sessions: Sessions, new_run: NewTrainingRun, change: dict[str, Any]) -> None:
    run_id, untouched = bring_to(sessions, new_run, "finished"), queue(sessions, new_run)
    with sessions.begin() as session:
        described = training_runs.describe(session, run_id, name="a", note="n", is_pinned=True, is_archived=True)
        assert training_runs.describe(session, run_id, **change) == replace(described, **change)
        assert training_runs.get(session, untouched.id) == untouched


def test_deleted_runs_still_count_as_finished(sessions: Sessions, new_run: NewTrainingRun) -> None:
    finished = [bring_to(sessions, new_run, state) for state in ("finished", "finished", "failed", "queued")][:2]
    with sessions.begin() as session:
        assert training_runs.count_finished(session, new_run.label_set_id) == 2
        training_runs.delete(session, finished[0])
        assert training_runs.count_finished(session, new_run.label_set_id) == 2
        assert training_runs.count_finished(session, new_run.label_set_id + 1) == 0


@pytest.mark.parametrize("state", ["finished", "failed", "cancelled", "interrupted"])
def test_deleted_run_is_nowhere_and_leaves_its_number_unused(
    sessions: Sessions, new_run: NewTrainingRun, state: str
) -> None:
    kept, deleted = bring_to(sessions, new_run, "finished"), bring_to(sessions, new_run, state)
    with sessions.begin() as session:
        training_runs.delete(session, deleted)
    with sessions.begin() as session:
        assert [run.id for run in training_runs.list_for(session, new_run.collection_id)] == [kept]
        assert [run.id for run in training_runs.list_for(session, new_run.collection_id, new_run.label_set_id)] == [
            kept
        ]
        row = session.execute(
            text("SELECT number, label_snapshot FROM training_run WHERE deleted_at IS NOT NULL")
        ).one()
    assert tuple(row) == (2, "{}")
    again = queue(sessions, new_run)
    assert (again.id, again.number) == (3, 3)


@pytest.mark.parametrize(
    "read_or_step",
    [
        training_runs.get,
        training_runs.label_snapshot,
        training_states.cancel_request,
        training_states.resume,
        training_runs.delete,
        training_runs.describe,
        lambda session, run: training_runs.describe(session, run, name="a"),
        lambda session, run: training_runs.request_curve(session, run, "ann"),
        lambda session, run: training_runs.set_curve(session, run, CURVE),
        *STEPS.values(),
    ],
)
@pytest.mark.parametrize("is_deleted", [True, False])
def test_deleted_run_is_as_unknown_as_one_that_never_was(
    sessions: Sessions, new_run: NewTrainingRun, read_or_step: Callable[[Session, int], object], is_deleted: bool
) -> None:
    run_id = bring_to(sessions, new_run, "cancelled")
    if is_deleted:
        with sessions.begin() as session:
            training_runs.delete(session, run_id)
    else:
        run_id += 1
    with sessions.begin() as session, pytest.raises(UnknownRecord, match=f"no training run with the id {run_id}"):
        read_or_step(session, run_id)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_run_under_way_is_not_deleted(sessions: Sessions, new_run: NewTrainingRun, state: str) -> None:
    run_id = bring_to(sessions, new_run, state)
    with sessions.begin() as session, pytest.raises(ValueError, match=f"is {state}; cancel it"):
        training_runs.delete(session, run_id)
    with sessions.begin() as session:
        assert training_runs.get(session, run_id).state == state
        assert training_runs.label_snapshot(session, run_id) == {"1": {"d1": 1.0, "d2": 0.0}}


def test_learning_curve_is_asked_for_and_kept(sessions: Sessions, new_run: NewTrainingRun) -> None:
    run_id = bring_to(sessions, new_run, "finished")
    assert is_first_to_learn(sessions, None)
    with sessions.begin() as session:
        before = training_runs.get(session, run_id)
        assert training_runs.request_curve(session, run_id, "ann") == replace(before, wants_curve=True)
    with sessions.begin() as session:
        assert training_runs.get(session, run_id) == replace(before, wants_curve=True)
        training_runs.request_curve(session, run_id, "ben")  # once is enough
        assert len(training_runs.curves_under_way(session)) == 1
    assert is_first_to_learn(sessions, run_id)  # asking does not take it away
    with sessions.begin() as session:
        learn(session, run_id)
    with sessions.begin() as session:
        assert training_runs.get(session, run_id) == replace(before, curve=CURVE)
    assert is_first_to_learn(sessions, None)


def test_learning_curve_asked_for_again_stays_until_there_is_a_new_one(
    sessions: Sessions, new_run: NewTrainingRun
) -> None:
    run_id = bring_to(sessions, new_run, "finished")
    with sessions.begin() as session:
        training_runs.set_curve(session, run_id, CURVE)
        assert training_runs.request_curve(session, run_id, "ann").curve == CURVE
    with sessions.begin() as session:
        training_runs.set_curve(session, run_id, None)
        training_runs.withdraw_curve(session, run_id)
        kept = training_runs.get(session, run_id)
        is_sql_null = session.execute(text("SELECT curve IS NULL FROM training_run")).scalar_one()
    assert (kept.curve, kept.wants_curve, is_sql_null) == (None, False, 1)


def learn(session: Session, run_id: int) -> None:
    """Compute the learning curve whose turn it is, which is that of the run."""
    job = jobs.claim_next(session, {JobKind.CURVE})
    assert job is not None
    assert job.training_run_id == run_id
    training_runs.set_curve(session, run_id, CURVE)
    jobs.finish(session, job.id)


def test_curves_are_computed_in_the_order_asked_for(sessions: Sessions, new_run: NewTrainingRun) -> None:
    first, second, third = (bring_to(sessions, new_run, "finished") for _ in range(3))
    with sessions.begin() as session:
        training_runs.request_curve(session, first, "ann")
        training_runs.request_curve(session, third, "ann")
        training_runs.request_curve(session, second, "ann")
        training_runs.delete(session, first)
    assert is_first_to_learn(sessions, third)
    with sessions.begin() as session:
        learn(session, third)
    assert is_first_to_learn(sessions, second)


@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled", "interrupted"])
def test_curve_of_a_run_that_has_not_finished_is_refused(
    sessions: Sessions, new_run: NewTrainingRun, state: str
) -> None:
    run_id = bring_to(sessions, new_run, state)
    with sessions.begin() as session, pytest.raises(ValueError, match=f"to be finished, got {state}"):
        training_runs.request_curve(session, run_id, "ann")
    assert is_first_to_learn(sessions, None)


def test_curve_with_a_number_that_is_none_is_refused(sessions: Sessions, new_run: NewTrainingRun) -> None:
    run_id = bring_to(sessions, new_run, "finished")
    with pytest.raises(StatementError, match="not JSON compliant"), sessions.begin() as session:
        training_runs.set_curve(session, run_id, {"baseline": float("nan")})
