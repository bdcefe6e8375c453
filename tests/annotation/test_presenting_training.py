"""The training screen: equal while nothing happens, and words that fit the numbers."""

from dataclasses import replace
from typing import Any

import pytest

import storage.jobs
import storage.training_runs
from annotation.ranking import rankers
from annotation.ranking.rankers import ALIGNED, LIGHT, Ranker, RankingKey
from annotation.training import start
from annotation.training.start import CurveProgress
from annotation.ui.payloads.training import blend_sentence, place_in_line, train_panel, verdict_of
from storage.records import JobKind, JobState, TrainingRunRecord
from tests.worlds.desk import Desk, as_json


def train_payload(desk: Desk, runs: list[TrainingRunRecord] | None = None, **more: Any) -> dict[str, Any]:
    now = start.outlook(desk.workspace, desk.collection.id, desk.label_set_id)
    seen = more.pop("outlook", None) or now
    listed = start.history(desk.workspace, desk.collection.id) if runs is None else runs
    places = start.places_in_line(desk.workspace)
    in_use = more.pop("in_use", None) or rankers.default_ranker(desk.workspace, desk.collection.id, desk.label_set_id)
    usable = more.pop("usable", None) or rankers.list_usable(desk.workspace, desk.collection.id)
    return train_panel(desk.page, "ann", seen, listed, desk.workspace.device_name, in_use, usable, places, **more)


def test_train_panel_is_equal_when_nothing_happened(trained_desk: Desk) -> None:
    first, second = train_payload(trained_desk), train_payload(trained_desk)
    assert first == second


def test_train_panel_says_that_it_answers_a_person(trained_desk: Desk) -> None:
    seen = train_payload(trained_desk)
    assert not seen["is_answer"]
    assert train_payload(trained_desk, is_answer=True) == {**seen, "is_answer": True}


def test_train_panel_explains_itself_until_there_was_a_run(desk: Desk) -> None:
    payload = as_json(train_payload(desk))
    assert payload["intro"].startswith("Training teaches the ranking")
    assert (payload["latest"], payload["active"], payload["runs"]) == (None, None, [])
    assert payload["outlook"]["can_train"] is False
    assert [name for name, _ in payload["recipes"]] == ["era", "era-single", "paper"]


def test_train_panel_says_that_queries_without_a_relevant_document_count_nowhere(judged_desk: Desk) -> None:
    notes = [train_payload(judged_desk)["outlook"]["without_relevant"]]
    for number, text in enumerate(("cat laws", "dog laws")):
        judged_desk.mark(judged_desk.ask(text), "cat-feeding", 0.0, 900 + number)
        notes.append(train_payload(judged_desk)["outlook"]["without_relevant"])
    assert notes == [
        "",
        "1 judged query has nothing relevant; it teaches nothing and counts in no measure.",
        "2 judged queries have nothing relevant; they teach nothing and count in no measure.",
    ]


def test_train_panel_shows_the_gain_of_the_newest_run(trained_desk: Desk) -> None:
    payload = as_json(train_payload(trained_desk))
    latest = payload["latest"]
    assert (latest["number"], latest["key"], latest["n"]) == (1, "run-1+words+reread", 12)
    assert latest["headline"].startswith("Gained on queries it had not seen: nDCG@10 ")
    assert [name for name, _ in payload["measures"]] == ["nDCG@10", "R@10", "RR", "Judged@10"]
    assert [row["label"] for row in latest["rankings"]] == [
        "Light model alone",
        "Light model + matching words",
        "Aligned, no labels, vectors alone",
        "Aligned, no labels",
        "Aligned, no labels, top 50 read by the strong model",
        "After your marks (run 1), vectors alone",
        "After your marks (run 1)",
        "After your marks (run 1), top 50 read by the strong model",
    ]
    assert [row["is_in_use"] for row in latest["rankings"]] == [False] * 5 + [True] + [False] * 2
    assert latest["rankings"][5]["figures"][0] == "1.00"
    [row] = payload["runs"]
    assert (row["state"], row["in_use"], row["labels"], row["remark"]) == ("finished", True, "12 queries", "")
    assert payload["intro"] == ""


