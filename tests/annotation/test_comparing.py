"""Two rankings side by side: where documents went, which version ranked a labelled query, and what changed overall."""

from math import log2
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from annotation.comparing import QueryComparison, Side, compare_all, compare_query
from annotation.errors import NotFoundError
from annotation.judging import start_label_set
from annotation.opening import open_page
from annotation.rankers import ALIGNED, LIGHT
from era.adapter import QueryAdapter
from era.types import Document, Query
from tests.annotation.conftest import (
    DOCUMENTS,
    GRADED_RANKING,
    GRADED_TEXT,
    QRELS,
    Desk,
    new_desk,
    small_world,
    swapped_topics,
)
from tests.fakes import ANIMALS, TOPICS, light_embedder

DIMENSION = len(ANIMALS) + len(TOPICS) + 1
SWAPPED_RANKING = [*GRADED_RANKING[8:], *GRADED_RANKING[:8]]  # illness first


def compare(desk: Desk, before: str, after: str, query_id: int) -> QueryComparison:
    return compare_query(desk.workspace, "ann", desk.collection.id, desk.label_set_id, before, after, query_id)


def doc_ids(side: Side) -> list[str]:
    return [each.result.doc_id for each in side.results]


def ndcg_at_10(ranking: list[str], grades: dict[str, float]) -> float:
    """Return nDCG@10 with linear gains (Järvelin and Kekäläinen 2002), as trec_eval counts it."""
    gained = sum(grades.get(doc_id, 0.0) / log2(place + 2) for place, doc_id in enumerate(ranking[:10]))
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:10]
    return gained / sum(grade / log2(place + 2) for place, grade in enumerate(best))


