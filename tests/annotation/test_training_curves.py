"""Would more labels help: asking, computing when nothing else is to do, withdrawing, and what is kept."""

import threading
from dataclasses import replace
from typing import Any

import pytest

import era.evaluation.learning_curve
import storage.training_runs
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.jobs import progress
from annotation.training import start
from annotation.training.start import ask_for_curve, why_no_curve, withdraw_curve
from storage.records import JobState
from tests.worlds.desk import PATIENCE_S, Desk, swapped_topics, training_worker, wait_until
from tests.worlds.words import QRELS


def wait_for_curve(desk: Desk, run_id: int) -> Any:
    return wait_until(lambda: desk.run(run_id), lambda run: not run.wants_curve).curve


def test_curve_is_computed_from_the_labels_of_the_run(judged_desk: Desk) -> None:
    run = judged_desk.train()
    ask_for_curve(judged_desk.workspace, "ann", run.id)
    n_read = len(judged_desk.strong.texts_read)
    worker = training_worker(judged_desk.workspace)
    worker.start()
    curve = wait_for_curve(judged_desk, run.id)
    worker.close()
    assert [point["share"] for point in curve["points"]] == [0.25, 0.5, 0.75, 1.0]
    assert curve["n"] == 12
    assert curve["points"][-1]["value"] > curve["baseline"]  # owner and vet can be told apart from the other animals
    assert curve["advice"]
    assert judged_desk.strong.texts_read[n_read:] == []
    assert start.curve_under_way(judged_desk.workspace) is None


def refuse_a_curve(judged: Desk, run_id: int) -> None:
    with pytest.raises(InvalidInputError):
        ask_for_curve(judged.workspace, "ann", run_id)
    with pytest.raises(NotAllowedError, match="Sign in"):
        ask_for_curve(judged.workspace, None, run_id)
    with pytest.raises(NotAllowedError, match="Sign in"):
        withdraw_curve(judged.workspace, None, run_id)
    assert not judged.run(run_id).wants_curve


def test_curve_needs_a_finished_run(judged_desk: Desk) -> None:
    queued = judged_desk.start()
    assert why_no_curve(queued) == "The run has to be finished first."
    refuse_a_curve(judged_desk, queued.id)


def test_curve_needs_eight_queries(desk: Desk) -> None:
    for number, public_id in enumerate(list(QRELS)[:7]):
        desk.mark(desk.query_id(public_id), next(iter(QRELS[public_id])), 1.0, number + 1)
    few = desk.finish_by_hand(swapped_topics())
    assert "at least 8 queries with something relevant; this run learned from 7" in why_no_curve(few)
    refuse_a_curve(desk, few.id)
    assert why_no_curve(replace(few, n_queries=8)) == ""


class StagedCurve:
    """Stands for the real one: says that it began, then reports until it is stopped or let go."""

    def __init__(self) -> None:
        self.n_begun, self.is_let_go, self.has_begun = 0, threading.Event(), threading.Event()

    def __call__(self, *args: Any) -> Any:
        self.n_begun += 1
        self.has_begun.set()
        while not self.is_let_go.wait(0.01):
            args[7]("curve", 0.25, "adapter 5 of 20")
        point = era.evaluation.learning_curve.CurvePoint(1.0, 9.0, 0.5, 0.25, 0.75)
        gain = era.evaluation.learning_curve.Gain(0.125, 0.0, 0.25)
        return era.evaluation.learning_curve.LearningCurve([point], 0.375, 12, gain, gain, "Label more.")


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> StagedCurve:
    staged = StagedCurve()
    monkeypatch.setattr(era.evaluation.learning_curve, "learning_curve", staged)
    monkeypatch.setattr(progress, "_PAUSE_S", 0.0)
    return staged