def test_train_panel_says_which_run_is_damaged_and_what_to_do(trained_desk: Desk) -> None:
    payload = as_json(train_payload(trained_desk, damaged={1}, in_use="aligned"))
    [row] = payload["runs"]
    assert (row["state"], row["in_use"]) == ("finished", False)
    assert row["remark"].startswith("Its saved adapter is damaged and cannot rank. Your marks are not affected: open")


def against(before: float, after: float, p_value: float) -> dict[str, float | int]:
    return {
        "before": before, "after": after, "low": -0.25, "high": 0.125, "p_value": p_value,
        "n_better": 1, "n_same": 2, "n_worse": 3,
    }  # fmt: skip


def run_with(
    run: TrainingRunRecord, light: float, aligned: float, after: float, p_value: float, **more: Any
) -> TrainingRunRecord:
    """Return the run with these values of nDCG@10 on 6 queries; `more` goes into its measures."""
    values = {"light": light, "aligned": aligned, "after": after}
    measures = {
        "n": 6,
        "means": {
            name: {"nDCG@10": value, "R@10": 0.5, "RR": 1.0, "Judged@10": 0.125} for name, value in values.items()
        },
        "from_light": against(light, after, p_value),
        "from_aligned": against(aligned, after, p_value),
        "report": {"reason": "The reason.", "is_changed": True},
        "seconds": 1.0,
    }
    return replace(run, measures={**measures, **more})


def chosen(ranking: str, reason: str = "It ranks best.") -> dict[str, Any]:
    return {"choice": {"ranking": ranking, "reason": reason}, "others_from_light": {"aligned": against(0.5, 0.375, 1)}}


def test_train_panel_says_lost_when_the_ranking_got_worse(trained_desk: Desk) -> None:
    run = run_with(trained_desk.run(1), 0.7949, 0.7751, 0.765, 0.5, **chosen("light"))
    payload = as_json(train_payload(trained_desk, [run], in_use="light"))
    # each difference is that of the figures beside it, and the steps add up: -0.01 and -0.01 are -0.02
    assert payload["latest"]["headline"] == "Lost on queries it had not seen: nDCG@10 0.79 → 0.77 (−0.02)"
    assert payload["latest"]["sentences"] == [
        "With your marks: 1 better, 2 same, 3 worse than the light model alone in nDCG@10; the difference is roughly "
        "between −0.25 and +0.13. With only 6 queries nothing can be concluded (p = 0.500).",
        "Aligning the two models, which needs no marks, 0.79 → 0.78 (−0.01); your marks, 0.78 → 0.77 (−0.01). "
        "The second step could be chance with 6 queries.",
        "The reason.",
    ]
    assert [(row["label"], row["figures"], row["is_in_use"]) for row in payload["latest"]["rankings"]] == [
        ("Light model alone", ["0.79", "0.50", "1.00", "0.13"], True),
        ("Aligned, no labels, vectors alone", ["0.78", "0.50", "1.00", "0.13"], False),
        ("After your marks (run 1), vectors alone", ["0.77", "0.50", "1.00", "0.13"], False),
    ]
    assert payload["latest"]["rankings"][1]["title"] == (
        "1 better, 2 same, 3 worse than the light model alone in nDCG@10; the difference is roughly between −0.25 and "
        "+0.13"
    )
    assert payload["runs"][0]["change"] == "0.79 → 0.77"
    assert (payload["runs"][0]["in_use"], payload["runs"][0]["remark"]) == (False, "")


