"""The comparison screen: JSON of the agreed shape, and words that fit the numbers."""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any

import pytest

from annotation.collections.page import list_queries
from annotation.comparing.measure import Coverage, OverallComparison, Part, PartKind, compare_all
from annotation.comparing.rank import compare_query
from annotation.comparing.strong import StrongState, strong_state
from annotation.comparing.view import ComparisonView
from annotation.ranking.rankers import ALIGNED, BM25, LIGHT, RankingKey, list_rankers
from annotation.ui.payloads.comparing import compare_panel
from era.evaluation.incomplete_judgments import Bounds
from era.evaluation.measures import COMPARISON_MEASURES
from era.evaluation.overlap import MeanOverlap
from era.evaluation.significance import Difference, PairedDifference
from tests.worlds.desk import Desk, as_json, new_desk, small_world, swapped_topics
from tests.worlds.words import GRADED_TEXT, QRELS, light_embedder

GRADES = ("not relevant", "relevant")
OVERLAP = MeanOverlap(0.5, 0.25, None, 4.0, 12)


def view_of(desk: Desk, *sides: str, **more: Any) -> ComparisonView:
    return ComparisonView(
        desk.collection.id, desk.label_set_id, tuple(map(RankingKey, sides)), more.pop("query_id", None), **more
    )


def panel(desk: Desk, view: ComparisonView, **parts: Any) -> dict[str, Any]:
    shown = compare_panel(
        desk.page,
        "ann",
        list_rankers(desk.workspace, desk.collection.id, is_comparing=True),
        list_queries(desk.workspace, desk.page),
        view,
        GRADES,
        strong_state(desk.workspace, desk.collection.id),
        **parts,
    )
    return as_json(shown)


def compare_payload(desk: Desk, *sides: str, **more: Any) -> dict[str, Any]:
    """Return the whole screen of a comparison."""
    view = view_of(desk, *sides, **more)
    one = compare_query(desk.workspace, "ann", view) if view.query_id is not None else None
    return panel(desk, view, one=one, overall=compare_all(desk.workspace, view))


def paired(
    before: float, after: float, p_value: float, n: tuple[int, int, int], d: float | None, **more: int
) -> PairedDifference:
    return PairedDifference(before, after, -0.25, 0.5, *n, more.pop("n_groups", sum(n)), p_value, d, **more)


def overall_of(*parts: tuple[PartKind, Sequence[Difference]], **more: Any) -> OverallComparison:
    made = [Part(kind, mains[0].n, [{"nDCG@10": main} for main in mains]) for kind, mains in parts]
    overlaps = [OVERLAP] * len(parts[0][1]) if parts else []
    return OverallComparison(made, [], overlaps, "nDCG@10", more.pop("coverage", None), **more)


