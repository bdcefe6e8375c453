"""A training run in full: words and numbers that fit what was stored, also where little was."""

from dataclasses import replace
from typing import Any

import pytest

from annotation.training import explain
from annotation.training.explain import LabelChanges, MarkChange, SnapshotMark
from annotation.training.manage import Dependents
from annotation.ui.payloads.training_run import (
    changes_payload,
    curve_payload,
    dependents_payload,
    details_panel,
    grade_words,
    marks_payload,
)
from storage.records import JobState
from tests.worlds.desk import Desk, as_json

GRADES = ("not relevant", "relevant")


def facts_of(payload: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value, _ in payload["facts"]}


def test_details_say_what_the_run_learned_from_and_how_that_went(trained_desk: Desk) -> None:
    payload = as_json(details_panel(explain.details(trained_desk.workspace, "ann", 1)))
    facts = facts_of(payload)
    assert facts["Labels"] == "Ann's labels: 12 queries with something relevant, 12 documents relevant, 12 not relevant"
    assert facts["Recipe and seed"] == "era, seed 0"
    assert facts["Strong embedder"] == f"{trained_desk.strong.identity.name}, 1"
    assert facts["Time"].startswith("reading ")
    assert "adapting " in facts["Time"]
    assert "torch " in facts["Versions"]
    assert payload["queries"][0]["marks"] == "1 relevant, 1 not relevant"
    assert '"temperature": 1.0' in payload["config"]
    assert sum(each["n"] for each in payload["folds"]["points"]) == 12
    assert [each["is_chosen"] for each in payload["strengths"]["points"]].count(True) <= 1
    assert len(payload["strengths"]["points"]) == 4
    assert (payload["curve"], payload["no_curve"]) == (None, "")


def test_details_words_of_pictures_hold_the_stored_numbers(trained_desk: Desk) -> None:
    found = explain.details(trained_desk.workspace, "ann", 1)
    report = {
        "strength": 800.0,
        "strengths": [
            {"strength": 3000.0, "gain": 0.0125, "standard_error": 0.004, "share_moved": 0.1},
            {"strength": 800.0, "gain": 0.02, "standard_error": 0.005, "share_moved": 0.2},
        ],
        "folds": [
            {"n": 1, "before": 0.5, "after": 0.75, "strength": 800.0, "blend": {}},
            {"n": 2, "before": 0.25, "after": 0.125, "strength": None, "blend": {}},
        ],
        "alignment_fit": {"explained_variance": 0.614, "mean_cosine": 0.8, "n": 1000},
    }
    run = replace(found.run, measures={"report": report, "cost": {"memory_bytes": 300 * 2**20}})
    payload = as_json(details_panel(replace(found, run=run)))
    assert payload["strengths"]["text"] == (
        "Held-out gain and its standard error: strength 3000: +0.0125 ± 0.0040; "
        "strength 800: +0.0200 ± 0.0050 (chosen)."
    )
    assert payload["folds"]["text"] == (
        "nDCG@100 before and after, on each part that was held out: part 1 (1 query): 0.50 → 0.75; "
        "part 2 (2 queries): 0.25 → 0.13."
    )
    assert "61 % of what distinguishes" in payload["alignment"]
    assert "(mean cosine 0.80, 1,000 texts)" in payload["alignment"]
    assert facts_of(payload)["Memory at most"] == "300 MB"
    assert "GPU memory at most" not in facts_of(payload)


def test_details_say_which_queries_are_no_clean_test_of_the_run(trained_desk: Desk) -> None:
    found = explain.details(trained_desk.workspace, "ann", 1)
    assert "Kept for testing since" not in facts_of(details_panel(found))
    for n, words in ((1, "1 query of these, so it is no clean"), (3, "3 queries of these, so they are no clean")):
        facts = facts_of(details_panel(replace(found, n_for_testing=n)))
        assert facts["Kept for testing since"] == f"{words} test of this run"


def test_details_of_a_run_that_left_nothing_show_what_there_is(trained_desk: Desk) -> None:
    found = explain.details(trained_desk.workspace, "ann", 1)
    run = replace(found.run, measures=None, device=None, state=JobState.CANCELLED)
    payload = as_json(details_panel(replace(found, run=run, made_with={}, rerun_of=4)))
    assert (payload["strengths"], payload["folds"], payload["alignment"]) == (None, None, "")
    assert payload["config"] == "{}"
    assert payload["no_curve"] == "The run has to be finished first."
    facts = facts_of(payload)
    assert facts["Repeats"] == "run 4"
    assert not {"Strong embedder", "Index", "Time", "Computed on"} & facts.keys()