def test_train_panel_says_how_many_runs_there_were_on_these_labels(trained_desk: Desk) -> None:
    run = run_with(trained_desk.run(1), 0.79, 0.78, 0.77, 0.5)
    seen = start.outlook(trained_desk.workspace, trained_desk.collection.id, trained_desk.label_set_id)
    assert seen.n_trained == 1

    def sentences(**changed: Any) -> str:
        latest = train_payload(trained_desk, [run], outlook=replace(seen, **changed))["latest"]
        return " ".join(latest["sentences"])

    assert "run on these labels" not in sentences()
    assert (
        "This is the 8th run on these labels: the best of several looks a little better than it is, and of 20 that "
        "change nothing about 1 looks proven." in sentences(n_trained=8)
    )
    assert "looks proven; the queries kept for testing stay a clean check." in sentences(n_trained=2, n_for_testing=3)


def test_train_panel_offers_to_keep_queries_for_testing_and_says_what_is_kept(trained_desk: Desk) -> None:
    seen = start.outlook(trained_desk.workspace, trained_desk.collection.id, trained_desk.label_set_id)

    def testing(n_labelled: int, n_for_testing: int) -> dict[str, Any]:
        counts = replace(seen.counts, n_labelled=n_labelled)
        changed = replace(seen, counts=counts, n_for_testing=n_for_testing)
        shown = train_payload(trained_desk, outlook=changed, why_no_testing="Only ann can.")
        return dict(shown["outlook"]["testing"])

    assert testing(19, 0) == {"words": "", "can_keep": False, "can_release": False, "why_not": "Only ann can."}
    assert testing(20, 0) == {
        "words": "A quarter of them can be kept for testing: no run learns from these, so they compare runs cleanly.",
        "can_keep": True, "can_release": False, "why_not": "Only ann can.",
    }  # fmt: skip
    assert testing(20, 6)["words"] == (
        "14 to learn from, 6 kept for testing. From 10 on, Compare says whether what they show could be chance."
    )
    assert testing(40, 10) == {
        "words": "30 to learn from, 10 kept for testing.", "can_keep": False, "can_release": True,
        "why_not": "Only ann can.",
    }  # fmt: skip


def test_train_panel_says_no_difference_where_the_figures_are_equal(trained_desk: Desk) -> None:
    run = run_with(trained_desk.run(1), 0.504, 0.4951, 0.496, 0.5, **chosen("light"))
    latest = train_payload(trained_desk, [run])["latest"]
    assert latest["headline"] == "No difference on queries it had not seen: nDCG@10 0.50 → 0.50"
    assert latest["sentences"][1] == (
        "Aligning the two models, which needs no marks, 0.50 → 0.50 (no difference); "
        "your marks, 0.50 → 0.50 (no difference)."
    )


def test_train_panel_calls_a_proven_gain_proven(trained_desk: Desk) -> None:
    many = against(0.25, 0.5, 0.0004) | {"n_better": 10, "n_groups": 14}
    run = run_with(
        trained_desk.run(1), 0.25, 0.25, 0.5, 0.0004, **chosen("after"), from_light=many, from_aligned=many
    )  # fmt: skip
    latest = train_payload(trained_desk, [run])["latest"]
    assert latest["headline"] == "Gained on queries it had not seen: nDCG@10 0.25 → 0.50 (+0.25)"
    assert "unlikely to be chance (p < 0.001)" in latest["sentences"][0]
    assert "chance" not in latest["sentences"][1]


def test_train_panel_leaves_out_the_counts_of_an_earlier_version(trained_desk: Desk) -> None:
    old = {"reason": "Held out in turn, 3 of 6 queries became better and 1 worse.", "is_changed": True}
    latest = train_payload(trained_desk, [run_with(trained_desk.run(1), 0.25, 0.25, 0.5, 0.5, report=old)])["latest"]
    assert not any("became" in sentence for sentence in latest["sentences"])
    kept = {"reason": "It did not help.", "is_changed": False}
    run = run_with(trained_desk.run(1), 0.25, 0.25, 0.25, 1, report=kept)
    payload = train_payload(trained_desk, [run])
    assert payload["latest"]["sentences"][-1] == "It did not help."
    assert payload["runs"][0]["remark"] == "The marks changed nothing: it ranks as the aligned model does."


