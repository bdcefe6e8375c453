from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session, sessionmaker

from storage import jobs, label_sets, training_runs
from storage.errors import UnknownRecord
from storage.records import CollectionRecord, JobState, NewTrainingRun
from storage.schema import JobRow
from tests.worlds import training_states
from tests.worlds.training_states import bring_to, claim, queue

Sessions = sessionmaker[Session]


def queued_ids(sessions: Sessions) -> list[int]:
    with sessions.begin() as session:
        return [run.id for run in training_states.in_queue(session)]


@pytest.mark.parametrize("state", ["failed", "cancelled", "interrupted"])
def test_resumed_run_is_queued_as_if_it_had_never_begun(
    sessions: Sessions, new_run: NewTrainingRun, state: str
) -> None:
    queued = queue(sessions, new_run)
    claim(sessions)
    with sessions.begin() as session:
        training_states.progress(session, queued.id, stage="adapt", fraction=0.5, message="Half way")
        training_states.cancel_request(session, queued.id)
        if state == "failed":
            training_states.fail(session, queued.id, error="no memory left")
        elif state == "cancelled":
            training_states.mark_cancelled(session, queued.id)
        else:
            training_states.mark_interrupted_all_running(session)
        assert training_runs.get(session, queued.id).finished_at is not None
    with sessions.begin() as session:
        assert training_states.resume(session, queued.id) == queued
    with sessions.begin() as session:
        assert training_runs.get(session, queued.id) == queued
        assert training_runs.label_snapshot(session, queued.id) == {"1": {"d1": 1.0, "d2": 0.0}}
    assert claim(sessions).id == queued.id


def test_run_cancelled_before_it_began_can_be_resumed(sessions: Sessions, new_run: NewTrainingRun) -> None:
    queued = queue(sessions, new_run)
    with sessions.begin() as session:
        training_states.cancel_request(session, queued.id)
        assert training_states.resume(session, queued.id) == queued


def test_resumed_run_goes_to_the_end_of_the_queue(sessions: Sessions, new_run: NewTrainingRun) -> None:
    first, second = queue(sessions, new_run).id, queue(sessions, new_run).id
    with sessions.begin() as session:
        training_states.cancel_request(session, first)
        training_states.resume(session, first)
    third = queue(sessions, new_run).id
    assert queued_ids(sessions) == [second, first, third]
    assert [claim(sessions).id for _ in range(3)] == [second, first, third]


def test_runs_queued_at_the_same_moment_are_done_by_id(
    sessions: Sessions, new_run: NewTrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bring_to(sessions, new_run, "failed")
    second = bring_to(sessions, new_run, "failed")
    monkeypatch.setattr(jobs, "utc_now", lambda: datetime(2124, 5, 1, 12, tzinfo=UTC))
    with sessions.begin() as session:
        training_states.resume(session, second)
        training_states.resume(session, first)
    assert queued_ids(sessions) == [first, second]
    assert claim(sessions).id == first


def test_people_take_turns_however_many_runs_one_of_them_queued(sessions: Sessions, new_run: NewTrainingRun) -> None:
    def queue_of(author: str) -> int:
        return queue(sessions, replace(new_run, author=author)).id

    anns = [queue_of("ann") for _ in range(4)]
    assert claim(sessions).id == anns[0]
    bens, cleos = [queue_of("ben") for _ in range(2)], [queue_of("cleo")]
    assert queued_ids(sessions) == [anns[0], bens[0], cleos[0], anns[1], bens[1], anns[2], anns[3]]
    with sessions.begin() as session:
        training_states.finish(session, anns[0], measures={}, device="cpu")
    assert [claim(sessions).id for _ in range(3)] == [bens[0], cleos[0], anns[1]]
    cleos.append(queue_of("cleo"))  # served longer ago than Ann, and so is Ben
    assert [claim(sessions).id for _ in range(4)] == [bens[1], cleos[1], anns[2], anns[3]]


@pytest.mark.parametrize("state", ["queued", "running", "finished"])
def test_run_that_is_under_way_or_done_cannot_be_resumed(
    sessions: Sessions, new_run: NewTrainingRun, state: str
) -> None:
    run_id = bring_to(sessions, new_run, state)
    with sessions.begin() as session:
        before = training_runs.get(session, run_id)
        with pytest.raises(ValueError, match=f"is {state} and cannot be resumed"):
            training_states.resume(session, run_id)
        assert training_runs.get(session, run_id) == before


def test_unknown_run_cannot_be_resumed(sessions: Sessions) -> None:
    with sessions.begin() as session, pytest.raises(UnknownRecord, match="no training run with the id 6"):
        training_states.resume(session, 6)


def test_queue_has_what_runs_first_then_what_waits_of_all_collections(
    sessions: Sessions, new_run: NewTrainingRun, add_collection: Callable[[Session, str], CollectionRecord]
) -> None:
    with sessions.begin() as session:
        other = add_collection(session, "fish")
        main = label_sets.get_or_create(session, other.id, "main", "ann")
    for state in ("finished", "failed", "cancelled", "interrupted"):
        bring_to(sessions, new_run, state)
    assert queued_ids(sessions) == []
    interrupted_id = 4
    waiting = queue(sessions, replace(new_run, collection_id=other.id, label_set_id=main.id))
    claimed = claim(sessions)
    with sessions.begin() as session:
        training_states.resume(session, interrupted_id)
    last = queue(sessions, new_run)
    with sessions.begin() as session:
        found = training_states.in_queue(session)
    assert claimed.id == waiting.id
    assert [run.id for run in found] == [claimed.id, interrupted_id, last.id]
    assert [run.collection_id for run in found] == [other.id, new_run.collection_id, new_run.collection_id]
    assert found[0] == claimed


def test_what_runs_stays_first_even_if_it_was_queued_last(sessions: Sessions, new_run: NewTrainingRun) -> None:
    first = bring_to(sessions, new_run, "failed")
    running = bring_to(sessions, new_run, "running")
    with sessions.begin() as session:
        earlier = datetime(2024, 5, 1, 12, tzinfo=UTC)
        row = session.get_one(JobRow, training_runs.get(session, first).job_id)
        row.state, row.queued_at = JobState.QUEUED, earlier
    assert queued_ids(sessions) == [running, first]


def test_run_remembers_which_run_it_repeats(sessions: Sessions, new_run: NewTrainingRun) -> None:
    first = bring_to(sessions, new_run, "finished")
    again = queue(sessions, replace(new_run, rerun_of=first))
    assert again.rerun_of == first
    with sessions.begin() as session:
        assert [run.rerun_of for run in training_runs.list_for(session, new_run.collection_id)] == [first, None]
