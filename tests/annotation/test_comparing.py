"""One query side by side: where documents went, which version ranked it, and what is measured."""

from math import cos, log2, pi
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from annotation.comparing.rank import QueryComparison, Side, compare_query
from annotation.comparing.view import ComparisonView
from annotation.errors import NotFoundError, NotReadyError
from annotation.judging.marks import start_label_set
from annotation.ranking.rankers import ALIGNED, BM25, LIGHT, STRONG, RankingKey
from era.adapter import QueryAdapter
from era.progress import no_progress
from era.types import Document, Query
from tests.worlds.desk import Desk, new_desk, small_world, swapped_topics
from tests.worlds.judging import offer
from tests.worlds.words import ANIMALS, DOCUMENTS, GRADED_RANKING, GRADED_TEXT, QRELS, TOPICS, light_embedder

DIMENSION = len(ANIMALS) + len(TOPICS) + 1
SWAPPED_RANKING = [*GRADED_RANKING[8:], *GRADED_RANKING[:8]]  # illness first


def compare(desk: Desk, *sides: str, query_id: int | None, is_in_sample: bool = False) -> QueryComparison:
    view = ComparisonView(
        desk.collection.id, desk.label_set_id, tuple(map(RankingKey, sides)), query_id, is_in_sample=is_in_sample
    )
    return compare_query(desk.workspace, "ann", view)


def doc_ids(side: Side) -> list[str]:
    return [each.doc_id for each in side.results]


def read_all(desk: Desk) -> None:
    """Let the strong model read every document."""
    desk.workspace.open(desk.collection.id).strong_reading.read(no_progress)