def test_train_panel_says_why_a_ranking_is_in_use_and_what_else_there_is(trained_desk: Desk) -> None:
    run = run_with(trained_desk.run(1), 0.79, 0.75, 0.76, 0.5, **chosen("light", "On your 6 queries it ranks best."))
    in_use = as_json(train_payload(trained_desk, [run], in_use="light")["in_use"])
    assert (in_use["key"], in_use["label"]) == ("light", "light model alone")
    assert in_use["reason"] == "On your 6 queries it ranks best."
    assert in_use["better_than"] == ["aligned", "run-1"]
    assert in_use["choices"] == [
        ["light", "light model alone · 0.79"],
        ["aligned", "aligned, no labels, vectors alone · 0.75"],
        ["run-1", "after your marks (run 1), vectors alone · 0.76"],
        ["aligned+words", "aligned, no labels"],
        ["run-1+words", "after your marks (run 1)"],
        ["light+words", "light model + matching words"],
        ["aligned+words+reread", "aligned, no labels, top 50 read by the strong model"],
        ["run-1+words+reread", "after your marks (run 1), top 50 read by the strong model"],
    ]
    other = train_payload(trained_desk, [run], in_use="run-1")["in_use"]
    assert other["reason"] == (
        "On your 6 queries it ranks with nDCG@10 0.76; the best was “light model alone” with 0.79."
    )
    assert (other["ranker"]["run"], other["better_than"]) == ("1", ["aligned"])
    unmeasured = train_payload(trained_desk, [run], in_use="light+words")["in_use"]
    assert unmeasured["reason"] == "Run 1 found another one best: “light model alone” with 0.79 in nDCG@10."
    assert unmeasured["better_than"] == []


def test_train_panel_calls_a_new_run_better_than_an_earlier_one_but_no_fallback(trained_desk: Desk) -> None:
    usable = [
        *(Ranker(key, key) for key in (LIGHT, ALIGNED)),
        *(Ranker(RankingKey(f"run-{n}"), f"after your marks (run {n}), vectors alone", str(n)) for n in (2, 1)),
    ]
    earlier = trained_desk.run(1)
    later = replace(earlier, id=2, number=2)
    won = run_with(later, 0.5, 0.5, 0.7, 0.01, **chosen("after"))
    panel = train_payload(trained_desk, [won, earlier], in_use="run-2", usable=usable)
    assert panel["in_use"]["better_than"] == ["light", "aligned", "run-1"]
    lost = run_with(later, 0.7, 0.5, 0.5, 0.01, **chosen("light"))
    panel = train_payload(trained_desk, [lost, earlier], in_use="light", usable=usable)
    assert panel["in_use"]["better_than"] == ["aligned", "run-2"]


def test_train_panel_takes_aligned_for_better_than_light_until_something_was_measured(judged_desk: Desk) -> None:
    assert train_payload(judged_desk, in_use="aligned")["in_use"]["better_than"] == ["light"]
    assert train_payload(judged_desk, in_use="light")["in_use"]["better_than"] == []


