"""All labelled queries: measured apart by what was learned from them, and never where a side did not rank them."""

from math import log2
from typing import Any

import numpy as np
import pytest

import storage.comparisons
import storage.label_sets
from annotation.collections.page import open_page
from annotation.comparing import measure
from annotation.comparing.measure import OverallComparison, Part, PartKind, QueryChange, compare_all, extremes
from annotation.comparing.rank import compare_query
from annotation.comparing.view import ComparisonView
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging.marks import start_label_set
from annotation.judging.setup import FOUR_GRADES
from annotation.ranking.rankers import ALIGNED, BM25, LIGHT, RankingKey, list_rankers
from era.evaluation.significance import PairedDifference, holm, paired_differences
from storage.records import NewSnapshot, PoolDraw, SnapshotRanking
from tests.worlds.desk import Desk, swapped_topics
from tests.worlds.judging import with_setup
from tests.worlds.words import DOCUMENTS, GRADED_RANKING, GRADED_TEXT, QRELS, light_embedder

SECOND_OF_TEN, TENTH_OF_TEN = 1 / log2(3), 1 / log2(11)  # nDCG@10 of one relevant document


def view_of(desk: Desk, *sides: str, **more: Any) -> ComparisonView:
    return ComparisonView(
        desk.collection.id, desk.label_set_id, tuple(map(RankingKey, sides)), more.pop("query_id", None), **more
    )


def compared(desk: Desk, *sides: str, **more: Any) -> OverallComparison:
    overall = compare_all(desk.workspace, view_of(desk, *sides, **more))
    assert overall is not None
    return overall


def means(part: Part, measure: str, against: int = 0) -> list[float]:
    difference = part.differences[against][measure]
    return [difference.before, difference.after]


def differences_tested(overall: OverallComparison, measure: str) -> list[PairedDifference]:
    """Return the differences in a measure that were tested."""
    found = (by[measure] for part in overall.parts for by in part.differences)
    return [each for each in found if isinstance(each, PairedDifference)]


def ndcg_at_10(ranking: list[str], grades: dict[str, float]) -> float:
    """Return nDCG@10 with linear gains (Järvelin and Kekäläinen 2002), as trec_eval counts it."""
    gained = sum(grades.get(doc_id, 0.0) / log2(place + 2) for place, doc_id in enumerate(ranking[:10]))
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:10]
    return gained / sum(grade / log2(place + 2) for place, grade in enumerate(best))


def second_label_set(desk: Desk) -> None:
    """Open a label set with nothing in it; the desk's marks go there from now on."""
    start_label_set(desk.workspace, "ann", desk.collection.id, "second")


def keep(desk: Desk, rankings: dict[int, list[str]], *, is_flattered: bool = False, depth: int = 100) -> str:
    """Keep a snapshot whose one side ranks these queries, and return the key of that side."""
    about = {"sides": [{"key": LIGHT, "label": "as it was"}], "depth": depth}
    new = NewSnapshot("abc2345", desk.collection.id, desk.label_set_id, "May", "", "ann", about)
    rows = [
        SnapshotRanking(
            0, query_id, tuple((d, 1.0 - place / 100) for place, d in enumerate(ranking)), False, is_flattered
        )
        for query_id, ranking in rankings.items()
    ]
    with desk.workspace.writing() as session:
        storage.comparisons.create_snapshot(session, new, rows)
    return "snap-abc2345-0"