def test_compare_panel_has_what_the_page_draws(trained_desk: Desk) -> None:
    query_id = trained_desk.query_id("cat-vet")
    shown = compare_payload(trained_desk, LIGHT, "run-1", BM25, query_id=query_id)
    assert shown.keys() == {
        "page", "usual", "can_write", "intro", "error", "rankers", "sides", "query_id", "queries",
        "instruction", "tried", "measures", "measure_names", "threshold", "grades", "is_in_sample", "one", "overall",
        "strong", "url", "labels", "n_reread", "unread",
    }  # fmt: skip
    assert shown["sides"] == [LIGHT, "run-1", BM25]
    assert shown["measure_names"] == "nDCG@10, R@100, RR, P@10, Judged@10"
    assert [name for name, meaning in shown["measures"] if meaning] == list(COMPARISON_MEASURES)
    assert (shown["grades"], shown["threshold"], shown["is_in_sample"]) == (list(GRADES), None, False)
    rows = {row["key"]: row for row in shown["rankers"]}
    assert rows[BM25] == {
        "key": BM25, "label": "BM25, matching words alone", "group": "",
        "reread": None, "is_run": False, "is_kept": False,
    }  # fmt: skip
    assert rows["light+words"]["reread"] == "light+words+reread"
    assert {"id": query_id, "text": "cat", "instruction": "vet", "relevant": 1} in shown["queries"]
    assert (shown["instruction"], shown["can_write"]) == ("vet", True)
    assert shown["url"] == {
        "collection": trained_desk.collection.id, "labels": trained_desk.label_set_id, "query": query_id,
        "sides": "light~run-1~bm25", "measures": None, "threshold": None, "insample": None,
    }  # fmt: skip
    assert shown["strong"]["state"] == "absent"
    assert "read all 16 documents once" in shown["strong"]["text"]
    one = shown["one"]
    assert one.keys() == {
        "query_id", "query_hash", "text", "instruction", "is_part_hidden", "hidden_note", "explanation", "terms",
        "n_shared", "sides",
    }  # fmt: skip
    assert (one["is_part_hidden"], one["hidden_note"]) == (False, "")
    assert one["terms"] == ["cat"]
    assert one["sides"][1].keys() == {"key", "label", "note", "measures", "results"}
    assert one["sides"][1]["measures"].keys() == set(COMPARISON_MEASURES)
    assert one["sides"][1]["results"][0].keys() == {"rank", "doc_id", "title", "text", "score", "grade", "ranks"}
    assert len(one["sides"][1]["results"][0]["ranks"]) == 3
    overall = shown["overall"]
    assert overall.keys() == {
        "main", "rule", "parts", "overlaps", "overlap_meanings", "coverage", "extremes", "hidden_note", "queries",
        "without_relevant_note",
        "looks",
    }  # fmt: skip
    [part] = overall["parts"]
    assert part.keys() == {"kind", "title", "explanation", "n", "against"}
    assert [each["side"] for each in part["against"]] == [each["side"] for each in overall["overlaps"]] == [1, 2]
    assert part["against"][0]["label"] == "after your marks (run 1), vectors alone"
    assert part["against"][0].keys() == {
        "side", "label", "better", "same", "worse", "verdict", "effect", "rows", "estimated", "bounds",
    }  # fmt: skip
    assert part["against"][0]["rows"][0].keys() == {
        "measure", "meaning", "before", "after", "difference", "low", "high", "cells",
    }  # fmt: skip
    assert overall["overlaps"][0].keys() == {"side", "label", "rbo", "jaccard", "tau"}
    assert overall["overlap_meanings"].keys() == {"rbo", "jaccard", "tau"}
    [query] = [each for each in overall["queries"] if each["id"] == query_id]
    assert query.keys() == {
        "id",
        "text",
        "part",
        "hidden",
        "relevant",
        "values",
        "change",
        "changes",
        "kinds",
        "judged",
        "measures",
    }
    assert (query["text"], query["part"], query["relevant"]) == ("cat", "learned", 1)
    assert query["measures"]["nDCG@10"] == query["values"]
    assert query["change"] == pytest.approx(query["values"][2] - query["values"][0], abs=5e-5)


def test_compare_panel_names_a_hidden_query_last_and_without_numbers(trained_desk: Desk) -> None:
    view = view_of(trained_desk, LIGHT, "run-1")
    overall = compare_all(trained_desk.workspace, view)
    assert overall is not None
    first = overall.queries[0].query
    shown = panel(trained_desk, view, overall=overall)["overall"]
    hiding = panel(trained_desk, view, overall=overall, hidden={first.id})["overall"]
    assert hiding["queries"][-1] == {
        "id": first.id, "text": first.text, "part": "learned", "hidden": "hidden until you have finished it",
        "relevant": None, "values": None, "change": None, "changes": None, "kinds": None, "judged": None,
        "measures": None,
    }  # fmt: skip
    assert hiding["queries"][:-1] == shown["queries"][1:]
    assert {each["hidden"] for each in shown["queries"]} == {""}
    assert hiding["hidden_note"].startswith("1 query counts in the means without showing its own numbers")
    assert shown["hidden_note"] == ""
    listed: dict[str, Any] = {"queries": [], "extremes": {}, "hidden_note": ""}
    assert {**hiding, **listed} == {**shown, **listed}  # all means stay
    assert shown["extremes"]["improved"]["id"] == first.id
    assert hiding["extremes"]["improved"]["id"] == shown["queries"][1]["id"]