def test_train_panel_shows_what_is_under_way(judged_desk: Desk) -> None:
    run = judged_desk.start()
    queued = as_json(train_payload(judged_desk))["active"]
    assert (queued["id"], queued["state"], queued["stage"], queued["seconds"]) == (run.id, "queued", "embedding", 0.0)
    with judged_desk.workspace.writing() as session:
        storage.jobs.claim_next(session, {JobKind.TRAIN})
        storage.jobs.progress(session, run.job_id, stage="adaptation", fraction=0.625, message="step 5")
    start.cancel(judged_desk.workspace, "ann", run.id)
    active = as_json(train_payload(judged_desk))["active"]
    assert (active["state"], active["stage"], active["fraction"], active["message"], active["is_cancel_requested"]) == (
        "running", "adaptation", 0.625, "step 5", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "note"),
    [
        (JobState.FAILED, "It broke."),
        (JobState.INTERRUPTED, "The app was stopped meanwhile. Your marks are safe; resume it or train again."),
        (JobState.CANCELLED, ""),
    ],
)
def test_train_panel_says_how_a_run_ended(trained_desk: Desk, state: JobState, note: str) -> None:
    run = replace(trained_desk.run(1), state=state, message="It broke.", measures=None, device=None)
    payload = as_json(train_payload(trained_desk, [run]))
    [row] = payload["runs"]
    assert (row["state"], row["remark"], row["change"], row["in_use"]) == (state.value, note, "", False)
    assert payload["latest"] is None


def test_train_panel_shows_no_gain_of_another_label_set(trained_desk: Desk) -> None:
    run = replace(trained_desk.run(1), label_set_id=99)
    payload = train_payload(trained_desk, [run], in_use="aligned")
    assert payload["latest"] is None
    assert payload["runs"][0]["in_use"] is False
    assert payload["runs"][0]["is_of_label_set"] is False


def test_blend_sentence_says_what_words_count_beside_the_halves() -> None:
    usual = {"light": 1.0, "neighbours": 1.0}
    assert blend_sentence(usual, 0.5) == ""
    assert blend_sentence(usual, 0.1) == "By your marks matching words count a fifth."
    assert blend_sentence({"light": 0.5, "neighbours": 4.0}, 0.25) == (
        "By your marks the light model’s vectors count half, documents that the strong model finds similar count four "
        "times and matching words count half."
    )


@pytest.mark.parametrize(
    ("factors", "sentence"),
    [
        ({}, ""),
        ({"light": 1.0, "neighbours": 1.0}, ""),
        ({"light": 2.0, "neighbours": 1.0}, "By your marks the light model’s vectors count double."),
        (
            {"light": 0.5, "neighbours": 0.0},
            "By your marks the light model’s vectors count half and documents that the strong model finds similar "
            "no longer count.",
        ),
    ],
)
def test_blend_sentence_says_in_words_what_counts(factors: dict[str, float], sentence: str) -> None:
    assert blend_sentence(factors) == sentence


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (0, ""), (1, "next in line"), (2, "2nd in line"), (3, "3rd in line"), (4, "4th in line"),
        (11, "11th in line"), (12, "12th in line"), (13, "13th in line"), (21, "21st in line"), (22, "22nd in line"),
    ],
)  # fmt: skip
def test_place_in_line_is_said_as_people_count(place: int, words: str) -> None:
    assert place_in_line(place) == words


def test_train_panel_shows_the_running_run_and_who_waits(judged_desk: Desk) -> None:
    first, second, third = (judged_desk.start(seed=seed) for seed in range(3))
    waiting = train_payload(judged_desk)
    assert (waiting["active"]["id"], waiting["active"]["place"]) == (first.id, "next in line")
    assert [(each["number"], each["place"]) for each in waiting["waiting"]] == [(2, "2nd in line"), (3, "3rd in line")]
    with judged_desk.workspace.writing() as session:
        storage.jobs.claim_next(session, {JobKind.TRAIN})
    payload = as_json(train_payload(judged_desk))
    assert (payload["active"]["kind"], payload["active"]["id"], payload["active"]["place"]) == (
        "training",
        first.id,
        "",
    )
    assert [(each["id"], each["place"]) for each in payload["waiting"]] == [
        (second.id, "next in line"),
        (third.id, "2nd in line"),
    ]
    assert [(row["number"], row["place"]) for row in payload["runs"]] == [
        (3, "2nd in line"),
        (2, "next in line"),
        (1, ""),
    ]