@pytest.mark.parametrize("sides", [(LIGHT, "run-1"), ("run-1", ALIGNED), (LIGHT, ALIGNED), (LIGHT, "run-1", BM25)])
def test_compare_all_equals_ndcg_computed_from_the_shown_rankings(trained_desk: Desk, sides: tuple[str, ...]) -> None:
    overall = compared(trained_desk, *sides)
    values: list[list[float]] = []
    for public_id, grades in QRELS.items():
        view = view_of(trained_desk, *sides, query_id=trained_desk.query_id(public_id))
        shown = compare_query(trained_desk.workspace, "ann", view).sides
        values.append([ndcg_at_10([each.doc_id for each in side.results], grades) for side in shown])
        [change] = [each for each in overall.queries if each.query.public_id == public_id]
        assert list(change.values["nDCG@10"]) == pytest.approx(values[-1])
        assert change.n_relevant == 1
    [part] = overall.parts
    assert (part.kind, part.n) == ("learned" if "run-1" in sides else "plain", 12)
    assert len(part.differences) == len(overall.overlaps) == len(sides) - 1
    by_side = np.array(values).T
    for place, differences in enumerate(part.differences, start=1):
        assert differences.keys() == {"nDCG@10", "R@100", "RR", "P@10", "Judged@10"}
        main = differences["nDCG@10"]
        assert [main.before, main.after] == pytest.approx([by_side[0].mean(), by_side[place].mean()])
        change_of = by_side[place] - by_side[0]
        assert (main.n_better, main.n_worse) == (int((change_of > 1e-9).sum()), int((change_of < -1e-9).sum()))
    gains = [change.values["nDCG@10"][-1] - change.values["nDCG@10"][0] for change in overall.queries]
    assert gains == sorted(gains, reverse=True)
    assert overall.main_measure == "nDCG@10"


def test_compare_all_measures_apart_what_the_run_learned_from(judged_desk: Desk) -> None:
    second_label_set(judged_desk)
    taught, untaught, unlabelled = (judged_desk.ask(f"{GRADED_TEXT}{more}") for more in ("", ", please", ", thanks"))
    judged_desk.mark(taught, "dog-feeding", 1.0, 1)
    judged_desk.mark(untaught, "dog-illness", 1.0, 2)
    judged_desk.mark(unlabelled, "dog-feeding", 0.0, 3)
    only_dogs = light_embedder().encode_documents(["dog dog feeding"])[0]
    run = f"run-{judged_desk.finish_by_hand(swapped_topics(), {taught: only_dogs}).id}"
    overall = compared(judged_desk, LIGHT, run)
    assert [(each.query.id, each.part) for each in overall.queries] == [(taught, "learned"), (untaught, "unseen")]
    assert overall.queries[0].values["nDCG@10"] == pytest.approx((SECOND_OF_TEN, 1))
    assert overall.queries[1].values["nDCG@10"] == pytest.approx((TENTH_OF_TEN, SECOND_OF_TEN))
    learned, unseen = overall.parts
    assert (learned.kind, learned.n, unseen.kind, unseen.n) == ("learned", 1, "unseen", 1)
    assert means(learned, "RR") == pytest.approx([1 / 2, 1])
    assert means(unseen, "RR") == pytest.approx([1 / 10, 1 / 2])
    in_sample = compared(judged_desk, LIGHT, run, is_in_sample=True)
    assert [(part.kind, part.n) for part in in_sample.parts] == [("in_sample", 1), ("unseen", 1)]
    assert means(in_sample.parts[0], "RR") == pytest.approx([1 / 2, 1 / 10])  # the deployed adapter swaps topics
    assert [part.kind for part in compared(judged_desk, LIGHT, ALIGNED).parts] == ["plain"]


def test_compare_all_knows_a_text_that_was_learned_from_under_another_instruction(judged_desk: Desk) -> None:
    second_label_set(judged_desk)
    taught, twin = judged_desk.ask(GRADED_TEXT), judged_desk.ask(f" {GRADED_TEXT.upper()}", "owner")
    for number, query_id in enumerate((taught, twin)):
        judged_desk.mark(query_id, "dog-feeding", 1.0, number + 1)
    only_dogs = light_embedder().encode_documents(["dog dog feeding"])[0]
    run = f"run-{judged_desk.finish_by_hand(swapped_topics(), {taught: only_dogs}).id}"
    overall = compared(judged_desk, LIGHT, run)
    assert {each.query.id: each.part for each in overall.queries} == {taught: "learned", twin: "in_sample"}