def test_curve_under_way_is_seen_withdrawn_and_leaves_the_one_before(judged_desk: Desk, staged: StagedCurve) -> None:
    run, worker = judged_desk.finish_by_hand(swapped_topics()), training_worker(judged_desk.workspace)
    with judged_desk.workspace.writing() as session:
        storage.training_runs.set_curve(session, run.id, {"advice": "the one before"})
    ask_for_curve(judged_desk.workspace, "ann", run.id)
    worker.start()
    seen = wait_until(
        lambda: start.curve_under_way(judged_desk.workspace), lambda each: each is not None and each.detail != ""
    )
    assert seen is not None
    assert (seen.training_run_id, seen.fraction, seen.detail) == (run.id, 0.25, "adapter 5 of 20")
    withdraw_curve(judged_desk.workspace, "ann", run.id)
    wait_until(lambda: start.curve_under_way(judged_desk.workspace), lambda each: each is None)
    after = judged_desk.run(run.id)
    worker.close()
    assert (after.wants_curve, after.curve) == (False, {"advice": "the one before"})


def test_curve_makes_way_for_a_training_run_and_is_taken_up_after_it(judged_desk: Desk, staged: StagedCurve) -> None:
    run, worker = judged_desk.finish_by_hand(swapped_topics()), training_worker(judged_desk.workspace)
    ask_for_curve(judged_desk.workspace, "ann", run.id)
    worker.start()
    assert staged.has_begun.wait(PATIENCE_S)
    again = judged_desk.start()
    worker.poke()
    assert judged_desk.wait_for(again.id).state is JobState.FINISHED
    assert judged_desk.run(run.id).wants_curve
    staged.is_let_go.set()
    curve = wait_for_curve(judged_desk, run.id)
    worker.close()
    assert staged.n_begun == 2
    assert (curve["advice"], curve["points"][0]["high"]) == ("Label more.", 0.75)


def test_curve_wanted_before_a_restart_is_computed_after_it(judged_desk: Desk, staged: StagedCurve) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    ask_for_curve(judged_desk.workspace, "ann", run.id)
    worker = training_worker(judged_desk.workspace)
    worker.start()
    assert staged.has_begun.wait(PATIENCE_S)
    worker.close()
    assert judged_desk.run(run.id).wants_curve
    staged.is_let_go.set()
    again = judged_desk.again()
    second = training_worker(again.workspace)
    second.start()
    assert wait_for_curve(again, run.id)["advice"] == "Label more."
    second.close()
    again.workspace.close()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("In plain words."), "In plain words."),
        (RuntimeError("innards"), "Something unexpected went wrong (RuntimeError); the terminal has the details."),
    ],
)
def test_curve_that_fails_says_why_and_the_worker_goes_on(
    judged_desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(era.evaluation.learning_curve, "learning_curve", fail)
    run, worker = judged_desk.finish_by_hand(swapped_topics()), training_worker(judged_desk.workspace)
    ask_for_curve(judged_desk.workspace, "ann", run.id)
    worker.start()
    assert wait_for_curve(judged_desk, run.id) == {"error": words}
    again = judged_desk.start()
    worker.poke()
    assert judged_desk.wait_for(again.id).state is JobState.FINISHED
    worker.close()


def test_a_run_deleted_while_its_curve_is_computed_leaves_the_worker_well(
    judged_desk: Desk, staged: StagedCurve
) -> None:
    run, worker = judged_desk.finish_by_hand(swapped_topics()), training_worker(judged_desk.workspace)
    ask_for_curve(judged_desk.workspace, "ann", run.id)
    worker.start()
    assert staged.has_begun.wait(PATIENCE_S)
    with judged_desk.workspace.writing() as session:
        storage.training_runs.delete(session, run.id)
    wait_until(lambda: start.curve_under_way(judged_desk.workspace), lambda each: each is None)
    again = judged_desk.start()
    worker.poke()
    assert judged_desk.wait_for(again.id).state is JobState.FINISHED
    worker.close()
    assert [each.id for each in start.history(judged_desk.workspace, judged_desk.collection.id)] == [again.id]