def test_train_panel_shows_a_learning_curve_under_way(trained_desk: Desk) -> None:
    run = replace(trained_desk.run(1), wants_curve=True)
    curve = CurveProgress(run.id, 0.25, "adapter 5 of 20", 3.5)
    active = as_json(train_payload(trained_desk, [run], curve=curve))["active"]
    assert (active["kind"], active["id"], active["fraction"], active["message"], active["is_cancel_requested"]) == (
        "curve", 1, 0.25, "adapter 5 of 20", False,
    )  # fmt: skip
    withdrawn = train_payload(trained_desk, [replace(run, wants_curve=False)], curve=curve)["active"]
    assert withdrawn["is_cancel_requested"] is True
    elsewhere = CurveProgress(99, 0.25, "", 3.5)
    assert train_payload(trained_desk, [run], curve=elsewhere)["active"] is None


def test_train_panel_puts_pinned_runs_on_top_and_names_what_is_in_use(trained_desk: Desk) -> None:
    run = trained_desk.run(1)
    runs = [
        replace(run, id=3, number=3),
        replace(run, id=2, number=2),
        replace(run, is_pinned=True, name="the good one"),
    ]
    payload = as_json(train_payload(trained_desk, runs, in_use="run-1"))
    assert [row["number"] for row in payload["runs"]] == [1, 3, 2]
    assert [row["in_use"] for row in payload["runs"]] == [True, False, False]
    assert payload["in_use"]["label"] == "after your marks (run 1), vectors alone “the good one”"
    with_words = train_payload(trained_desk, runs, in_use="run-1+words")
    assert [row["in_use"] for row in with_words["runs"]] == [True, False, False]
    assert with_words["in_use"]["label"] == "after your marks (run 1) “the good one”"


@pytest.mark.parametrize(
    ("state", "can_resume"),
    [(state, state.value in ("failed", "cancelled", "interrupted")) for state in JobState],
)
def test_train_panel_offers_to_resume_what_ended_before_it_was_done(
    trained_desk: Desk, state: JobState, can_resume: bool
) -> None:
    payload = train_payload(trained_desk, [replace(trained_desk.run(1), state=state)])
    assert payload["runs"][0]["can_resume"] is can_resume


def test_train_panel_says_that_a_run_fell_back(trained_desk: Desk) -> None:
    run = replace(trained_desk.run(1), message="The GPU ran out of memory.")
    payload = train_payload(trained_desk, [run])
    assert payload["runs"][0]["remark"] == "The GPU ran out of memory."
    assert payload["latest"]["sentences"][-1] == "The GPU ran out of memory."


@pytest.mark.parametrize(
    ("after", "p_value", "n", "verdict"),
    [
        (0.5, 0.01, 12, "help"),
        (0.3, 0.01, 12, "hurt"),
        (0.5, 0.2, 12, "unsure"),
        (0.5, 0.001, 9, "unsure"),  # too few to conclude anything
        (0.4004, 0.01, 12, "none"),  # what is shown as no difference is none
    ],
)
def test_verdict_claims_no_more_than_the_queries_allow(after: float, p_value: float, n: int, verdict: str) -> None:
    total = {"before": 0.4, "after": after, "p_value": p_value, "n_better": n, "n_same": 0, "n_worse": 0}
    assert verdict_of(total) == verdict


def test_train_panel_shows_three_stages_and_the_same_counts_everywhere(trained_desk: Desk) -> None:
    latest = as_json(train_payload(trained_desk))["latest"]
    assert [stage["name"] for stage in latest["stages"]] == ["light", "aligned", "marks"]
    counts = f"{latest['n_better']} better, {latest['n_same']} same, {latest['n_worse']} worse"
    assert counts in latest["sentences"][0]
    assert latest["n_better"] + latest["n_same"] + latest["n_worse"] == latest["n"]
    shown = [f"{stage['value']:.2f}" for stage in (latest["stages"][0], latest["stages"][2])]
    assert " → ".join(shown) in latest["headline"]
