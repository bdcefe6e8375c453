"""The worker: a training run from its queue to its adapter, and every way it can end."""

import json
import platform
import threading
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import storage.jobs
import storage.training_runs
from annotation.collections.preparation import prepare
from annotation.collections.store_whole import store
from annotation.judging.queries import ask, run_query
from annotation.ranking.rankers import RankingKey, list_rankers
from annotation.training import start
from annotation.workspace import Workspace
from era.adapter import QueryAdapter
from era.encoders.base import Vectors
from era.errors import EmbedderUnavailableError
from storage.records import JobKind, JobState
from tests.worlds.desk import PATIENCE_S, Desk, new_desk, small_world, swapped_topics, training_worker, wait_until
from tests.worlds.words import QRELS, QUERIES, WANTED_TOPIC


def training_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "training"]


def adapter_folders(desk: Desk) -> list[str]:
    """Return the names of all that lies where adapters are kept, unfinished ones too."""
    folder = desk.workspace.folder / "adapters"
    return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []


def unread_query(desk: Desk) -> int:
    """Mark a document for a query that the strong embedder has not read yet, so that training has to ask it."""
    query_id = desk.ask("moth", "vet")
    desk.mark(query_id, "moth-illness", 1.0, 1)
    return query_id


def test_training_run_ends_finished_with_measures(trained_desk: Desk) -> None:
    run = trained_desk.run(1)
    assert (run.state, run.fraction, run.is_cancel_requested) == (JobState.FINISHED, 1.0, False)
    assert str(run.device).startswith("CPU")
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.created_at <= run.started_at <= run.finished_at
    measures = json.loads(json.dumps(run.measures, allow_nan=False))
    assert measures == run.measures
    assert measures["n"] == 12
    assert list(measures["means"]) == [
        *("light", "aligned", "after", "light+words", "aligned+words", "after+words"),
        *("aligned+words+reread", "after+words+reread"),  # of so few documents the strong model has read all
    ]
    assert (measures["aligned"], measures["after"]) == ("aligned+words+reread", "after+words+reread")
    assert measures["others_from_light"].keys() == measures["means"].keys() - {"light", "after+words+reread"}
    assert measures["means"]["after"].keys() == {"nDCG@10", "R@10", "RR", "Judged@10"}
    assert measures["seconds"] > 0
    assert measures["report"]["is_changed"] is True
    # owner and vet cannot be told apart before: each query's two documents come first, half of them swapped
    assert measures["means"]["after"]["nDCG@10"] == pytest.approx(1.0)
    assert measures["from_light"]["after"] == pytest.approx(1.0)
    assert measures["from_light"]["before"] < 0.95


def test_training_run_finds_what_the_marks_mean_for_a_new_query(trained_desk: Desk) -> None:
    for reader, topic in (("owner", "feeding"), ("vet", "illness")):
        query = ask(trained_desk.workspace, None, trained_desk.collection.id, "seal", reader)
        found = run_query(trained_desk.workspace, None, query, RankingKey("run-1"))
        assert found.ranking[0][0] == f"seal-{topic}"


def test_training_run_is_measured_by_what_never_saw_the_marks(data_dir: Path) -> None:
    wanted = {query.query_id: f"{query.text}-{WANTED_TOPIC[query.instruction]}" for query in QUERIES}
    # a mark that goes against all others: it can be learned by heart, but not from the other queries
    wanted |= {"newt-vet": "newt-feeding"}
    desk = new_desk(data_dir, small_world(qrels={query_id: {doc_id: 1.0} for query_id, doc_id in wanted.items()}))
    run = desk.train()
    index = desk.workspace.open(desk.collection.id).index
    retriever, held_out = desk.workspace.open(desk.collection.id).trained(desk.workspace.adapter_folder(run.id))
    rows = np.array([held_out[str(desk.query_id(query.query_id))].vector for query in QUERIES], np.float32)
    desk.workspace.close()

    def mean_reciprocal_rank(vectors: Vectors) -> float:
        rankings = [[doc.doc_id for doc in ranking] for ranking in index.search(vectors, 16)]
        ranks = [ranking.index(wanted[query.query_id]) + 1 for query, ranking in zip(QUERIES, rankings, strict=True)]
        return sum(1 / rank for rank in ranks) / len(ranks)

    assert run.measures is not None
    measured = run.measures["means"]["after"]["RR"]
    assert measured == pytest.approx(mean_reciprocal_rank(rows))
    assert measured < mean_reciprocal_rank(retriever.query_vectors(QUERIES)) - 0.02