def test_compare_panel_names_where_to_look_first(judged_desk: Desk) -> None:
    judged_desk.mark(judged_desk.ask(GRADED_TEXT), "dog-illness", 1.0, 1)  # up from place 10 to 2
    fallen = judged_desk.ask(GRADED_TEXT + " cat")
    judged_desk.mark(fallen, "cat-feeding", 1.0, 2)  # down from place 1 to 9
    key = f"run-{judged_desk.finish_by_hand(swapped_topics()).id}"
    found = compare_payload(judged_desk, LIGHT, key)["overall"]["extremes"]
    assert (found["improved"]["text"], found["words"]) == (GRADED_TEXT, "")
    assert found["improved"]["values"] == pytest.approx([1 / log2(11), 1 / log2(3)])
    assert found["worsened"]["id"] == fallen
    assert found["worsened"]["values"] == pytest.approx([1.0, 1 / log2(10)])
    same = compare_payload(judged_desk, LIGHT, ALIGNED)["overall"]["extremes"]
    assert (same["improved"], same["words"]) == (None, "No query got better in nDCG@10.")


def test_compare_panel_writes_into_the_address_what_is_not_usual(trained_desk: Desk) -> None:
    view = view_of(trained_desk, LIGHT, ALIGNED, measures=("P@10", "RR"), threshold=1.0, is_in_sample=True)
    url = panel(trained_desk, view)["url"]
    assert (url["measures"], url["threshold"], url["insample"]) == ("P@10, RR", 1.0, "1")


def test_compare_panel_is_equal_when_nothing_happened(trained_desk: Desk) -> None:
    query_id = trained_desk.query_id("cat-vet")
    first, second = (compare_payload(trained_desk, LIGHT, "run-1", query_id=query_id) for _ in range(2))
    assert first == second


def test_compare_panel_says_that_a_query_was_held_out(trained_desk: Desk) -> None:
    query_id = trained_desk.query_id("cat-vet")
    one = compare_payload(trained_desk, LIGHT, "run-1", query_id=query_id)["one"]
    assert "“after your marks (run 1), vectors alone”" in one["explanation"]
    assert "never saw its marks" in one["explanation"]
    assert [side["note"] for side in one["sides"]] == ["", "ranked by a version that never saw this query's marks"]
    plain = compare_payload(trained_desk, LIGHT, ALIGNED, query_id=query_id)["one"]
    assert (plain["explanation"], [side["note"] for side in plain["sides"]]) == ("", ["", ""])
    flattered = compare_payload(trained_desk, LIGHT, "run-1", query_id=query_id, is_in_sample=True)["one"]
    assert flattered["explanation"] == ""
    assert flattered["sides"][1]["note"].startswith("in-sample: ")


def test_compare_panel_says_how_sure_a_run_is_of_a_new_query(tmp_path: Path) -> None:
    desk = new_desk(tmp_path, small_world(qrels=QRELS))
    desk.train()
    query_id = desk.ask("seal moth")
    explanation = compare_payload(desk, LIGHT, "run-1+words", query_id=query_id)["one"]["explanation"]
    unmeasured = compare_payload(desk, LIGHT, "run-1", query_id=query_id)["one"]["explanation"]
    desk.workspace.close()
    assert "Of the 12 queries" not in unmeasured  # it was measured with words
    assert explanation.startswith(
        "Nothing was learned from this query. Of the 12 queries that taught “after your marks"
    )
    assert re.search(r"the change lies between [+−]?0\.\d\d and [+−]?0\.\d\d nDCG@100", explanation)


def test_compare_panel_says_so_where_a_run_ranks_a_new_query_as_before(tmp_path: Path) -> None:
    """From two labels on one text nothing can be checked, so nothing is kept."""
    desk = new_desk(tmp_path, small_world(qrels={name: QRELS[name] for name in ("cat-owner", "cat-vet")}))
    desk.train()
    explanation = compare_payload(desk, LIGHT, "run-1+words", query_id=desk.ask("seal moth"))["one"]["explanation"]
    desk.workspace.close()
    assert explanation.endswith("“after your marks (run 1)” ranks it exactly as the aligned ranking does.")


