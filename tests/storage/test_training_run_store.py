from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from storage import jobs, label_sets, training_runs
from storage.errors import UnknownRecord
from storage.records import CollectionRecord, JobKind, JobState, NewTrainingRun, TrainingRunRecord
from tests.worlds import training_states
from tests.worlds.training_states import STEPS, bring_to, claim, queue

Sessions = sessionmaker[Session]


def test_queued_run_comes_back_as_it_was_given(sessions: Sessions, new_run: NewTrainingRun) -> None:
    queued = queue(sessions, new_run)
    assert queued == TrainingRunRecord(
        id=1,
        collection_id=new_run.collection_id,
        label_set_id=new_run.label_set_id,
        number=1,
        state=JobState.QUEUED,
        recipe="era",
        seed=7,
        config={"steps": 100},
        snapshot_hash="c" * 64,
        n_queries=1,
        n_relevant=1,
        n_not_relevant=1,
        stage="",
        fraction=0.0,
        message="",
        measures=None,
        device=None,
        author="ann",
        is_cancel_requested=False,
        created_at=queued.created_at,
        started_at=None,
        finished_at=None,
        heartbeat_at=None,
        name="",
        note="",
        is_pinned=False,
        is_archived=False,
        rerun_of=None,
        curve=None,
        wants_curve=False,
        job_id=1,
    )
    with sessions.begin() as session:
        assert training_runs.get(session, queued.id) == queued
        assert training_runs.label_snapshot(session, queued.id) == {"1": {"d1": 1.0, "d2": 0.0}}