def test_training_run_keeps_weights_and_provenance(trained_desk: Desk) -> None:
    opened = trained_desk.workspace.open(trained_desk.collection.id)
    folder = trained_desk.workspace.adapter_folder(1)
    assert sorted(file.name for file in folder.iterdir()) == ["adapter.json", "adapter.safetensors"]
    adapter, extra = QueryAdapter.load(folder)
    assert adapter.weight.shape == (13 + 11 + 11, 11)  # strong half, light half, neighbours
    assert extra["held_out"].shape == (12, 11)
    assert extra["gains"].shape == (12,)
    about = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))["provenance"]
    snapshot = {str(trained_desk.query_id(public_id)): grades for public_id, grades in QRELS.items()}
    assert about["label_snapshot"] == snapshot
    assert sorted(about["query_ids"]) == sorted(snapshot)
    run = trained_desk.run(1)
    assert (about["recipe"], about["seed"], about["device"]) == ("era", 0, "cpu")
    assert about["snapshot_hash"] == run.snapshot_hash
    assert about["strong_embedder"] == asdict(trained_desk.strong.identity)
    assert about["light_embedder"] == asdict(trained_desk.light.identity)
    assert about["index_fingerprint"] == opened.index.fingerprint
    assert about["corpus_fingerprint"] == opened.corpus.fingerprint
    assert about["config"]["adaptation"]["temperature"] == 1.0
    assert about["versions"]["python"] == platform.python_version()
    assert about["versions"]["torch"] == version("torch")
    assert about["versions"].keys() >= {"numpy", "faiss-cpu", "sentence-transformers"}
    assert run.measures is not None
    assert about["measures"] == {name: value for name, value in run.measures.items() if name not in ("seconds", "cost")}


def test_training_twice_gives_the_same_adapter_byte_by_byte(judged_desk: Desk) -> None:
    fingerprint = judged_desk.workspace.open(judged_desk.collection.id).index.fingerprint
    first, second = judged_desk.train(seed=3), judged_desk.train(seed=3)
    assert (first.number, second.number) == (1, 2)
    weights = [
        (judged_desk.workspace.adapter_folder(run.id) / "adapter.safetensors").read_bytes() for run in (first, second)
    ]
    assert weights[0] == weights[1]
    assert judged_desk.workspace.open(judged_desk.collection.id).index.fingerprint == fingerprint
    again = judged_desk.again()  # with fresh embedders, nothing remembered
    third = again.train(seed=3)
    assert (again.workspace.adapter_folder(third.id) / "adapter.safetensors").read_bytes() == weights[0]
    assert again.workspace.open(again.collection.id).index.fingerprint == fingerprint
    again.workspace.close()


def test_training_never_reads_a_document_again(judged_desk: Desk) -> None:
    judged_desk.strong.texts_read.clear()
    judged_desk.light.texts_read.clear()
    judged_desk.train()
    assert [text for text in judged_desk.strong.texts_read + judged_desk.light.texts_read if "\n" in text] == []


@pytest.mark.usefixtures("brief_paper")
def test_training_by_the_published_recipe_ends_finished(judged_desk: Desk) -> None:
    run = judged_desk.train("paper")
    assert (run.state, run.recipe) == (JobState.FINISHED, "paper")
    json.dumps(run.measures, allow_nan=False)
    about = json.loads((judged_desk.workspace.adapter_folder(run.id) / "adapter.json").read_text())["provenance"]
    assert (about["recipe"], about["config"]["adaptation"]["n_epochs"]) == ("paper", 20)
    listed = list_rankers(judged_desk.workspace, judged_desk.collection.id)
    [ranker] = [each for each in listed if each.key == f"run-{run.id}+words"]
    assert (ranker.label, ranker.run) == ("after your marks (run 1, paper recipe)", "1, paper recipe")