@pytest.mark.parametrize(
    ("main", "verdict", "effect", "cells"),
    [
        (
            paired(0.5, 0.75, 0.0004, (9, 2, 1), 0.55),
            "In nDCG@10 “aligned, no labels, vectors alone” is 0.25 better than “light model alone” on average, likely "
            "between −0.25 and +0.50. With 12 queries this is unlikely to be chance (p < 0.001).",
            "That is a medium effect (Cohen's d +0.55; by his rule of thumb 0.2 is small, 0.5 medium, 0.8 large).",
            ["0.50", "0.75", "+0.25", "−0.25 to +0.50", "< 0.001", "+0.55"],
        ),
        (
            paired(0.75, 0.5, 0.25, (0, 0, 10), -0.21),
            "In nDCG@10 “aligned, no labels, vectors alone” is 0.25 worse than “light model alone” on average, likely "
            "between −0.25 and +0.50. With 10 queries this could be chance (p = 0.250); more marked queries will tell.",
            "That is a small effect (Cohen's d −0.21; by his rule of thumb 0.2 is small, 0.5 medium, 0.8 large).",
            ["0.75", "0.50", "−0.25", "−0.25 to +0.50", "0.250", "−0.21"],
        ),
        (
            paired(0.504, 0.496, 0.25, (3, 0, 9), -0.21),
            "“aligned, no labels, vectors alone” and “light model alone” are equally good on average (nDCG@10 0.50), "
            "the difference likely between −0.25 and +0.50. With 12 queries this could be chance (p = 0.250); more "
            "marked queries will tell.",
            "That is a small effect (Cohen's d −0.21; by his rule of thumb 0.2 is small, 0.5 medium, 0.8 large).",
            ["0.50", "0.50", "no difference", "−0.25 to +0.50", "0.250", "−0.21"],
        ),
        (
            paired(0.5, 0.75, 0.0004, (9, 0, 0), None),
            "In nDCG@10 “aligned, no labels, vectors alone” is 0.25 better than “light model alone” on average, "
            "roughly between −0.25 and +0.50. With only 9 queries nothing can be concluded (p < 0.001).",
            "",
            ["0.50", "0.75", "+0.25", "−0.25 to +0.50", "< 0.001", "–"],
        ),
        (
            paired(0.5, 0.75, 0.02, (9, 2, 1), 0.55, n_groups=11, n_tests=4),
            "In nDCG@10 “aligned, no labels, vectors alone” is 0.25 better than “light model alone” on average, likely "
            "between −0.25 and +0.50. With 12 queries, which count as 11 since near-copies count once, this is "
            "unlikely to be "
            "chance (p = 0.020, adjusted for 4 tests).",
            "That is a medium effect (Cohen's d +0.55; by his rule of thumb 0.2 is small, 0.5 medium, 0.8 large).",
            ["0.50", "0.75", "+0.25", "−0.25 to +0.50", "0.020", "+0.55"],
        ),
        (
            Difference(0.5, 0.75, -0.25, 0.5, 9, 2, 1, 12),
            "In nDCG@10 “aligned, no labels, vectors alone” is 0.25 better than “light model alone” on average, likely "
            "between −0.25 and +0.50.",
            "",
            ["0.50", "0.75", "+0.25", "−0.25 to +0.50", "–", "–"],
        ),
        (
            paired(0.5, 0.5, 1.0, (0, 12, 0), 0.0),
            "“aligned, no labels, vectors alone” and “light model alone” measure the same in nDCG@10 on every query.",
            "",
            ["0.50", "0.50", "no difference", "−0.25 to +0.50", "1.000", "0.00"],
        ),
        (
            paired(0.5, 0.5, 1.0, (0, 1, 0), None),
            "“aligned, no labels, vectors alone” and “light model alone” measure the same in nDCG@10 on every query. "
            "With only 1 query nothing can be concluded (p = 1.000).",
            "",
            ["0.50", "0.50", "no difference", "−0.25 to +0.50", "1.000", "–"],
        ),
    ],
)
def test_compare_panel_puts_the_difference_into_words(
    trained_desk: Desk, main: Difference, verdict: str, effect: str, cells: list[str]
) -> None:
    view = view_of(trained_desk, LIGHT, ALIGNED)
    [part] = panel(trained_desk, view, overall=overall_of(("plain", [main])))["overall"]["parts"]
    [against] = part["against"]
    assert (against["verdict"], against["effect"]) == (verdict, effect)
    assert (against["better"], against["same"], against["worse"]) == (main.n_better, main.n_same, main.n_worse)
    [row] = against["rows"]
    assert row["cells"] == cells


