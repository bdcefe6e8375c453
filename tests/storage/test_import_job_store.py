"""The queue of imports: one after the other, each step only from the states that allow it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from storage import import_jobs
from storage.errors import UnknownRecord
from storage.records import CollectionRecord, ImportKind, ImportState, NewImportJob

Sessions = sessionmaker[Session]
NEW = NewImportJob(ImportKind.NEW, "fish", {"hub": "", "mapping": {"id": "Nr."}}, "ann")


def test_import_comes_back_as_it_was_asked_for(sessions: Sessions, collection: CollectionRecord) -> None:
    wanted = NewImportJob(ImportKind.REPLACE, "birds", {"format": "table"}, "ben", collection.id)
    with sessions.begin() as session:
        job = import_jobs.create_queued(session, wanted)
    with sessions.begin() as session:
        assert import_jobs.get(session, job.id) == job
    assert (job.kind, job.name, job.request, job.author, job.collection_id, job.staging_id) == (
        ImportKind.REPLACE, "birds", {"format": "table"}, "ben", collection.id, None,
    )  # fmt: skip
    assert (job.state, job.fraction, job.message, job.error, list(job.remarks), job.is_cancel_requested) == (
        ImportState.QUEUED, 0.0, "", "", [], False,
    )  # fmt: skip


def test_queue_is_worked_off_in_order_and_resumed_ones_come_last(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first, second = (import_jobs.create_queued(session, NEW) for _ in range(2))
        claimed = import_jobs.claim_next(session)
        assert claimed is not None
        assert (claimed.id, claimed.state) == (first.id, ImportState.RUNNING)
        import_jobs.fail(session, first.id, "the disk is full")
        assert import_jobs.get(session, first.id).error == "the disk is full"
        resumed = import_jobs.resume(session, first.id)
        assert (resumed.state, resumed.error, resumed.finished_at) == (ImportState.QUEUED, "", None)
        order = [import_jobs.claim_next(session) for _ in range(3)]
    assert [job and job.id for job in order] == [second.id, first.id, None]


def test_people_take_turns_however_many_imports_one_of_them_queued(sessions: Sessions) -> None:
    def queue_of(author: str) -> int:
        with sessions.begin() as session:
            return import_jobs.create_queued(session, replace(NEW, author=author)).id

    def do_next() -> int:
        with sessions.begin() as session:
            claimed = import_jobs.claim_next(session)
            assert claimed is not None
            import_jobs.progress(session, claimed.id, stage="reading", fraction=0.5, message="half")
            import_jobs.fail(session, claimed.id, "no such column")
        return claimed.id

    anns = [queue_of("ann") for _ in range(3)]
    assert do_next() == anns[0]
    bens = [queue_of("ben") for _ in range(2)]
    given_up = queue_of("cleo")
    with sessions.begin() as session:
        import_jobs.cancel_request(session, given_up)
    cleos = queue_of("cleo")  # what never had its turn does not count as one
    assert [do_next() for _ in range(5)] == [bens[0], cleos, anns[1], bens[1], anns[2]]


def test_progress_is_noted_while_it_runs(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = import_jobs.create_queued(session, NEW)
        with pytest.raises(ValueError, match="is queued"):
            import_jobs.progress(session, job.id, stage="embedding", fraction=0.5, message="half")
        import_jobs.claim_next(session)
        with pytest.raises(ValueError, match="from 0 to 1"):
            import_jobs.progress(session, job.id, stage="embedding", fraction=1.5, message="half")
        noted = import_jobs.progress(session, job.id, stage="embedding", fraction=0.5, message="half")
    assert (noted.stage, noted.fraction, noted.message) == ("embedding", 0.5, "half")


def test_finished_import_names_its_collection_and_nothing_waits_any_more(
    sessions: Sessions, collection: CollectionRecord
) -> None:
    with sessions.begin() as session:
        job = import_jobs.create_queued(session, NEW)
        import_jobs.set_staging(session, job.id, collection.id)
        import_jobs.claim_next(session)
        ended = import_jobs.finish(session, job.id, collection_id=collection.id, message="3 documents", remarks=["a"])
    assert (ended.state, ended.collection_id, ended.staging_id, ended.fraction) == (
        ImportState.FINISHED, collection.id, None, 1.0,
    )  # fmt: skip
    assert (ended.message, list(ended.remarks)) == ("3 documents", ["a"])
    assert ended.finished_at is not None


def test_cancelling_ends_a_waiting_import_and_asks_a_running_one(sessions: Sessions) -> None:
    with sessions.begin() as session:
        running, waiting = (import_jobs.create_queued(session, NEW) for _ in range(2))
        import_jobs.claim_next(session)
        assert import_jobs.cancel_request(session, waiting.id).state is ImportState.CANCELLED
        asked = import_jobs.cancel_request(session, running.id)
        assert (asked.state, asked.is_cancel_requested) == (ImportState.RUNNING, True)
        assert import_jobs.mark_cancelled(session, running.id).state is ImportState.CANCELLED
        assert import_jobs.cancel_request(session, running.id).state is ImportState.CANCELLED


@pytest.mark.parametrize(
    "step",
    [
        lambda session, job_id: import_jobs.resume(session, job_id),
        lambda session, job_id: import_jobs.fail(session, job_id, "no"),
        lambda session, job_id: import_jobs.finish(session, job_id, collection_id=1, message="", remarks=[]),
        lambda session, job_id: import_jobs.mark_cancelled(session, job_id),
    ],
    ids=["resume", "fail", "finish", "cancel"],
)
def test_cancelled_import_takes_no_further_step(sessions: Sessions, step: Callable[[Session, int], Any]) -> None:
    with sessions.begin() as session:
        job = import_jobs.create_queued(session, NEW)
        import_jobs.cancel_request(session, job.id)
        with pytest.raises(ValueError, match="is cancelled"):
            step(session, job.id)


def test_what_a_killed_process_left_is_interrupted_and_can_go_on(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first, second = (import_jobs.create_queued(session, NEW) for _ in range(2))
        import_jobs.claim_next(session)
        assert import_jobs.mark_interrupted_all_running(session) == 1
        assert [job.state for job in import_jobs.list_all(session)] == [ImportState.INTERRUPTED, ImportState.QUEUED]
        import_jobs.resume(session, first.id)
        claimed = import_jobs.claim_next(session)
        assert claimed is not None
        assert claimed.id == second.id


def test_only_what_has_ended_can_be_removed_and_its_id_is_not_given_again(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = import_jobs.create_queued(session, NEW)
        with pytest.raises(ValueError, match="cancel it before"):
            import_jobs.remove(session, job.id)
        import_jobs.cancel_request(session, job.id)
        import_jobs.remove(session, job.id)
        with pytest.raises(UnknownRecord, match="no import with the id"):
            import_jobs.get(session, job.id)
        assert import_jobs.create_queued(session, NEW).id == job.id + 1
