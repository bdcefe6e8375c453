"""The queue of imports: one after the other, each step only from the states that allow it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from storage import jobs
from storage.errors import UnknownRecord
from storage.records import IMPORTS, CollectionRecord, JobKind, JobState, NewJob

Sessions = sessionmaker[Session]
NEW = NewJob(JobKind.NEW, "ann", "fish", {"hub": "", "mapping": {"id": "Nr."}})


def test_import_comes_back_as_it_was_asked_for(sessions: Sessions, collection: CollectionRecord) -> None:
    wanted = NewJob(JobKind.REPLACE, "ben", "birds", {"format": "table"}, collection.id)
    with sessions.begin() as session:
        job = jobs.create_queued(session, wanted)
    with sessions.begin() as session:
        assert jobs.get(session, job.id) == job
    assert (job.kind, job.name, job.request, job.author, job.collection_id, job.staging_id) == (
        JobKind.REPLACE, "birds", {"format": "table"}, "ben", collection.id, None,
    )  # fmt: skip
    assert (job.state, job.fraction, job.message, job.error, list(job.remarks), job.is_cancel_requested) == (
        JobState.QUEUED, 0.0, "", "", [], False,
    )  # fmt: skip


def test_queue_is_worked_off_in_order_and_resumed_ones_come_last(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first, second = (jobs.create_queued(session, NEW) for _ in range(2))
        claimed = jobs.claim_next(session, IMPORTS)
        assert claimed is not None
        assert (claimed.id, claimed.state) == (first.id, JobState.RUNNING)
        jobs.fail(session, first.id, "the disk is full")
        assert jobs.get(session, first.id).error == "the disk is full"
        resumed = jobs.resume(session, first.id)
        assert (resumed.state, resumed.error, resumed.finished_at) == (JobState.QUEUED, "", None)
        order = [jobs.claim_next(session, IMPORTS) for _ in range(3)]
    assert [job and job.id for job in order] == [second.id, first.id, None]


def test_people_take_turns_however_many_imports_one_of_them_queued(sessions: Sessions) -> None:
    def queue_of(author: str) -> int:
        with sessions.begin() as session:
            return jobs.create_queued(session, replace(NEW, author=author)).id

    def do_next() -> int:
        with sessions.begin() as session:
            claimed = jobs.claim_next(session, IMPORTS)
            assert claimed is not None
            jobs.progress(session, claimed.id, stage="reading", fraction=0.5, message="half")
            jobs.fail(session, claimed.id, "no such column")
        return claimed.id

    anns = [queue_of("ann") for _ in range(3)]
    assert do_next() == anns[0]
    bens = [queue_of("ben") for _ in range(2)]
    given_up = queue_of("cleo")
    with sessions.begin() as session:
        jobs.cancel_request(session, given_up)
    cleos = queue_of("cleo")  # what never had its turn does not count as one
    assert [do_next() for _ in range(5)] == [bens[0], cleos, anns[1], bens[1], anns[2]]


def test_progress_is_noted_while_it_runs(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = jobs.create_queued(session, NEW)
        with pytest.raises(ValueError, match="is queued"):
            jobs.progress(session, job.id, stage="embedding", fraction=0.5, message="half")
        jobs.claim_next(session, IMPORTS)
        with pytest.raises(ValueError, match="from 0 to 1"):
            jobs.progress(session, job.id, stage="embedding", fraction=1.5, message="half")
        noted = jobs.progress(session, job.id, stage="embedding", fraction=0.5, message="half")
    assert (noted.stage, noted.fraction, noted.message) == ("embedding", 0.5, "half")


def test_finished_import_names_its_collection_and_nothing_waits_any_more(
    sessions: Sessions, collection: CollectionRecord
) -> None:
    with sessions.begin() as session:
        job = jobs.create_queued(session, NEW)
        jobs.set_staging(session, job.id, collection.id)
        jobs.claim_next(session, IMPORTS)
        ended = jobs.finish(session, job.id, collection_id=collection.id, message="3 documents", remarks=["a"])
    assert (ended.state, ended.collection_id, ended.staging_id, ended.fraction) == (
        JobState.FINISHED, collection.id, None, 1.0,
    )  # fmt: skip
    assert (ended.message, list(ended.remarks)) == ("3 documents", ["a"])
    assert ended.finished_at is not None


def test_cancelling_ends_a_waiting_import_and_asks_a_running_one(sessions: Sessions) -> None:
    with sessions.begin() as session:
        running, waiting = (jobs.create_queued(session, NEW) for _ in range(2))
        jobs.claim_next(session, IMPORTS)
        assert jobs.cancel_request(session, waiting.id).state is JobState.CANCELLED
        asked = jobs.cancel_request(session, running.id)
        assert (asked.state, asked.is_cancel_requested) == (JobState.RUNNING, True)
        assert jobs.mark_cancelled(session, running.id).state is JobState.CANCELLED
        assert jobs.cancel_request(session, running.id).state is JobState.CANCELLED


@pytest.mark.parametrize(
    "step",
    [
        lambda session, job_id: jobs.put_back(session, job_id),
        lambda session, job_id: jobs.fail(session, job_id, "no"),
        lambda session, job_id: jobs.finish(session, job_id, collection_id=1, message="", remarks=[]),
        lambda session, job_id: jobs.mark_cancelled(session, job_id),
    ],
    ids=["put back", "fail", "finish", "cancel"],
)
def test_cancelled_import_takes_no_further_step(sessions: Sessions, step: Callable[[Session, int], Any]) -> None:
    with sessions.begin() as session:
        job = jobs.create_queued(session, NEW)
        jobs.cancel_request(session, job.id)
        with pytest.raises(ValueError, match="is cancelled"):
            step(session, job.id)


def test_what_a_killed_process_left_is_interrupted_and_can_go_on(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first, second = (jobs.create_queued(session, NEW) for _ in range(2))
        jobs.claim_next(session, IMPORTS)
        assert [job.id for job in jobs.mark_interrupted_all_running(session, IMPORTS)] == [first.id]
        assert [job.state for job in jobs.list_all(session, IMPORTS)] == [JobState.INTERRUPTED, JobState.QUEUED]
        jobs.resume(session, first.id)
        claimed = jobs.claim_next(session, IMPORTS)
        assert claimed is not None
        assert claimed.id == second.id


def test_only_what_has_ended_can_be_removed_and_its_id_is_not_given_again(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = jobs.create_queued(session, NEW)
        with pytest.raises(ValueError, match="cancel it before"):
            jobs.remove(session, job.id)
        jobs.cancel_request(session, job.id)
        jobs.remove(session, job.id)
        with pytest.raises(UnknownRecord, match="no job with the id"):
            jobs.get(session, job.id)
        assert jobs.create_queued(session, NEW).id == job.id + 1


def test_kinds_have_queues_and_turns_of_their_own(sessions: Sessions) -> None:
    with sessions.begin() as session:
        imported = jobs.create_queued(session, NEW)
        read = jobs.create_queued(session, replace(NEW, kind=JobKind.STRONG_INDEX))
        assert jobs.has_queued(session, {JobKind.STRONG_INDEX})
        claimed = jobs.claim_next(session, {JobKind.STRONG_INDEX})
        assert claimed is not None
        assert claimed.id == read.id
        assert not jobs.has_queued(session, {JobKind.STRONG_INDEX})
        assert jobs.has_under_way(session, {JobKind.STRONG_INDEX})
        assert jobs.mark_interrupted_all_running(session, IMPORTS) == []
        assert [job.id for job in jobs.queue(session, list(JobKind))] == [read.id, imported.id]


def test_job_that_makes_way_comes_before_what_was_queued_later(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first, second = (jobs.create_queued(session, NEW) for _ in range(2))
        jobs.claim_next(session, IMPORTS)
        assert jobs.put_back(session, first.id).state is JobState.QUEUED
        assert [job.id for job in jobs.queue(session, IMPORTS)] == [first.id, second.id]