def test_numbers_count_per_collection(
    sessions: Sessions, new_run: NewTrainingRun, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        other = add_collection(session, "fish")
        other_run = replace(
            new_run,
            collection_id=other.id,
            label_set_id=label_sets.get_or_create(session, other.id, "main", "ann").id,
        )
    numbers = [queue(sessions, run).number for run in (new_run, new_run, other_run, new_run)]
    assert numbers == [1, 2, 1, 3]


def test_numbers_are_given_once_by_many_threads(
    sessions: Sessions, new_run: NewTrainingRun, at_once: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    queued: list[TrainingRunRecord] = at_once(8, lambda _: queue(sessions, new_run))
    assert sorted(run.number for run in queued) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_run_of_an_unknown_collection_is_refused(sessions: Sessions, new_run: NewTrainingRun) -> None:
    with pytest.raises(UnknownRecord, match="no collection with the id 42"):
        queue(sessions, replace(new_run, collection_id=42))


def test_oldest_queued_run_is_claimed_first(sessions: Sessions, new_run: NewTrainingRun) -> None:
    first, second = queue(sessions, new_run), queue(sessions, new_run)
    claimed = claim(sessions)
    assert (claimed.id, claimed.state) == (first.id, JobState.RUNNING)
    assert claimed.started_at is not None
    assert claimed.heartbeat_at == claimed.started_at
    assert claim(sessions).id == second.id
    with sessions.begin() as session:
        assert training_states.claim_next(session) is None


def test_each_run_is_claimed_once_by_many_threads(
    sessions: Sessions, new_run: NewTrainingRun, at_once: Callable[[int, Callable[[int], Any]], list[Any]]
) -> None:
    queued = [queue(sessions, new_run).id for _ in range(20)]

    def claim_all(number: int) -> list[int]:
        mine: list[int] = []
        while True:
            with sessions.begin() as session:
                claimed = training_states.claim_next(session)
            if claimed is None:
                return mine
            mine.append(claimed.id)

    claimed = [run_id for of_one_thread in at_once(8, claim_all) for run_id in of_one_thread]
    assert sorted(claimed) == queued


def test_progress_is_noted_with_a_sign_of_life(
    sessions: Sessions, new_run: NewTrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(sessions, new_run)
    claimed = claim(sessions)
    later = datetime(2124, 5, 1, 12, tzinfo=UTC)
    monkeypatch.setattr(jobs, "utc_now", lambda: later)
    with sessions.begin() as session:
        noted = training_states.progress(session, claimed.id, stage="align", fraction=0.25, message="Reading")
    assert noted == replace(claimed, stage="align", fraction=0.25, message="Reading", heartbeat_at=later)
    with sessions.begin() as session:
        assert training_runs.get(session, claimed.id) == noted


@pytest.mark.parametrize("fraction", [-0.01, 1.01, float("nan")])
def test_impossible_fraction_is_refused(sessions: Sessions, new_run: NewTrainingRun, fraction: float) -> None:
    run_id = bring_to(sessions, new_run, "running")
    with sessions.begin() as session, pytest.raises(ValueError, match="fraction from 0 to 1"):
        training_states.progress(session, run_id, stage="align", fraction=fraction, message="")


def test_finished_run_keeps_its_measures(sessions: Sessions, new_run: NewTrainingRun) -> None:
    run_id = bring_to(sessions, new_run, "running")
    with sessions.begin() as session:
        training_states.finish(session, run_id, measures={"nDCG@10": {"before": 0.25, "after": 0.5}}, device="cuda:0")
    with sessions.begin() as session:
        found = training_runs.get(session, run_id)
    assert (found.state, found.fraction, found.device) == (JobState.FINISHED, 1.0, "cuda:0")
    assert found.measures == {"nDCG@10": {"before": 0.25, "after": 0.5}}
    assert found.finished_at is not None
    assert (found.message, found.config) == ("", {"steps": 100})


def test_finished_run_keeps_its_config_and_a_message_that_replaces_the_last_progress(
    sessions: Sessions, new_run: NewTrainingRun
) -> None:
    run_id = bring_to(sessions, new_run, "running")
    with sessions.begin() as session:
        training_states.progress(session, run_id, stage="adapt", fraction=0.9, message="Step 9 of 10")
        training_states.finish(
            session, run_id, measures={}, device="cpu", config={"strength": 0.5}, message="Done on the CPU"
        )
    with sessions.begin() as session:
        found = training_runs.get(session, run_id)
    assert (found.config, found.message) == ({"strength": 0.5}, "Done on the CPU")


def test_failed_run_keeps_the_reason(sessions: Sessions, new_run: NewTrainingRun) -> None:
    run_id = bring_to(sessions, new_run, "failed")
    with sessions.begin() as session:
        found = training_runs.get(session, run_id)
    assert (found.state, found.message) == (JobState.FAILED, "no memory left")
    assert found.finished_at is not None


@pytest.mark.parametrize("step", list(STEPS))
@pytest.mark.parametrize("state", ["finished", "failed", "cancelled", "interrupted"])
def test_ended_run_takes_no_further_step(sessions: Sessions, new_run: NewTrainingRun, state: str, step: str) -> None:
    run_id = bring_to(sessions, new_run, state)
    with sessions.begin() as session:
        before = training_runs.get(session, run_id)
        with pytest.raises(ValueError, match=state):
            STEPS[step](session, run_id)
        assert training_runs.get(session, run_id) == before


@pytest.mark.parametrize("step", ["progress", "finish", "fail"])
def test_queued_run_must_be_claimed_before_it_goes_on(sessions: Sessions, new_run: NewTrainingRun, step: str) -> None:
    run_id = bring_to(sessions, new_run, "queued")
    with sessions.begin() as session, pytest.raises(ValueError, match="queued"):
        STEPS[step](session, run_id)


def test_refused_step_names_both_states(sessions: Sessions, new_run: NewTrainingRun) -> None:
    run_id = bring_to(sessions, new_run, "cancelled")
    with sessions.begin() as session, pytest.raises(ValueError, match="is cancelled and cannot become finished"):
        STEPS["finish"](session, run_id)


@pytest.mark.parametrize(
    "read_or_step",
    [
        training_runs.get,
        training_runs.label_snapshot,
        training_states.cancel_request,
        *STEPS.values(),
    ],
)
def test_unknown_run_is_named(sessions: Sessions, read_or_step: Callable[[Session, int], object]) -> None:
    with sessions.begin() as session, pytest.raises(UnknownRecord, match="no training run with the id 6"):
        read_or_step(session, 6)


def test_cancelling_a_queued_run_ends_it_at_once(sessions: Sessions, new_run: NewTrainingRun) -> None:
    run_id = bring_to(sessions, new_run, "queued")
    with sessions.begin() as session:
        cancelled = training_states.cancel_request(session, run_id)
        assert training_states.claim_next(session) is None
    assert (cancelled.state, cancelled.is_cancel_requested) == (JobState.CANCELLED, True)
    assert cancelled.finished_at is not None


def test_cancelling_a_running_run_asks_its_worker(sessions: Sessions, new_run: NewTrainingRun) -> None:
    run_id = bring_to(sessions, new_run, "running")
    with sessions.begin() as session:
        assert not training_runs.get(session, run_id).is_cancel_requested
        asked = training_states.cancel_request(session, run_id)
    assert (asked.state, asked.is_cancel_requested) == (JobState.RUNNING, True)
    with sessions.begin() as session:
        assert training_runs.get(session, run_id).is_cancel_requested
        assert STEPS["progress"](session, run_id).is_cancel_requested
        assert training_states.mark_cancelled(session, run_id).state == JobState.CANCELLED


def test_cancelling_too_late_changes_nothing(sessions: Sessions, new_run: NewTrainingRun) -> None:
    run_id = bring_to(sessions, new_run, "finished")
    with sessions.begin() as session:
        before = training_runs.get(session, run_id)
        assert training_states.cancel_request(session, run_id) == before


def test_start_up_interrupts_what_runs_and_keeps_the_queue(sessions: Sessions, new_run: NewTrainingRun) -> None:
    finished = bring_to(sessions, new_run, "finished")
    running = bring_to(sessions, new_run, "running")
    queued = bring_to(sessions, new_run, "queued")
    with sessions.begin() as session:
        assert training_states.mark_interrupted_all_running(session) == 1
    with sessions.begin() as session:
        states = {run.id: run.state for run in training_runs.list_for(session, new_run.collection_id)}
        assert training_runs.get(session, running).finished_at is not None
    assert states == {
        finished: JobState.FINISHED,
        running: JobState.INTERRUPTED,
        queued: JobState.QUEUED,
    }
    assert claim(sessions).id == queued


@pytest.mark.parametrize(
    ("state", "is_active"),
    [("queued", True), ("running", True), ("finished", False), ("failed", False), ("interrupted", False)],
)
def test_collection_is_active_while_a_run_is_queued_or_running(
    sessions: Sessions, new_run: NewTrainingRun, state: str, is_active: bool
) -> None:
    with sessions.begin() as session:
        assert not jobs.has_under_way(session, {JobKind.TRAIN}, new_run.collection_id)
    bring_to(sessions, new_run, state)
    with sessions.begin() as session:
        assert jobs.has_under_way(session, {JobKind.TRAIN}, new_run.collection_id) is is_active
        assert not jobs.has_under_way(session, {JobKind.TRAIN}, new_run.collection_id + 1)


def test_runs_are_listed_newest_first_and_by_label_set(sessions: Sessions, new_run: NewTrainingRun) -> None:
    with sessions.begin() as session:
        other = label_sets.get_or_create(session, new_run.collection_id, "other", "ann")
    first = queue(sessions, new_run)
    second = queue(sessions, replace(new_run, label_set_id=other.id))
    third = queue(sessions, new_run)
    with sessions.begin() as session:
        assert training_runs.list_for(session, new_run.collection_id) == [third, second, first]
        assert training_runs.list_for(session, new_run.collection_id, other.id) == [second]


def test_database_itself_refuses_an_unknown_state(sessions: Sessions, new_run: NewTrainingRun) -> None:
    queue(sessions, new_run)
    with pytest.raises(IntegrityError, match="CHECK constraint failed: ck_job_state"), sessions.begin() as s:
        s.execute(text("UPDATE job SET state = 'paused'"))
