"""What a training run survives: a kill, a database that is locked or full, cancelling at every stage."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import storage.jobs
import storage.label_sets
import storage.training_runs
from annotation.jobs import progress
from annotation.jobs.progress import Reporter
from annotation.jobs.worker import Worker
from annotation.ranking.rankers import default_ranker
from annotation.retrieval.open_collection import OpenCollection
from annotation.training import start
from annotation.training.train import SHARES, Outcome
from annotation.workspace import Workspace
from era.adapter import QueryAdapter
from era.errors import Cancelled
from era.evaluation import held_out
from era.index.lexical import LexicalIndex
from era.method import recipes
from era.method.influence import Influence
from era.method.recipes import Fit
from storage.errors import DatabaseBusy, DataFolderNotWritable
from storage.records import JobKind, JobState
from tests.worlds.desk import Desk, training_worker
from tests.worlds.words import DOCUMENTS


@pytest.fixture
def worker_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Workspace], Worker]]:
    """Return what makes a worker with short pauses; it is closed with the test."""
    monkeypatch.setattr("annotation.jobs.worker._PAUSE_S", 0.01)
    workers: list[Worker] = []

    def make(workspace: Workspace) -> Worker:
        workers.append(training_worker(workspace))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


def failing(times: int, error: Exception, then: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that raises the error so many times before it does what it should."""
    left = [times]

    def call(*args: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return then(*args, **named)

    return call


@pytest.mark.parametrize("step", ["claim_next", "finish"])
@pytest.mark.parametrize(
    "make_error",
    [lambda folder: DatabaseBusy(folder, "locked"), lambda folder: DataFolderNotWritable(folder, "disk is full")],
    ids=["locked", "full"],
)
def test_run_finishes_although_the_database_fails_at_first(
    judged_desk: Desk,
    worker_of: Callable[[Workspace], Worker],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    make_error: Callable[[Any], Exception],
) -> None:
    run, error = judged_desk.start(), make_error(judged_desk.workspace.folder)
    monkeypatch.setattr(storage.jobs, step, failing(3, error, getattr(storage.jobs, step)))
    worker_of(judged_desk.workspace).start()
    assert judged_desk.wait_for(run.id).state is JobState.FINISHED


def test_run_fails_once_the_database_takes_that_down(
    judged_desk: Desk, worker_of: Callable[[Workspace], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Outcome:
        raise ValueError("The reason.")

    monkeypatch.setattr("annotation.training.jobs.train", broken)
    busy = DatabaseBusy(judged_desk.workspace.folder, "locked")
    monkeypatch.setattr(storage.jobs, "fail", failing(3, busy, storage.jobs.fail))
    run, worker = judged_desk.start(), worker_of(judged_desk.workspace)
    worker.start()
    ended = judged_desk.wait_for(run.id)
    assert (ended.state, ended.message) == (JobState.FAILED, "The reason.")
    monkeypatch.undo()
    again = judged_desk.start()
    worker.poke()
    assert judged_desk.wait_for(again.id).state is JobState.FINISHED


def test_progress_that_cannot_be_written_does_not_stop_a_run(
    judged_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = judged_desk.start()
    with judged_desk.workspace.writing() as session:
        storage.jobs.claim_next(session, {JobKind.TRAIN})
    busy = DatabaseBusy(judged_desk.workspace.folder, "locked")
    monkeypatch.setattr(storage.jobs, "progress", failing(1, busy, storage.jobs.progress))
    report = Reporter(judged_desk.workspace, run.job_id, lambda: False, SHARES)
    report("embedding", 0.5, "unheard")
    report("alignment", 0.5, "heard")
    assert (judged_desk.run(run.id).stage, judged_desk.run(run.id).message) == ("alignment", "heard")


@pytest.mark.parametrize("stage", SHARES)
def test_run_is_cancelled_at_every_stage(
    judged_desk: Desk,
    worker_of: Callable[[Workspace], Worker],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    judged_desk.mark(judged_desk.ask("moth", "vet"), "moth-illness", 1.0, 1)  # which has to be embedded first
    run, seen = judged_desk.start(), []
    call = Reporter.__call__

    def cancelling(self: Reporter, now: str, fraction: float, detail: str = "") -> None:
        seen.append(now)
        if now == stage and stage not in seen[:-1]:
            start.cancel(judged_desk.workspace, "ann", run.id)
        call(self, now, fraction, detail)

    monkeypatch.setattr(Reporter, "__call__", cancelling)
    worker_of(judged_desk.workspace).start()
    ended = judged_desk.wait_for(run.id)
    assert (ended.state, ended.measures) == (JobState.CANCELLED, None)
    assert seen[-1] == stage, f"went on to {seen[-1]}"
    assert not judged_desk.workspace.adapter_folder(run.id).exists()


def test_evaluation_can_be_cancelled_between_a_few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "_AT_ONCE", 5)
    said: list[float] = []
    batches = held_out._batches(7, lambda stage, fraction, detail: said.append(fraction), 0.3, 0.3)  # type: ignore[arg-type]
    assert list(batches) == [slice(0, 5), slice(5, 10)]
    assert said == pytest.approx([0.3, 0.3 + 0.3 * 5 / 7])


def test_run_is_cancelled_while_words_are_counted(
    judged_desk: Desk, worker_of: Callable[[Workspace], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = judged_desk.start()
    count = OpenCollection.words

    def cancelled_meanwhile(self: OpenCollection) -> LexicalIndex:
        assert judged_desk.run(run.id).message == "counting words"
        start.cancel(judged_desk.workspace, "ann", run.id)
        return count(self)

    monkeypatch.setattr(OpenCollection, "words", cancelled_meanwhile)
    monkeypatch.setattr(progress, "_PAUSE_S", 0.0)
    worker_of(judged_desk.workspace).start()
    ended = judged_desk.wait_for(run.id)
    assert (ended.state, ended.measures) == (JobState.CANCELLED, None)
    assert not judged_desk.workspace.adapter_folder(run.id).exists()


def test_run_is_not_lost_where_words_cannot_be_counted(judged_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(self: OpenCollection) -> LexicalIndex:
        raise MemoryError

    monkeypatch.setattr(OpenCollection, "words", too_large)
    run = judged_desk.train()
    assert run.state is JobState.FINISHED
    assert run.message == "Matching words could not be counted (MemoryError), so no ranking was tried with them."
    assert run.measures is not None
    assert run.measures["means"].keys() == {"light", "aligned", "after"}
    assert run.measures["choice"]["ranking"] == "after"


def test_killed_run_is_resumed_with_its_own_labels_and_ends_finished(judged_desk: Desk) -> None:
    before = judged_desk.train()
    left = judged_desk.start(seed=3)
    with judged_desk.workspace.writing() as session:
        storage.jobs.claim_next(session, {JobKind.TRAIN})  # and then the process is killed
    again = judged_desk.again()
    worker = training_worker(again.workspace)
    worker.start()
    assert again.run(left.id).state is JobState.INTERRUPTED
    assert default_ranker(again.workspace, again.collection.id, again.label_set_id) == f"run-{before.id}"
    n_read = len(again.strong.texts_read)
    again.mark(again.query_id("dog-owner"), "dog-feeding", 0.0, 1)
    start.resume(again.workspace, "ann", left.id)
    worker.poke()
    ended = again.wait_for(left.id)
    worker.close()
    assert (ended.state, ended.number, ended.snapshot_hash) == (
        JobState.FINISHED, left.number, left.snapshot_hash,
    )  # fmt: skip
    assert default_ranker(again.workspace, again.collection.id, again.label_set_id) == f"run-{left.id}"
    contents = again.workspace.open(again.collection.id).corpus.contents([each.doc_id for each in DOCUMENTS])
    assert not set(contents) & set(again.strong.texts_read[n_read:])
    again.workspace.close()


def test_finished_run_comes_into_use_and_an_earlier_choice_gives_way(judged_desk: Desk) -> None:
    judged_desk.train()
    with judged_desk.workspace.writing() as session:
        storage.label_sets.set_in_use(session, judged_desk.label_set_id, "aligned")
    second = judged_desk.train(seed=1)
    with judged_desk.workspace.reading() as session:
        assert storage.label_sets.get(session, judged_desk.label_set_id).in_use == f"run-{second.id}"


def test_run_that_lost_leaves_the_light_model_in_use(judged_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = recipes.fit

    def losing(*args: Any) -> Fit:
        fitted = fit(*args)
        return replace(fitted, held_out_vectors=-fitted.held_out_vectors)  # every ranking upside down

    monkeypatch.setattr(recipes, "fit", losing)
    run = judged_desk.train()
    assert run.measures is not None
    assert run.measures["means"]["after"]["nDCG@10"] < run.measures["means"]["light"]["nDCG@10"]
    assert run.measures["choice"]["ranking"] == "light"
    assert run.measures["choice"]["reason"].startswith("On your 12 queries it ranks ")
    with judged_desk.workspace.reading() as session:
        assert storage.label_sets.get(session, judged_desk.label_set_id).in_use == "light"
    assert default_ranker(judged_desk.workspace, judged_desk.collection.id, judged_desk.label_set_id) == "light"


@pytest.mark.usefixtures("brief_paper")
def test_run_of_another_recipe_does_not_come_into_use_by_itself(judged_desk: Desk) -> None:
    first = judged_desk.train()
    judged_desk.train(recipe="paper")
    with judged_desk.workspace.reading() as session:
        assert storage.label_sets.get(session, judged_desk.label_set_id).in_use == f"run-{first.id}"


def test_run_whose_measures_can_never_be_stored_fails_and_the_next_one_is_done(
    judged_desk: Desk, worker_of: Callable[[Workspace], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **named: Any) -> Any:
        raise TypeError("not JSON")

    run, worker = judged_desk.start(), worker_of(judged_desk.workspace)
    with monkeypatch.context() as for_a_while:
        for_a_while.setattr(storage.training_runs, "set_outcome", broken)
        worker.start()
        ended = judged_desk.wait_for(run.id)
    assert (ended.state, "could not be stored" in ended.message) == (JobState.FAILED, True)
    again = judged_desk.start()
    worker.poke()
    assert judged_desk.wait_for(again.id).state is JobState.FINISHED


def test_run_keeps_what_it_was_made_with_and_what_it_took(trained_desk: Desk) -> None:
    run = trained_desk.run(1)
    opened = trained_desk.workspace.open(trained_desk.collection.id)
    assert run.config["adaptation"]["temperature"] == 1.0
    assert run.config["strong_embedder"]["name"] == trained_desk.strong.identity.name
    assert run.config["index_fingerprint"] == opened.index.fingerprint
    assert run.config["versions"].keys() >= {"python", "torch", "numpy"}
    assert run.measures is not None
    cost = run.measures["cost"]
    assert set(cost["stage_seconds"]) <= set(SHARES)
    assert cost["stage_seconds"]["adaptation"] > 0
    assert cost["memory_bytes"] > 50 * 2**20  # torch alone takes more
    json.dumps([run.config, run.measures], allow_nan=False)


def test_run_keeps_what_every_label_contributed(trained_desk: Desk) -> None:
    adapter, extra = QueryAdapter.load(trained_desk.workspace.adapter_folder(1))
    arrays = {name.removeprefix("influence_"): array for name, array in extra.items() if name.startswith("influence_")}
    influence = Influence.from_saved(arrays, adapter.provenance["influence"])
    assert sorted(influence.query_ids) == sorted(adapter.provenance["query_ids"])
    assert np.abs(influence.moves).max() > 0


def test_seconds_of_a_stage_are_those_between_its_first_report_and_the_next_stage(
    judged_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = judged_desk.start()
    with judged_desk.workspace.writing() as session:
        storage.jobs.claim_next(session, {JobKind.TRAIN})
    times = iter([100.0, 101.0, 103.0, 103.5, 110.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(times)))
    report = Reporter(judged_desk.workspace, run.job_id, lambda: False, SHARES)  # at 100
    for stage in ("embedding", "embedding", "alignment", "adaptation"):
        report(stage, 0.0)
    assert report.seconds == {"embedding": 3.5, "alignment": 6.5}


def test_note_of_a_run_that_fell_back_reaches_its_row(judged_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, note = recipes.fit, "The GPU ran out of memory, so this was computed on the CPU."

    def fallen_back(*args: Any) -> Fit:
        fitted = fit(*args)
        return replace(fitted, report={**fitted.report, "note": note})

    monkeypatch.setattr(recipes, "fit", fallen_back)
    run = judged_desk.train()
    assert (run.state, run.message) == (JobState.FINISHED, note)


def test_reporter_stops_when_the_app_closes(judged_desk: Desk) -> None:
    with pytest.raises(Cancelled):
        Reporter(judged_desk.workspace, judged_desk.start().job_id, lambda: True)("embedding", 0.0)


def test_worker_goes_on_after_a_run_that_ended_otherwise(
    judged_desk: Desk, worker_of: Callable[[Workspace], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_cancelled = storage.jobs.mark_cancelled

    def ended_already(workspace: Workspace, run: Any, progress: Reporter) -> Outcome:
        with workspace.writing() as session:
            mark_cancelled(session, run.job_id)
        return Outcome({}, {}, "none", "")

    monkeypatch.setattr("annotation.training.jobs.train", ended_already)
    first, worker = judged_desk.start(), worker_of(judged_desk.workspace)
    worker.start()
    assert judged_desk.wait_for(first.id).state is JobState.CANCELLED
    monkeypatch.undo()
    second = judged_desk.start()
    worker.poke()
    assert judged_desk.wait_for(second.id).state is JobState.FINISHED