def test_details_of_a_small_collection_say_nothing_of_an_alignment_that_cannot_be_judged(trained_desk: Desk) -> None:
    found = explain.details(trained_desk.workspace, "ann", 1)
    unknown = {"report": {"alignment_fit": {"explained_variance": None, "mean_cosine": None, "n": 1}}}
    assert details_panel(replace(found, run=replace(found.run, measures=unknown)))["alignment"] == ""


@pytest.mark.parametrize(
    ("grade", "words"),
    [(None, "not marked"), (0.0, "not relevant"), (1.0, "relevant"), (2.0, "grade 2"), (0.5, "grade 0.5")],
)
def test_grade_words_are_those_of_the_desk(grade: float | None, words: str) -> None:
    assert grade_words(grade, GRADES) == words


def test_marks_are_listed_with_their_words() -> None:
    marks = [SnapshotMark("d1", "One", 1.0), SnapshotMark("d2", "Two", 0.0)]
    assert marks_payload(marks, GRADES) == [
        {"doc_id": "d1", "title": "One", "grade": "relevant", "is_relevant": True},
        {"doc_id": "d2", "title": "Two", "grade": "not relevant", "is_relevant": False},
    ]


def test_changes_say_how_many_and_which(trained_desk: Desk) -> None:
    query = trained_desk.query(trained_desk.query_id("cat-vet"))
    marks = [MarkChange("a", "A", None, 1.0), MarkChange("b", "B", 1.0, None), MarkChange("c", "C", 1.0, 0.0)]
    payload = as_json(changes_payload(LabelChanges(1, 1, 1, 2, [(query, marks)]), GRADES, "From run 1 to today"))
    assert payload["words"] == (
        "From run 1 to today: 1 added, 1 removed, 1 changed. 2 queries that you may still judge stay hidden."
    )
    assert [(m["kind"], m["before"], m["after"]) for m in payload["queries"][0]["marks"]] == [
        ("added", "not marked", "relevant"),
        ("removed", "relevant", "not marked"),
        ("changed", "relevant", "not relevant"),
    ]
    none = changes_payload(LabelChanges(0, 0, 0, 0, []), GRADES, "From run 1 to today")
    assert none == {"words": "From run 1 to today: the marks are the same.", "queries": []}


def test_changes_beyond_five_hundred_are_counted_and_not_listed(trained_desk: Desk) -> None:
    query = trained_desk.query(trained_desk.query_id("cat-vet"))
    marks = [MarkChange(str(i), "", None, 1.0) for i in range(300)]
    payload = changes_payload(LabelChanges(600, 0, 0, 0, [(query, marks)] * 2), GRADES, "Since")
    assert [len(each["marks"]) for each in payload["queries"]] == [300, 200]
    assert payload["words"] == "Since: 600 added, 0 removed, 0 changed. The first 500 are listed."


def test_dependents_are_named_one_by_one(trained_desk: Desk) -> None:
    run = replace(trained_desk.run(1), name="mine")
    payload = dependents_payload(run, Dependents(["Ann's", "Ben's"], ["before the fix"], [3]))
    assert payload["title"] == "Delete run 1 “mine”?"
    assert payload["sentences"][1:] == [
        "It is in use for “Ann's” and “Ben's”; after that, what the newest run found best takes its place.",
        "“before the fix” shows it; what was kept there stays as it is.",
        "Run 3 repeated it and stays.",
    ]
    assert dependents_payload(run, Dependents([], [], []))["sentences"][1] == "Nothing else depends on it."


def test_curve_comes_with_a_text_that_says_the_same() -> None:
    points = [
        {"share": 0.5, "n_queries": 10.0, "value": 0.5, "low": 0.25, "high": 0.75},
        {"share": 1.0, "n_queries": 20.4, "value": 0.625, "low": 0.5, "high": 0.75},
    ]
    payload = curve_payload({"points": points, "baseline": 0.375, "n": 25, "advice": "Label more."})
    assert payload is not None
    assert payload["text"] == (
        "nDCG@10 on unseen queries after learning from 10 queries: 0.50 (likely 0.25 to 0.75); "
        "20 queries: 0.63 (likely 0.50 to 0.75). Without labels: 0.38."
    )
    assert (payload["advice"], payload["n"], payload["error"]) == ("Label more.", 25, "")
    assert curve_payload(None) is None
    assert curve_payload({"error": "No."}) == {"error": "No.", "points": []}