def test_training_of_the_strong_model_alone_leaves_one_linear_map_of_it(judged_desk: Desk) -> None:
    run = judged_desk.train("era-single")
    assert (run.state, run.recipe) == (JobState.FINISHED, "era-single")
    assert QueryAdapter.load(judged_desk.workspace.adapter_folder(run.id))[0].views == ("instructed",)


def test_training_on_one_query_keeps_the_aligned_adapter_and_says_why(desk: Desk) -> None:
    unread_query(desk)
    run = desk.train()
    assert run.state is JobState.FINISHED
    assert run.measures is not None
    assert run.measures["n"] == 1
    assert run.measures["report"]["is_changed"] is False
    assert "cannot be checked on others yet" in run.measures["report"]["reason"]
    assert run.measures["choice"]["ranking"] in ("light", "light+words", "aligned", "aligned+words")
    weights = load_file(desk.workspace.adapter_folder(run.id) / "adapter.safetensors")["weight"]
    aligned = desk.workspace.open(desk.collection.id).aligned().adapter
    np.testing.assert_array_equal(weights, aligned.weight)


def test_cancelling_a_running_run_leaves_no_adapter(desk: Desk) -> None:
    unread_query(desk)
    desk.strong.gate.clear()
    run, worker = desk.start(), training_worker(desk.workspace)
    desk.strong.is_reached.clear()
    worker.start()
    assert desk.strong.is_reached.wait(PATIENCE_S)
    seen = start.cancel(desk.workspace, "ann", run.id)
    assert (seen.state, seen.is_cancel_requested) == (JobState.RUNNING, True)
    desk.strong.gate.set()
    ended = desk.wait_for(run.id)
    assert (ended.state, ended.measures) == (JobState.CANCELLED, None)
    assert adapter_folders(desk) == []
    again = desk.start()  # the worker is free for the next one
    worker.poke()
    assert desk.wait_for(again.id).state is JobState.FINISHED
    worker.close()
    assert adapter_folders(desk) == [f"run-{again.id}"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("innards"), "Something unexpected went wrong (RuntimeError); the terminal has the details."),
        (MemoryError(), "Something unexpected went wrong (MemoryError); the terminal has the details."),
        (EmbedderUnavailableError("The model is gone. Install it."), "The model is gone. Install it."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failing_run_says_why_and_the_worker_takes_the_next(desk: Desk, error: Exception, message: str) -> None:
    unread_query(desk)
    desk.strong.error = error
    run, worker = desk.start(), training_worker(desk.workspace)
    worker.start()
    failed = desk.wait_for(run.id)
    assert (failed.state, failed.message, failed.measures) == (JobState.FAILED, message, None)
    assert adapter_folders(desk) == []
    desk.strong.error = None
    again = desk.start()
    worker.poke()
    assert desk.wait_for(again.id).state is JobState.FINISHED
    worker.close()


def test_run_fails_with_the_reason_when_the_embedders_did_not_load(desk: Desk) -> None:
    def load(*_: object) -> None:
        raise EmbedderUnavailableError("The model is gone. Install it.")

    unread_query(desk)
    run = desk.start()
    desk.workspace.close()
    workspace = Workspace(desk.workspace.settings, load)  # type: ignore[arg-type]
    prepare(workspace)
    again, worker = Desk(workspace, desk.strong, desk.light, desk.collection), training_worker(workspace)
    worker.start()
    ended = again.wait_for(run.id)
    worker.close()
    workspace.close()
    assert (ended.state, ended.message) == (JobState.FAILED, "The model is gone. Install it.")


def test_worker_waits_for_the_embedders(desk: Desk) -> None:
    unread_query(desk)
    run = desk.start()
    desk.workspace.close()
    workspace = Workspace(desk.workspace.settings, lambda spec, device: desk.workspace.open(desk.collection.id).pair)
    again, worker = Desk(workspace, desk.strong, desk.light, desk.collection), training_worker(workspace)
    worker.start()
    prepare(workspace)
    assert again.wait_for(run.id).state is JobState.FINISHED
    worker.close()
    workspace.close()


def test_start_of_the_worker_marks_what_a_killed_process_left(judged_desk: Desk) -> None:
    left = judged_desk.start()
    with judged_desk.workspace.writing() as session:
        assert storage.jobs.claim_next(session, {JobKind.TRAIN}) is not None  # and then the process is killed
    again = judged_desk.again()
    assert again.run(left.id).state is JobState.RUNNING
    worker = training_worker(again.workspace)
    worker.start()
    ended = again.run(left.id)
    assert ended.state is JobState.INTERRUPTED
    assert ended.finished_at is not None
    run = again.start()
    worker.poke()
    assert again.wait_for(run.id).state is JobState.FINISHED
    worker.close()
    assert again.run(left.id).state is JobState.INTERRUPTED
    again.workspace.close()


def test_worker_takes_up_what_was_queued_before_a_restart(judged_desk: Desk) -> None:
    run = judged_desk.start()
    again = judged_desk.again()
    worker = training_worker(again.workspace)
    worker.start()
    assert again.wait_for(run.id).state is JobState.FINISHED
    worker.close()
    again.workspace.close()


def test_worker_takes_queued_runs_one_after_the_other(judged_desk: Desk) -> None:
    other = store(judged_desk.workspace, small_world("other", QRELS), author="ann", labels="", is_demo=False)
    second_desk = Desk(judged_desk.workspace, judged_desk.strong, judged_desk.light, other)
    first, second, worker = judged_desk.start(), second_desk.start(), training_worker(judged_desk.workspace)
    worker.start()
    ended = [judged_desk.wait_for(run.id) for run in (first, second)]
    worker.close()
    assert [run.state for run in ended] == [JobState.FINISHED] * 2
    assert ended[0].finished_at is not None
    assert ended[1].started_at is not None
    assert ended[0].finished_at <= ended[1].started_at


def test_close_of_the_worker_leaves_no_thread_when_it_has_nothing_to_do(desk: Desk) -> None:
    before = training_threads()
    worker = training_worker(desk.workspace)
    worker.start()
    assert len(training_threads()) == len(before) + 1
    worker.close()
    assert training_threads() == before


def test_close_of_the_worker_interrupts_the_run_under_way(desk: Desk) -> None:
    before = training_threads()
    unread_query(desk)
    desk.strong.gate.clear()
    run, worker = desk.start(), training_worker(desk.workspace)
    desk.strong.is_reached.clear()
    worker.start()
    assert desk.strong.is_reached.wait(PATIENCE_S)
    closing = threading.Thread(target=worker.close)
    closing.start()
    wait_until(lambda: worker._closing.is_set(), bool)
    desk.strong.gate.set()
    closing.join(PATIENCE_S)
    assert training_threads() == before
    assert desk.run(run.id).state is JobState.RUNNING
    again = desk.again()
    next_worker = training_worker(again.workspace)
    next_worker.start()
    assert again.run(run.id).state is JobState.INTERRUPTED
    next_worker.close()
    assert adapter_folders(again) == []
    again.workspace.close()


def test_training_succeeds_when_a_lost_database_left_adapters_behind(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    judged_desk.workspace.close()
    for file in judged_desk.workspace.folder.glob("era.sqlite3*"):
        file.unlink()  # as a damaged one is to be moved away
    strong, light = judged_desk.strong, judged_desk.light
    pair = judged_desk.workspace.open(judged_desk.collection.id).pair
    workspace = Workspace(judged_desk.workspace.settings, lambda spec, device: pair)
    collection = store(workspace, small_world(qrels=QRELS), author="ann", labels="Ann's labels", is_demo=False)
    prepare(workspace)
    again = Desk(workspace, strong, light, collection)
    ended = again.train()
    workspace.close()
    assert ended.id == run.id
    assert ended.state is JobState.FINISHED, ended.message