def test_compare_query_says_where_each_document_stands_on_every_side(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    query_id = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(query_id, "dog-feeding", 1.0, 1)
    judged_desk.mark(query_id, "dog-illness", 0.0, 2)
    seen = compare(judged_desk, LIGHT, f"run-{run.id}", query_id=query_id)
    before, after = seen.sides
    assert [before.label, after.label] == ["light model alone", "after your marks (run 1), vectors alone"]
    assert doc_ids(before) == GRADED_RANKING[:10]
    assert doc_ids(after) == SWAPPED_RANKING[:10]
    assert [each.rank for each in after.results] == list(range(1, 11))
    assert [each.ranks for each in before.results] == list(
        zip(range(1, 11), [9, 10, 11, 12, 13, 14, 15, 16, 1, 2], strict=True)
    )
    assert [each.ranks for each in after.results] == list(
        zip([9, 10, 11, 12, 13, 14, 15, 16, 1, 2], range(1, 11), strict=True)
    )
    assert seen.n_shared == 4  # both documents of cat and dog
    assert {each.doc_id: each.grade for each in before.results if each.grade is not None} == {
        "dog-feeding": 1.0,
        "dog-illness": 0.0,
    }
    assert (before.origin, after.origin) == ("plain", "plain")
    assert before.measures == {  # dog-feeding is second, dog-illness tenth
        "nDCG@10": pytest.approx(1 / log2(3)),
        "R@100": pytest.approx(1),
        "RR": pytest.approx(1 / 2),
        "P@10": pytest.approx(1 / 10),
        "Judged@10": pytest.approx(2 / 10),
    }
    assert after.measures["RR"] == pytest.approx(1 / 10)


def test_compare_query_lays_three_sides_beside_each_other(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    seen = compare(judged_desk, LIGHT, f"run-{run.id}", BM25, query_id=judged_desk.ask("cat illness"))
    light, swapped, words = seen.sides
    assert (doc_ids(light)[0], doc_ids(swapped)[0]) == ("cat-illness", "cat-feeding")
    assert doc_ids(words)[:2] == ["cat-illness", "cat-feeding"]
    assert set(doc_ids(words)[2:]) == {f"{animal}-illness" for animal in ANIMALS[1:]}  # nothing else shares a word
    assert words.results[0].ranks[0] == 1
    assert words.results[0].ranks[2] == 1
    assert seen.n_shared == len(set(doc_ids(light)) & set(doc_ids(swapped)) & set(doc_ids(words)))
    # BM25 with k1 1.5 over documents of two words: idf * 1 / (1 + 1.5), with idf = ln(1 + (16 - n + .5) / (n + .5))
    cat, illness = np.log(1 + 14.5 / 2.5), np.log(1 + 8.5 / 8.5)
    assert [each.score for each in words.results[:3]] == pytest.approx(
        [0.4 * (cat + illness), 0.4 * cat, 0.4 * illness], rel=1e-5
    )


def test_compare_query_ranks_by_the_strong_model_alone_once_it_has_read_everything(judged_desk: Desk) -> None:
    query_id = judged_desk.ask("cat", "owner")
    for key in (STRONG, f"{STRONG}+words"):
        with pytest.raises(NotReadyError, match="has not read every document"):
            compare(judged_desk, LIGHT, key, query_id=query_id)
    read_all(judged_desk)
    assert judged_desk.strong.texts_read[-len(DOCUMENTS) :] == [document.content for document in DOCUMENTS]
    _, strong, with_words = compare(judged_desk, LIGHT, STRONG, f"{STRONG}+words", query_id=query_id).sides
    assert set(doc_ids(strong)[:2]) == set(doc_ids(with_words)[:2]) == {"cat-feeding", "cat-illness"}
    # "cat" and "owner cat" are 45 degrees apart, their mean 22.5 from "cat"; the document has two words
    assert [each.score for each in strong.results[:3]] == pytest.approx([cos(pi / 8) / 2**0.5] * 2 + [0], abs=1e-6)
    assert with_words.results[0].score > strong.results[0].score
    assert strong.label == "strong model alone"


def test_compare_query_has_no_measures_when_nothing_is_relevant(judged_desk: Desk) -> None:
    query_id = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(query_id, "dog-illness", 0.0, 1)
    seen = compare(judged_desk, LIGHT, f"{LIGHT}+words", query_id=query_id)
    assert [side.measures for side in seen.sides] == [{}, {}]


def test_compare_query_measures_what_judges_agree_about(judged_desk: Desk) -> None:
    start_label_set(judged_desk.workspace, "ann", judged_desk.collection.id, "second")
    query_id = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(query_id, "cat-feeding", 1.0, 1)
    judged_desk.mark(query_id, "cat-feeding", 0.0, 1, "page-of-bob", "bob")  # one against one: as if unjudged
    judged_desk.mark(query_id, "dog-feeding", 1.0, 2)
    judged_desk.mark(query_id, "dog-feeding", 1.0, 2, "page-of-bob", "bob")
    offer(judged_desk, query_id, "cat-feeding")  # so that ann is done
    side = compare(judged_desk, LIGHT, ALIGNED, query_id=query_id).sides[0]
    assert {each.doc_id: each.grade for each in side.results if each.grade is not None} == {"dog-feeding": 1.0}
    assert side.measures["Judged@10"] == pytest.approx(1 / 10)
    assert side.measures["RR"] == pytest.approx(1 / 2)


def test_compare_query_leaves_out_ranks_beyond_the_first_hundred(tmp_path: Path) -> None:
    documents = [
        Document(f"d{number:03}", "", "cat " * (120 - number) + "dog " * (number + 1)) for number in range(120)
    ]  # from all cat to all dog
    desk = new_desk(tmp_path / "line", small_world(documents=documents))
    query_id = desk.ask("cat")
    desk.mark(query_id, "d000", 1.0, 1)
    weight = np.eye(DIMENSION, dtype=np.float32)
    weight[[0, 1]] = weight[[1, 0]]  # reads cat as dog
    run = desk.finish_by_hand(QueryAdapter(("light",), weight, np.zeros(DIMENSION, np.float32)))
    view = ComparisonView(
        desk.collection.id, desk.label_set_id, (LIGHT, RankingKey(f"run-{run.id}")), query_id, ("R@110", "P@10")
    )
    seen = compare_query(desk.workspace, "ann", view)
    desk.workspace.close()
    before, after = seen.sides
    assert doc_ids(before) == [f"d{number:03}" for number in range(10)]
    assert doc_ids(after) == [f"d{119 - number:03}" for number in range(10)]
    assert [each.ranks for each in before.results] == [(rank, None) for rank in range(1, 11)]
    assert [each.ranks for each in after.results] == [(None, rank) for rank in range(1, 11)]
    assert seen.n_shared == 0
    assert after.measures == {"R@110": 0.0, "P@10": 0.0}


def test_compare_query_ranks_as_deep_as_its_measures_look(tmp_path: Path) -> None:
    documents = [Document(f"d{n:03}", "", "cat " * (120 - n) + "dog " * (n + 1)) for n in range(120)]
    desk = new_desk(tmp_path / "line", small_world(documents=documents))
    query_id = desk.ask("cat")
    desk.mark(query_id, "d104", 1.0, 1)  # at place 105
    ids = desk.collection.id, desk.label_set_id
    sides = LIGHT, ALIGNED
    shallow, deep = (
        compare_query(
            desk.workspace, "ann", ComparisonView(*ids, tuple(map(RankingKey, sides)), query_id, measures)
        ).sides[0]
        for measures in (("RR", "R@100"), ("RR", "R@110"))
    )
    desk.workspace.close()
    assert shallow.measures == {"RR": 0.0, "R@100": 0.0}
    assert deep.measures == {"RR": pytest.approx(1 / 105), "R@110": 1.0}


def test_compare_query_ranks_a_query_of_the_run_by_its_held_out_vector(judged_desk: Desk) -> None:
    taught, untaught = judged_desk.ask(GRADED_TEXT), judged_desk.ask(f"{GRADED_TEXT}, please")
    illness_of_cats = light_embedder().encode_documents(["cat illness illness"])[0]
    run = judged_desk.finish_by_hand(swapped_topics(), {taught: illness_of_cats})
    before, after = compare(judged_desk, LIGHT, f"run-{run.id}", query_id=taught).sides
    assert doc_ids(before) == GRADED_RANKING[:10]
    assert doc_ids(after)[0] == "cat-illness"
    # 1 + 2 of the length 5 ** 0.5, and the document's two words of 2 ** 0.5
    assert after.results[0].score == pytest.approx(3 / (5 * 2) ** 0.5)
    assert after.results[1].score == pytest.approx(2 / (5 * 2) ** 0.5)  # the illness of any other
    assert (before.origin, after.origin) == ("plain", "held_out")
    other = compare(judged_desk, f"run-{run.id}", LIGHT, query_id=untaught)
    assert doc_ids(other.sides[0]) == SWAPPED_RANKING[:10]
    assert [side.origin for side in other.sides] == ["plain", "plain"]


def test_compare_query_uses_the_deployed_adapter_only_when_asked_to(judged_desk: Desk) -> None:
    taught = judged_desk.ask(GRADED_TEXT)
    run = judged_desk.finish_by_hand(swapped_topics(), {taught: light_embedder().encode_documents(["moth"])[0]})
    honest = compare(judged_desk, LIGHT, f"run-{run.id}", query_id=taught).sides[1]
    flattered = compare(judged_desk, LIGHT, f"run-{run.id}", query_id=taught, is_in_sample=True).sides[1]
    assert set(doc_ids(honest)[:2]) == {"moth-feeding", "moth-illness"}
    assert doc_ids(flattered) == SWAPPED_RANKING[:10]
    assert (honest.origin, flattered.origin) == ("held_out", "in_sample")


def test_compare_query_of_a_trained_run_uses_another_vector_than_the_deployed_one(trained_desk: Desk) -> None:
    folder = trained_desk.workspace.adapter_folder(1)
    adapter, extra = QueryAdapter.load(folder)
    query_id = trained_desk.query_id("cat-owner")
    row = adapter.provenance["query_ids"].index(str(query_id))
    held_out = load_file(folder / "adapter.safetensors")["extra.held_out"][row]
    np.testing.assert_array_equal(held_out, extra["held_out"][row])
    opened = trained_desk.workspace.open(trained_desk.collection.id)
    retriever, _ = opened.trained(folder)
    before, after = compare(trained_desk, ALIGNED, "run-1", query_id=query_id).sides
    documents = light_embedder().encode_documents([document.content for document in DOCUMENTS])
    scores = dict(zip([document.doc_id for document in DOCUMENTS], documents @ held_out, strict=True))
    shown = {each.doc_id: each.score for each in after.results}
    np.testing.assert_allclose(list(shown.values()), [scores[doc_id] for doc_id in shown], atol=1e-6)
    np.testing.assert_allclose(list(shown.values()), sorted(scores.values(), reverse=True)[:10], atol=1e-6)
    assert (before.origin, after.origin) == ("plain", "held_out")
    [deployed] = retriever.query_vectors([Query("", "cat", "owner")])
    assert float(np.abs(deployed - held_out).max()) > 1e-3


def test_compare_query_expects_something_of_a_run_only_for_queries_it_did_not_learn_from(tmp_path: Path) -> None:
    desk = new_desk(tmp_path, small_world(qrels=QRELS))
    desk.train()
    taught, new = desk.query_id("cat-owner"), desk.ask("seal moth")
    assert compare(desk, LIGHT, "run-1+words", query_id=taught).expected is None
    assert compare(desk, LIGHT, "run-1+words", query_id=taught, is_in_sample=True).expected is None
    assert compare(desk, LIGHT, ALIGNED, query_id=new).expected is None
    assert compare(desk, LIGHT, "run-1", query_id=new).expected is None  # which was measured with words
    expected = compare(desk, LIGHT, "run-1+words", query_id=new).expected
    desk.workspace.close()
    assert expected is not None
    assert expected.n == 12
    assert expected.low is not None
    assert expected.high is not None
    assert -1 <= expected.low <= expected.high <= 1


@pytest.mark.parametrize("key", ["bm26", "bm25+words", "run-9", "run-x", "snap-nothing-0", "snap-a-b", ""])
def test_compare_query_says_so_when_a_ranking_does_not_exist(judged_desk: Desk, key: str) -> None:
    query_id = judged_desk.query_id("cat-vet")
    for sides in ((key, LIGHT), (LIGHT, ALIGNED, key)):
        with pytest.raises(NotFoundError):
            compare(judged_desk, *sides, query_id=query_id)


def test_compare_query_says_so_when_the_query_does_not_exist(judged_desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="query does not exist"):
        compare(judged_desk, LIGHT, ALIGNED, query_id=999)
    with pytest.raises(NotFoundError, match="Choose a query"):
        compare(judged_desk, LIGHT, ALIGNED, query_id=None)