def test_compare_all_calls_no_near_copy_of_a_learned_query_unseen(judged_desk: Desk) -> None:
    """One more has mostly the same answers, one nearly the same meaning; the last is like neither."""
    second_label_set(judged_desk)
    texts = ("cat owner", "moth", "cat owner cat owner feeding", "seal vet")
    taught, by_answer, by_meaning, unseen = (judged_desk.ask(text) for text in texts)
    marks = [
        (taught, "cat-feeding"),
        (by_answer, "cat-feeding"),
        (by_meaning, "hare-illness"),
        (unseen, "seal-illness"),
    ]
    for number, (query_id, doc_id) in enumerate(marks):
        judged_desk.mark(query_id, doc_id, 1.0, number + 1)
    vector = light_embedder().encode_documents(["cat feeding"])[0]
    run = f"run-{judged_desk.finish_by_hand(swapped_topics(), {taught: vector}).id}"

    def parts(*sides: str, desk: Desk = judged_desk) -> dict[int, str]:
        return {each.query.id: each.part for each in compared(desk, *sides).queries}

    unread = parts(LIGHT, run)  # by the strong model, so that meaning is not known
    assert unread == {taught: "learned", by_answer: "in_sample", by_meaning: "unseen", unseen: "unseen"}
    assert parts(ALIGNED, run) == unread | {by_meaning: "in_sample"}
    assert parts(LIGHT, run) == unread | {by_meaning: "in_sample"}  # it is known now
    again = judged_desk.again()
    assert parts(LIGHT, run, desk=again) == unread | {by_meaning: "in_sample"}  # and stays so
    again.workspace.close()


def test_compare_all_counts_near_copies_once(judged_desk: Desk) -> None:
    """The judged queries are six texts, each under two instructions."""
    [part] = compared(judged_desk, LIGHT, ALIGNED).parts
    assert part.n == 12
    assert {difference.n_groups for difference in part.differences[0].values()} == {6}