def test_compare_panel_tests_one_measure_and_says_what_it_is_adjusted_for(trained_desk: Desk) -> None:
    view = view_of(trained_desk, LIGHT, ALIGNED)
    main, other = paired(0.5, 0.75, 0.02, (9, 2, 1), 0.55), Difference(0.25, 0.5, -0.25, 0.5, 9, 2, 1, 12)

    def shown(n_tests: int) -> dict[str, Any]:
        tested = replace(main, n_tests=n_tests)
        overall = OverallComparison([Part("plain", 12, [{"RR": other, "nDCG@10": tested}])], [], [], "nDCG@10", None)
        return dict(panel(trained_desk, view, overall=overall)["overall"])

    [against] = shown(1)["parts"][0]["against"]
    assert [row["cells"][4:] for row in against["rows"]] == [["–", "–"], ["0.020", "+0.55"]]
    assert shown(1)["rule"] == "nDCG@10 decides; the other measures come with their intervals alone."
    assert shown(4)["rule"] == (
        "nDCG@10 decides; the other measures come with their intervals alone. It is tested 4 times here, and its "
        "p values are adjusted for that."
    )


def test_compare_panel_shows_what_is_kept_for_testing_apart(trained_desk: Desk) -> None:
    view, main = view_of(trained_desk, LIGHT, "run-1"), paired(0.5, 0.75, 0.02, (9, 2, 1), 0.55)
    shown = panel(trained_desk, view, overall=overall_of(("test", [main]), n_tests_learned=2))["overall"]
    [part] = shown["parts"]
    assert part["title"] == "Queries kept for testing (12)"
    assert part["explanation"] == "No compared run learned from them, so they compare runs cleanly."
    assert shown["rule"].endswith(
        "2 queries that are kept for testing count among the others: a compared run learned from them, or from a "
        "near-copy."
    )
    one = panel(trained_desk, view, overall=overall_of(("learned", [main]), n_tests_learned=1))["overall"]["rule"]
    assert one.endswith("1 query that is kept for testing counts among the others: a compared run learned from it, "
                        "or from a near-copy.")  # fmt: skip


def test_compare_panel_keeps_apart_what_was_learned_from(judged_desk: Desk) -> None:
    taught = [judged_desk.query_id(public_id) for public_id in ("cat-owner", "cat-vet")]  # of the same text
    judged_desk.mark(judged_desk.ask(GRADED_TEXT), "dog-feeding", 1.0, 1)
    vector = light_embedder().encode_documents(["cat feeding"])[0]
    run = f"run-{judged_desk.finish_by_hand(swapped_topics(), dict.fromkeys(taught, vector)).id}"
    titles = [part["title"] for part in compare_payload(judged_desk, LIGHT, run)["overall"]["parts"]]
    assert titles == [
        "Queries the run learned from, each ranked by a version that had not seen its marks (2)",
        "Queries the run never learned from (11)",
    ]
    parts = compare_payload(judged_desk, LIGHT, run, is_in_sample=True)["overall"]["parts"]
    assert parts[0]["title"] == (
        "IN-SAMPLE: the run learned from these 2 queries, or from near-copies; the numbers flatter it"
    )
    assert "never report these numbers" in parts[0]["explanation"]
    [part] = compare_payload(judged_desk, LIGHT, ALIGNED)["overall"]["parts"]
    assert part["title"] == "All labelled queries (13)"


@pytest.mark.parametrize(
    ("n", "note"),
    [
        (0, ""),
        (1, "1 judged query has nothing that counts as relevant; it counts in no measure."),
        (3, "3 judged queries have nothing that counts as relevant; they count in no measure."),
    ],
)
def test_compare_panel_says_that_queries_without_a_relevant_document_count_nowhere(
    trained_desk: Desk, n: int, note: str
) -> None:
    view, main = view_of(trained_desk, LIGHT, ALIGNED), paired(0.5, 0.5, 1.0, (0, 12, 0), 0.0)
    shown = panel(trained_desk, view, overall=overall_of(("plain", [main]), n_without_relevant=n))["overall"]
    assert shown["without_relevant_note"] == note