def test_compare_query_says_where_each_document_stands_on_the_other_side(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    query_id = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(query_id, "dog-feeding", 1.0, 1)
    judged_desk.mark(query_id, "dog-illness", 0.0, 2)
    seen = compare(judged_desk, LIGHT, f"run-{run.id}", query_id)
    assert doc_ids(seen.before) == GRADED_RANKING[:10]
    assert doc_ids(seen.after) == SWAPPED_RANKING[:10]
    assert [each.result.rank for each in seen.after.results] == list(range(1, 11))
    assert [each.other_rank for each in seen.before.results] == [9, 10, 11, 12, 13, 14, 15, 16, 1, 2]
    assert [each.other_rank for each in seen.after.results] == [9, 10, 11, 12, 13, 14, 15, 16, 1, 2]
    assert seen.n_shared == 4  # both documents of cat and dog
    assert {each.result.doc_id: each.grade for each in seen.before.results if each.grade is not None} == {
        "dog-feeding": 1.0,
        "dog-illness": 0.0,
    }
    assert (seen.before.is_held_out, seen.after.is_held_out) == (False, False)
    assert seen.before.measures == {  # dog-feeding is second, dog-illness tenth
        "nDCG@10": pytest.approx(1 / log2(3)),
        "R@10": pytest.approx(1),
        "RR": pytest.approx(1 / 2),
        "Judged@10": pytest.approx(2 / 10),
    }
    assert seen.after.measures["RR"] == pytest.approx(1 / 10)


def test_compare_query_has_no_measures_when_nothing_is_relevant(judged_desk: Desk) -> None:
    query_id = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(query_id, "dog-illness", 0.0, 1)
    seen = compare(judged_desk, LIGHT, LIGHT, query_id)
    assert (seen.before.measures, seen.n_shared) == ({}, 10)
    assert [each.other_rank for each in seen.after.results] == list(range(1, 11))


def test_compare_measures_what_judges_agree_about(judged_desk: Desk) -> None:
    second = start_label_set(judged_desk.workspace, "ann", judged_desk.collection.id, "second")
    query_id = judged_desk.ask(GRADED_TEXT)
    judged_desk.mark(query_id, "cat-feeding", 1.0, 1)
    judged_desk.mark(query_id, "cat-feeding", 0.0, 1, "page-of-bob", "bob")  # one against one: as if unjudged
    judged_desk.mark(query_id, "dog-feeding", 1.0, 2)
    judged_desk.mark(query_id, "dog-feeding", 1.0, 2, "page-of-bob", "bob")
    seen = compare(judged_desk, LIGHT, LIGHT, query_id)
    graded = {each.result.doc_id: each.grade for each in seen.before.results if each.grade is not None}
    assert graded == {"dog-feeding": 1.0}
    assert seen.before.measures["Judged@10"] == pytest.approx(1 / 10)
    assert seen.before.measures["RR"] == pytest.approx(1 / 2)
    overall = compare_all(judged_desk.workspace, judged_desk.collection.id, second, LIGHT, LIGHT)
    assert overall is not None
    [change] = overall.changes
    assert change.query.id == query_id
    assert change.before == pytest.approx(1 / log2(3))


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
    seen = compare(desk, LIGHT, f"run-{run.id}", query_id)
    desk.workspace.close()
    assert doc_ids(seen.before) == [f"d{number:03}" for number in range(10)]
    assert doc_ids(seen.after) == [f"d{119 - number:03}" for number in range(10)]
    assert [each.other_rank for each in seen.before.results] == [None] * 10
    assert [each.other_rank for each in seen.after.results] == [None] * 10
    assert seen.n_shared == 0
    assert seen.after.measures["nDCG@10"] == 0.0


def test_compare_query_ranks_a_query_of_the_run_by_its_held_out_vector(judged_desk: Desk) -> None:
    taught, untaught = judged_desk.ask(GRADED_TEXT), judged_desk.ask(GRADED_TEXT, "another instruction")
    illness_of_cats = light_embedder().encode_documents(["cat illness illness"])[0]
    run = judged_desk.finish_by_hand(swapped_topics(), {taught: illness_of_cats})
    seen = compare(judged_desk, LIGHT, f"run-{run.id}", taught)
    assert doc_ids(seen.before) == GRADED_RANKING[:10]
    assert doc_ids(seen.after)[0] == "cat-illness"
    # 1 + 2 of the length 5 ** 0.5, and the document's two words of 2 ** 0.5
    assert seen.after.results[0].result.score == pytest.approx(3 / (5 * 2) ** 0.5)
    assert seen.after.results[1].result.score == pytest.approx(2 / (5 * 2) ** 0.5)  # the illness of any other
    assert (seen.before.is_held_out, seen.after.is_held_out) == (False, True)
    other = compare(judged_desk, f"run-{run.id}", LIGHT, untaught)
    assert doc_ids(other.before) == SWAPPED_RANKING[:10]
    assert (other.before.is_held_out, other.after.is_held_out) == (False, False)


def test_compare_query_of_a_trained_run_uses_another_vector_than_the_deployed_one(trained_desk: Desk) -> None:
    folder = trained_desk.workspace.adapter_folder(1)
    adapter, extra = QueryAdapter.load(folder)
    query_id = trained_desk.query_id("cat-owner")
    row = adapter.provenance["query_ids"].index(str(query_id))
    held_out = load_file(folder / "adapter.safetensors")["extra.held_out"][row]
    np.testing.assert_array_equal(held_out, extra["held_out"][row])
    library = trained_desk.workspace.library(trained_desk.collection.id)
    retriever, _ = library.trained(folder)
    seen = compare(trained_desk, ALIGNED, "run-1", query_id)
    documents = light_embedder().encode_documents([document.content for document in DOCUMENTS])
    scores = dict(zip([document.doc_id for document in DOCUMENTS], documents @ held_out, strict=True))
    shown = {each.result.doc_id: each.result.score for each in seen.after.results}
    np.testing.assert_allclose(list(shown.values()), [scores[doc_id] for doc_id in shown], atol=1e-6)
    np.testing.assert_allclose(list(shown.values()), sorted(scores.values(), reverse=True)[:10], atol=1e-6)
    assert (seen.before.is_held_out, seen.after.is_held_out) == (False, True)
    [deployed] = retriever.query_vectors([Query("", "cat", "owner")])
    assert float(np.abs(deployed - held_out).max()) > 1e-3


def test_compare_query_expects_something_of_a_run_only_for_queries_it_did_not_learn_from(tmp_path: Path) -> None:
    desk = new_desk(tmp_path, small_world(qrels=QRELS))
    desk.train()
    taught, new = desk.query_id("cat-owner"), desk.ask("cat dog")
    assert compare(desk, LIGHT, "run-1", taught).expected is None
    assert compare(desk, LIGHT, ALIGNED, new).expected is None
    expected = compare(desk, LIGHT, "run-1", new).expected
    desk.workspace.close()
    assert expected is not None
    assert expected.n == 12
    assert expected.low <= expected.change <= expected.high
    assert 0 <= expected.probability <= 1


def test_compare_query_says_so_when_something_does_not_exist(judged_desk: Desk) -> None:
    query_id = judged_desk.query_id("cat-vet")
    with pytest.raises(NotFoundError, match="query does not exist"):
        compare(judged_desk, LIGHT, ALIGNED, 999)
    for before, after in (("bm25", LIGHT), (LIGHT, "run-9")):
        with pytest.raises(NotFoundError):
            compare(judged_desk, before, after, query_id)
        with pytest.raises(NotFoundError):
            compare_all(judged_desk.workspace, judged_desk.collection.id, judged_desk.label_set_id, before, after)


@pytest.mark.parametrize(("before", "after"), [(LIGHT, "run-1"), ("run-1", ALIGNED), (LIGHT, LIGHT)])
def test_compare_all_equals_ndcg_computed_from_the_shown_rankings(trained_desk: Desk, before: str, after: str) -> None:
    overall = compare_all(trained_desk.workspace, trained_desk.collection.id, trained_desk.label_set_id, before, after)
    assert overall is not None
    old, new = [], []
    for public_id, grades in QRELS.items():
        seen = compare(trained_desk, before, after, trained_desk.query_id(public_id))
        old.append(ndcg_at_10(doc_ids(seen.before), grades))
        new.append(ndcg_at_10(doc_ids(seen.after), grades))
        [change] = [each for each in overall.changes if each.query.public_id == public_id]
        assert [change.before, change.after] == pytest.approx([old[-1], new[-1]])
    main = overall.differences["nDCG@10"]
    assert [main.before, main.after] == pytest.approx([np.mean(old), np.mean(new)])
    changes = np.array(new) - np.array(old)
    assert (main.n_better, main.n_worse) == (int((changes > 1e-9).sum()), int((changes < -1e-9).sum()))
    assert main.n == 12
    assert overall.differences.keys() == {"nDCG@10", "R@10", "RR", "Judged@10"}
    gains = [change.after - change.before for change in overall.changes]
    assert gains == sorted(gains, reverse=True)


def test_compare_all_uses_held_out_vectors_and_the_grades_of_the_label_set(judged_desk: Desk) -> None:
    second = start_label_set(judged_desk.workspace, "ann", judged_desk.collection.id, "second")
    taught, untaught, unlabelled = (judged_desk.ask(GRADED_TEXT, reader) for reader in ("", "owner", "vet"))
    judged_desk.mark(taught, "dog-feeding", 1.0, 1)
    judged_desk.mark(untaught, "dog-feeding", 1.0, 2)
    judged_desk.mark(unlabelled, "dog-feeding", 0.0, 3)
    only_dogs = light_embedder().encode_documents(["dog dog feeding"])[0]
    run = judged_desk.finish_by_hand(swapped_topics(), {taught: only_dogs})
    overall = compare_all(judged_desk.workspace, judged_desk.collection.id, second, LIGHT, f"run-{run.id}")
    assert overall is not None
    assert [each.query.id for each in overall.changes] == [taught, untaught]  # the largest gain first
    assert [each.before for each in overall.changes] == pytest.approx([1 / log2(3)] * 2)  # from the second place
    assert [each.after for each in overall.changes] == pytest.approx([1, 1 / log2(11)])  # to the first and the tenth
    reciprocal_rank = overall.differences["RR"]
    assert [reciprocal_rank.before, reciprocal_rank.after] == pytest.approx([1 / 2, (1 + 1 / 10) / 2])


def test_compare_all_is_none_when_nothing_is_relevant(desk: Desk) -> None:
    ids = desk.collection.id, desk.label_set_id
    assert compare_all(desk.workspace, *ids, LIGHT, ALIGNED) is None
    desk.mark(desk.query_id("cat-vet"), "cat-feeding", 0.0, 1)
    assert compare_all(desk.workspace, *ids, LIGHT, ALIGNED) is None
    assert open_page(desk.workspace, *ids).remark == ""