def test_compare_all_tests_one_measure_and_adjusts_for_sides_and_parts(judged_desk: Desk) -> None:
    """Ten queries that taught a run and ten that did not, each with two relevant documents of its own choice."""
    second_label_set(judged_desk)
    doc_ids = [document.doc_id for document in DOCUMENTS]
    pairs = [(doc_ids[i % 16], doc_ids[(i + 1 + i // 16) % 16]) for i in range(20)]
    queries = [judged_desk.ask(f"{pair[0].partition('-')[0]} number {i}") for i, pair in enumerate(pairs)]
    for number, (query_id, pair) in enumerate(zip(queries, pairs, strict=True)):
        for place, doc_id in enumerate(pair):
            judged_desk.mark(query_id, doc_id, 1.0, 2 * number + place + 1)
    vectors = {query_id: light_embedder().encode_documents(["dog feeding"])[0] for query_id in queries[:10]}
    run = f"run-{judged_desk.finish_by_hand(swapped_topics(), vectors).id}"
    overall = compared(judged_desk, LIGHT, run, BM25, measures=("RR", "P@10"))
    assert [(part.kind, part.n) for part in overall.parts] == [("learned", 10), ("unseen", 10)]
    within: list[PairedDifference] = []
    for kind in ("learned", "unseen"):
        rows = {str(each.query.id): each.values["RR"] for each in overall.queries if each.part == kind}
        sides = [{query_id: values[side] for query_id, values in rows.items()} for side in range(3)]
        within += paired_differences(sides[0], sides[1:])
    expected = holm([each.p_value for each in within], ["learned", "learned", "unseen", "unseen"])
    assert [each.p_value for each in differences_tested(overall, "RR")] == pytest.approx(expected)
    assert {each.n_tests for each in differences_tested(overall, "RR")} == {4}
    assert differences_tested(overall, "P@10") == []
    assert min(expected) < 1
    flattering = compared(judged_desk, LIGHT, run, BM25, measures=("RR",), is_in_sample=True)
    assert [part.kind for part in flattering.parts] == ["in_sample", "unseen"]
    assert [each.n_tests for each in differences_tested(flattering, "RR")] == [2, 2]  # of what is unseen alone


def test_compare_all_of_two_runs_counts_what_any_of_them_learned_from(judged_desk: Desk) -> None:
    second_label_set(judged_desk)
    queries = [judged_desk.ask(f"{GRADED_TEXT}{more}") for more in ("", ", please", ", thanks")]
    for query_id, doc_id in zip(queries, ("dog-feeding", "cat-feeding", "dog-illness"), strict=True):
        judged_desk.mark(query_id, doc_id, 1.0, query_id)
    dogs = light_embedder().encode_documents(["dog"])[0]
    keys = [f"run-{judged_desk.finish_by_hand(swapped_topics(), {query_id: dogs}).id}" for query_id in queries[:2]]
    overall = compared(judged_desk, *keys)
    assert {each.query.id: each.part for each in overall.queries} == dict(
        zip(queries, ["learned", "learned", "unseen"], strict=True)
    )


def test_compare_all_compares_every_further_side_with_the_first(judged_desk: Desk) -> None:
    second_label_set(judged_desk)
    query_id = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(query_id, "dog-feeding", 1.0, 1)
    run = f"run-{judged_desk.finish_by_hand(swapped_topics()).id}"
    overall = compared(judged_desk, LIGHT, run, f"{LIGHT}+words", measures=("Judged@10", "RR"))
    [part] = overall.parts
    assert means(part, "RR") == pytest.approx([1 / 2, 1 / 10])
    assert part.kind == "unseen"
    assert part.differences[0].keys() == {"Judged@10", "RR"}
    assert overall.main_measure == "RR"
    swapped, with_words = overall.overlaps
    assert swapped.jaccard == pytest.approx(4 / 16)  # both documents of cat and dog
    # of 120 pairs of documents, the 28 within either topic keep their order and the 64 across topics change it
    assert swapped.kendall_tau == pytest.approx((2 * 28 - 64) / 120)
    assert with_words.rbo > swapped.rbo
    assert (swapped.n, swapped.n_shared) == (1, len(DOCUMENTS))


def test_compare_all_counts_as_relevant_from_the_threshold_on(desk: Desk) -> None:
    with_setup(desk, grade_names=FOUR_GRADES)
    first, second = desk.ask(GRADED_TEXT), desk.ask(GRADED_TEXT, "owner")
    desk.mark(first, "cat-feeding", 1.0, 1)
    desk.mark(first, "dog-feeding", 2.0, 2)
    desk.mark(second, "cat-feeding", 1.0, 3)
    everything = compared(desk, LIGHT, BM25)
    assert {each.query.id: (each.n_relevant, each.values["RR"][0]) for each in everything.queries} == {
        first: (2, 1.0),
        second: (1, 1.0),
    }
    [change] = compared(desk, LIGHT, BM25, threshold=2.0).queries
    assert (change.query.id, change.n_relevant) == (first, 1)
    assert change.values["RR"][0] == pytest.approx(1 / 2)
    assert compare_all(desk.workspace, view_of(desk, LIGHT, BM25, threshold=3.0)) is None


def test_compare_all_counts_what_is_not_judged_and_bounds_the_difference(desk: Desk) -> None:
    query_id = desk.ask(GRADED_TEXT)
    run = f"run-{finish_untaught(desk)}"
    desk.mark(query_id, "dog-feeding", 1.0, 3)  # second on one side and tenth on the other
    overall = compared(desk, LIGHT, run)
    assert overall.coverage is not None
    assert (overall.coverage.n_unjudged, overall.coverage.n_documents) == (15, 8)
    assert overall.coverage.judged == pytest.approx((1 / 10, 1 / 10))
    [bounds] = overall.parts[0].bounds
    assert (bounds.n_unjudged, bounds.could_turn) == (15, True)
    ideal = sum(1 / log2(place + 1) for place in range(1, 9))
    # the light model ranks its first and its third to eighth higher; the run has the first of these at place 9
    assert bounds.low == pytest.approx((1 / log2(10) + TENTH_OF_TEN - ideal) / ideal)
    for place, doc_id in enumerate(GRADED_RANKING):
        desk.mark(query_id, doc_id, float(doc_id == "dog-feeding"), 5 + place)
    judged = compared(desk, LIGHT, run)
    assert judged.coverage is None
    [bounds] = judged.parts[0].bounds
    assert (bounds.low, bounds.high) == pytest.approx((TENTH_OF_TEN - SECOND_OF_TEN, TENTH_OF_TEN - SECOND_OF_TEN))
    assert (bounds.n_unjudged, bounds.could_turn) == (0, False)


def test_compare_all_lets_drawn_documents_count_for_those_that_were_not(desk: Desk) -> None:
    query_id = desk.ask(GRADED_TEXT)
    run = f"run-{finish_untaught(desk)}"
    desk.mark(query_id, "dog-feeding", 1.0, 3)  # second and tenth
    desk.mark(query_id, "trout-feeding", 1.0, 4)  # third, and not among the first ten
    plain = compared(desk, LIGHT, run)
    assert list(plain.parts[0].of_judged) == []
    draw = PoolDraw((LIGHT,), ("trout-feeding",), ("wren-feeding", "newt-feeding"))
    with desk.workspace.writing() as session:
        storage.label_sets.add_draw(session, desk.label_set_id, query_id, draw)
    overall = compared(desk, LIGHT, run)
    [part] = overall.parts
    ideal = sum(1 / log2(place + 1) for place in range(1, 5))  # the drawn one stands for three
    assert means(part, "nDCG@10") == pytest.approx([(SECOND_OF_TEN + 3 / log2(4)) / ideal, TENTH_OF_TEN / ideal])
    [judged] = part.of_judged
    assert [judged.before, judged.after] == pytest.approx(means(plain.parts[0], "nDCG@10"))
    assert part.differences[0]["RR"] == plain.parts[0].differences[0]["RR"]
    assert part.differences[0]["nDCG@10"].n_worse == 1
    assert overall.queries[0].values == plain.queries[0].values  # a single query says what is judged
    assert list(compared(desk, LIGHT, run, measures=("RR", "nDCG@10")).parts[0].of_judged) == []


def finish_untaught(desk: Desk) -> int:
    """Finish a run that swaps topics and learned from none of the queries asked here."""
    other = desk.query_id("cat-owner")
    desk.mark(other, "cat-feeding", 1.0, 1)
    run = desk.finish_by_hand(swapped_topics())
    desk.mark(other, "cat-feeding", None, 2)  # no longer labelled
    return run.id


def test_compare_all_leaves_out_queries_that_a_stored_side_never_ranked(judged_desk: Desk) -> None:
    second_label_set(judged_desk)
    ranked, unranked = judged_desk.ask(GRADED_TEXT), judged_desk.ask(GRADED_TEXT, "owner")
    judged_desk.mark(ranked, "dog-feeding", 1.0, 1)
    judged_desk.mark(unranked, "dog-feeding", 1.0, 2)
    key = keep(judged_desk, {ranked: ["dog-feeding", "gone-meanwhile", "cat-feeding"]})
    overall = compared(judged_desk, LIGHT, key)
    assert [each.query.id for each in overall.queries] == [ranked]
    assert overall.n_left_out == 1
    [part] = overall.parts
    assert (part.kind, part.n) == ("plain", 1)
    assert means(part, "RR") == pytest.approx([1 / 2, 1])
    assert overall.queries[0].values["nDCG@10"] == pytest.approx((SECOND_OF_TEN, 1))
    view = view_of(judged_desk, LIGHT, key, query_id=ranked)
    stored = compare_query(judged_desk.workspace, "ann", view).sides[1]
    assert [(each.doc_id, each.ranks) for each in stored.results] == [("dog-feeding", (2, 1)), ("cat-feeding", (1, 2))]
    assert (stored.origin, stored.label) == ("stored", "May: as it was")
    view = view_of(judged_desk, LIGHT, key, query_id=unranked)
    missing = compare_query(judged_desk.workspace, "ann", view).sides[1]
    assert (missing.results, missing.measures, missing.origin) == ([], {}, "stored")
    assert [each.key for each in list_rankers(judged_desk.workspace, judged_desk.collection.id, True)][-1] == key


def test_compare_all_counts_judged_queries_that_have_nothing_relevant(judged_desk: Desk) -> None:
    second_label_set(judged_desk)
    with_setup(judged_desk, grade_names=FOUR_GRADES)
    marks = (
        ("cat", "cat-feeding", 2.0),
        ("dog", "dog-feeding", 1.0),
        ("dog", "cat-feeding", 0.0),
        ("seal", "cat-feeding", 0.0),
    )
    for number, (text, doc_id, grade) in enumerate(marks, start=1):
        judged_desk.mark(judged_desk.ask(text), doc_id, grade, number)
    judged_desk.mark(judged_desk.ask("moth"), "cat-feeding", 1.0, 5)
    judged_desk.mark(judged_desk.ask("moth"), "cat-feeding", None, 6)  # taken back, so it is not judged
    found = [compared(judged_desk, LIGHT, ALIGNED, threshold=grade) for grade in (None, 2.0)]
    assert [(len(each.queries), each.n_without_relevant) for each in found] == [(2, 1), (1, 2)]


def test_compare_all_with_nothing_ranked_on_every_side_measures_nothing(judged_desk: Desk) -> None:
    overall = compared(judged_desk, LIGHT, keep(judged_desk, {}))
    assert (overall.parts, overall.queries, overall.overlaps, overall.coverage) == ([], [], [], None)
    assert overall.n_left_out == 12


@pytest.mark.parametrize(("is_flattered", "kind"), [(True, "in_sample"), (False, "plain")])
def test_compare_all_remembers_that_a_stored_side_was_flattered(
    judged_desk: Desk, is_flattered: bool, kind: str
) -> None:
    key = keep(judged_desk, {judged_desk.query_id("cat-owner"): ["cat-feeding"]}, is_flattered=is_flattered)
    [part] = compared(judged_desk, LIGHT, key).parts
    assert (part.kind, part.n) == (kind, 1)


def test_measures_never_look_deeper_than_a_side_was_stored(judged_desk: Desk) -> None:
    query_id = judged_desk.query_id("cat-owner")
    key = keep(judged_desk, {query_id: ["cat-feeding"]}, depth=200)
    at_the_end = compared(judged_desk, LIGHT, key, measures=("R@200",))
    assert [part.n for part in at_the_end.parts] == [1]
    beyond = view_of(judged_desk, LIGHT, key, query_id=query_id, measures=("RR", "R@201"))
    with pytest.raises(InvalidInputError, match="“May” holds the first 200 documents"):
        compare_all(judged_desk.workspace, beyond)
    with pytest.raises(InvalidInputError, match="“May” holds the first 200 documents"):
        compare_query(judged_desk.workspace, "ann", beyond)


def test_numbers_are_remembered_by_a_digest_alone(judged_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compared(judged_desk, LIGHT, BM25)
    names = list(measure._remembered)
    assert all(len(each) == 32 for each in names)
    assert len(names) <= 8

    def measure_again(*_: object) -> None:
        raise AssertionError("measured before")

    with monkeypatch.context() as remembered:
        remembered.setattr(measure, "evaluate", measure_again)
        assert compared(judged_desk, LIGHT, BM25) == first
        for changed in ({"measures": ("RR",)}, {"threshold": 0.5}):
            with pytest.raises(AssertionError, match="measured before"):
                compared(judged_desk, LIGHT, BM25, **changed)
        with pytest.raises(AssertionError, match="measured before"):
            compared(judged_desk, BM25, LIGHT)
        judged_desk.mark(judged_desk.query_id("cat-owner"), "moth-illness", 1.0, 1)
        with pytest.raises(AssertionError, match="measured before"):
            compared(judged_desk, LIGHT, BM25)


def test_a_side_of_a_snapshot_exists_in_its_own_collection_only(judged_desk: Desk) -> None:
    key = keep(judged_desk, {judged_desk.query_id("cat-owner"): ["cat-feeding"]})
    for wrong in (key.replace("abc", "xyz"), f"{key[:-1]}1"):
        with pytest.raises(NotFoundError, match="snapshot does not exist"):
            compare_all(judged_desk.workspace, view_of(judged_desk, LIGHT, wrong))


def changes(desk: Desk, values: list[tuple[float, ...]], parts: str = "") -> OverallComparison:
    """Return a comparison of the first queries with these values of nDCG@10; a part is i(n sample) or l(earned)."""
    queries = [desk.query(desk.query_id(public_id)) for public_id in list(QRELS)[: len(values)]]
    kinds: dict[str, PartKind] = {"i": "in_sample", "l": "learned"}
    found = [
        QueryChange(query, kinds[part], 1, {"nDCG@10": each}, (1.0, 1.0))
        for query, each, part in zip(queries, values, parts or "l" * len(values), strict=True)
    ]
    return OverallComparison([], found, [], "nDCG@10", None)


@pytest.mark.parametrize(
    ("values", "parts", "hidden", "expected"),
    [
        ([(0.5, 0.6), (0.1, 0.9), (0.9, 0.7), (0.9, 0.2)], "", [], (1, 3, 1)),
        ([(0.5, 0.9, 0.4), (0.1, 0.0, 0.3), (0.2, 0.2, 0.2)], "", [], (1, 0, 1)),  # the last side against the first
        ([(0.5, 0.6), (0.1, 0.9), (0.9, 0.7)], "", [1], (0, 2, 0)),
        ([(0.5, 0.5), (0.9, 0.7), (0.9, 0.8)], "", [], (None, 1, 2)),
        ([(0.5, 0.5), (0.9, 0.9 + 1e-12)], "", [], (None, None, 1)),
        ([(0.1, 0.9), (0.3, 0.5), (0.8, 0.1)], "ili", [], (1, None, 1)),  # what has seen its marks is flattered
        ([(0.1, 0.9), (0.8, 0.1)], "ii", [], (0, 1, 0)),
        ([(0.1, 0.9)], "", [0], (None, None, None)),
    ],
)
def test_extremes_are_the_largest_gain_and_loss_that_may_be_seen(
    judged_desk: Desk,
    values: list[tuple[float, ...]],
    parts: str,
    hidden: list[int],
    expected: tuple[int | None, int | None, int | None],
) -> None:
    overall = changes(judged_desk, values, parts)
    ids = [change.query.id for change in overall.queries]
    found = extremes(overall, {ids[place] for place in hidden})
    told = (found.improved, found.worsened, found.telling)
    assert tuple(None if each is None else ids.index(each.query.id) for each in told) == expected


def test_compare_all_uses_the_label_set_of_the_view(judged_desk: Desk) -> None:
    first = judged_desk.label_set_id
    second_label_set(judged_desk)
    assert compare_all(judged_desk.workspace, view_of(judged_desk, LIGHT, ALIGNED)) is None
    earlier = ComparisonView(judged_desk.collection.id, first, (LIGHT, ALIGNED), None)
    overall = compare_all(judged_desk.workspace, earlier)
    assert overall is not None
    assert len(overall.queries) == 12


def test_compare_all_is_none_when_nothing_is_relevant(desk: Desk) -> None:
    view = view_of(desk, LIGHT, ALIGNED)
    assert compare_all(desk.workspace, view) is None
    desk.mark(desk.query_id("cat-vet"), "cat-feeding", 0.0, 1)
    assert compare_all(desk.workspace, view) is None
    assert open_page(desk.workspace, desk.collection.id, desk.label_set_id).remark == ""


@pytest.mark.parametrize("key", ["bm26", "run-9", "snap-nothing-0"])
def test_compare_all_says_so_when_a_ranking_does_not_exist(judged_desk: Desk, key: str) -> None:
    with pytest.raises(NotFoundError):
        compare_all(judged_desk.workspace, view_of(judged_desk, LIGHT, key))