def test_compare_panel_says_what_was_left_out_and_why(trained_desk: Desk) -> None:
    view, main = view_of(trained_desk, LIGHT, ALIGNED), paired(0.5, 0.5, 1.0, (0, 12, 0), 0.0)
    [part] = panel(trained_desk, view, overall=overall_of(("plain", [main]), n_left_out=2))["overall"]["parts"]
    assert part["explanation"] == (
        "2 labelled queries are left out on every side: what was kept or brought in never ranked them, "
        "and what was never tried has not failed."
    )
    [part] = panel(trained_desk, view, overall=overall_of(n_left_out=1))["overall"]["parts"]
    assert (part["n"], part["against"]) == (0, [])
    assert part["title"] == "No labelled query is ranked on every side"
    assert part["explanation"].startswith("1 labelled query is left out")


def test_compare_panel_says_what_is_not_judged(trained_desk: Desk) -> None:
    view, same = view_of(trained_desk, LIGHT, ALIGNED, "run-1"), paired(0.5, 0.5, 1.0, (0, 12, 0), 0.0)
    overall = overall_of(("unseen", [same, same]), coverage=Coverage((0.6, 0.2, 0.5), 1, 1))
    assert panel(trained_desk, view, overall=overall)["overall"]["coverage"] == {
        "text": "Judged of the first ten: 60% for “light model alone”, 20% for “aligned, no labels, vectors alone”, "
        "50% for “after your marks (run 1), vectors alone”. What is not judged (1 document) counts as not relevant, "
        "except where drawn documents "
        "count for it.",
        "n_documents": 1,
    }


def test_compare_panel_says_whether_the_order_could_turn_and_what_is_estimated(trained_desk: Desk) -> None:
    view, main = view_of(trained_desk, LIGHT, ALIGNED), paired(0.5, 0.55, 1.0, (6, 6, 0), 0.0)
    judged = Difference(0.5, 0.625, None, None, 6, 6, 0, 12)

    def against(**more: Any) -> dict[str, Any]:
        overall = OverallComparison([Part("plain", 12, [{"nDCG@10": main}], **more)], [], [OVERLAP], "nDCG@10", None)
        [shown] = panel(trained_desk, view, overall=overall)["overall"]["parts"][0]["against"]
        return dict(shown)

    shown = against(of_judged=[judged], bounds=[Bounds(-0.08, 0.15, 61)])
    assert shown["estimated"] == (
        "nDCG@10 is estimated here: documents drawn at random count for those that were not drawn. Of what is judged "
        "alone it is 0.50 → 0.63 (+0.13), and the other measures are of that."
    )
    assert shown["bounds"] == (
        "Among the first ten of both, 61 documents are not judged. If exactly those were relevant that “light model "
        "alone” ranks higher, nDCG@10 would differ by −0.08; if those that “aligned, no labels, vectors alone” ranks "
        "higher, by "
        "+0.15. So the order could turn."
    )
    assert against(bounds=[Bounds(0.01, 0.15, 1)])["bounds"].startswith(
        "Among the first ten of both, 1 document is not"
    )
    assert against(bounds=[Bounds(0.01, 0.15, 1)])["bounds"].endswith("The order stays.")
    assert against(bounds=[Bounds(0.05, 0.05, 0)])["bounds"] == ""
    assert (against()["estimated"], against()["bounds"]) == ("", "")


def test_compare_panel_shows_that_measures_are_pending(trained_desk: Desk) -> None:
    payload = panel(trained_desk, view_of(trained_desk, LIGHT, "gone"), is_pending=True, error="Gone.")
    assert (payload["overall"], payload["one"], payload["error"]) == ("pending", None, "Gone.")


def test_compare_panel_of_a_visitor_cannot_write(trained_desk: Desk) -> None:
    shown = compare_panel(
        trained_desk.page, None, [], [], view_of(trained_desk, LIGHT, ALIGNED), GRADES, StrongState("ready", 1.0, "")
    )
    assert (shown["can_write"], shown["overall"], shown["instruction"]) == (False, None, "")
