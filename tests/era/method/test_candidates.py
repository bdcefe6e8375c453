import numpy as np
import pytest

from era.adapter import light_only
from era.encoders.base import EncodedQueries
from era.errors import NothingToLearnError
from era.index.dense import DenseIndex
from era.method.candidates import (
    LabelledQueries,
    MiningConfig,
    label,
    mine_topk_percpos,
    shortlist,
    teachable_queries,
    unjudged_candidates,
)
from era.types import Query
from tests.worlds.vectors import CountingIndex, VectorWorld, index_of, labelled_queries, random_unit_rows

SEEDS = range(60)


def index_with_scores(*scores: float) -> DenseIndex:
    """Return an index whose documents d000, d001, ... have these cosines with (1, 0)."""
    return index_of(np.array([[score, (1 - score**2) ** 0.5] for score in scores], np.float32))


def one_query(index: DenseIndex, judgments: dict[str, float]) -> LabelledQueries:
    """Return a query whose light vector is (1, 0)."""
    vector = np.array([[1, 0]], np.float32)
    return labelled_queries(EncodedQueries(vector, vector, vector), {"q0": judgments}, index)


def test_teachable_queries_have_a_relevant_document_in_the_index(index: DenseIndex) -> None:
    qrels = {
        "good": {"cat-feeding": 1.0, "gone": 1.0},
        "removed": {"gone": 1.0, "cat-feeding": 0.0},
        "negative": {"cat-feeding": 0.0, "cat-illness": 0.0},
        "empty": {},
        "also good": {"dog-illness": 0.5},
    }
    queries = [Query(query_id, "cat") for query_id in ("negative", "removed", "good", "unknown", "empty", "also good")]
    assert [query.query_id for query in teachable_queries(queries, qrels, index)] == ["also good", "good"]


@pytest.mark.parametrize("qrels", [{}, {"1": {}}, {"1": {"cat-feeding": 0.0}}, {"1": {"gone": 2.0}}])
def test_teachable_queries_say_what_to_do_when_there_is_none(
    index: DenseIndex, qrels: dict[str, dict[str, float]]
) -> None:
    with pytest.raises(NothingToLearnError, match="Mark at least one document as relevant"):
        teachable_queries([Query("1", "cat")], qrels, index)


def test_label_splits_judgments_by_grade_and_drops_documents_that_are_gone(vector_world: VectorWorld) -> None:
    judgments = {"d003": 0.0, "gone": 3.0, "d002": 0.5, "d001": 2.0, "also gone": 0.0}
    query = Query("q0", "text")
    encoded = EncodedQueries(random_unit_rows(1, 8, 0), random_unit_rows(1, 8, 1), random_unit_rows(1, 5, 2))
    labelled = label([query], encoded, {"q0": judgments, "q1": {"d009": 1.0}}, vector_world.index)
    assert labelled.queries == [query]
    assert labelled.relevant == [{"d001": 2.0, "d002": 0.5}]
    assert labelled.not_relevant == [["d003"]]


def test_subset_keeps_vectors_and_judgments_together(vector_world: VectorWorld) -> None:
    labelled = vector_world.labelled({"d000": 1.0}, {"d001": 1.0, "d005": 0.0}, {"d002": 2.0})
    part = labelled.subset([2, 1])
    assert len(part) == 2
    assert [query.query_id for query in part.queries] == ["q2", "q1"]
    assert part.relevant == [{"d002": 2.0}, {"d001": 1.0}]
    assert part.not_relevant == [[], ["d005"]]
    for found, all_rows in (
        (part.encoded.instructed, vector_world.encoded.instructed),
        (part.encoded.plain, vector_world.encoded.plain),
        (part.encoded.light, vector_world.encoded.light),
    ):
        np.testing.assert_array_equal(found, all_rows[[2, 1]])


def mine(
    labelled: LabelledQueries, index: DenseIndex, config: MiningConfig, seed: int = 0, dimension: int = 2
) -> list[list[str]]:
    """Return the candidates that the light embedder finds."""
    shortlists = shortlist(labelled, light_only(dimension), index, config.n_top, {})
    return unjudged_candidates(labelled, shortlists, index, config, seed)


def test_shortlist_is_the_top_of_the_ranking_with_room_for_the_judged_documents() -> None:
    index = index_with_scores(0.1, 0.9, 0.5, 0.7, 0.3, 0.8)
    labelled = one_query(index, {"d001": 1.0, "d003": 0.0})
    found = shortlist(labelled, light_only(2), index, 2, {})
    assert found == {labelled.queries[0]: ["d001", "d005", "d003", "d002"]}


def test_shortlist_does_not_depend_on_the_judgments_but_for_its_length(vector_world: VectorWorld) -> None:
    few, many = (
        vector_world.labelled(*({f"d{row:03}": 1.0 for row in range(i, i + n)} for i in range(3))) for n in (1, 9)
    )
    short, long = (shortlist(labelled, light_only(5), vector_world.index, 6, {}) for labelled in (few, many))
    for query in few.queries:
        assert len(short[query]) == 7
        assert len(long[query]) == 15
        assert long[query][:7] == short[query]


def test_shortlist_searches_only_for_queries_that_are_not_known(vector_world: VectorWorld) -> None:
    index = CountingIndex(
        [f"d{row:03}" for row in range(40)], random_unit_rows(40, 5, seed=1), vector_world.index.embedder
    )
    three = vector_world.labelled({"d000": 1.0}, {"d001": 1.0}, {"d002": 1.0})
    known = {three.queries[0]: ["as it was"], Query("gone", "another"): ["unused"]}
    found = shortlist(three, light_only(5), index, 4, known)
    assert index.n_searched == 2
    assert found[three.queries[0]] == ["as it was"]
    assert list(found.keys()) == [three.queries[0], *three.queries[1:]]
    again = shortlist(three, light_only(5), index, 4, found)
    assert index.n_searched == 2
    assert again == found


@pytest.mark.parametrize("changed", [Query("q0", "another text"), Query("q0", "text 0", "an instruction")])
def test_shortlist_searches_again_for_a_query_that_was_edited(vector_world: VectorWorld, changed: Query) -> None:
    before = vector_world.labelled({"d000": 1.0})
    after = LabelledQueries([changed], before.encoded, before.relevant, before.not_relevant)
    known = {before.queries[0]: ["as it was"]}
    assert shortlist(after, light_only(5), vector_world.index, 4, known)[changed] != ["as it was"]


def test_unjudged_candidates_are_ranked_by_score() -> None:
    index = index_with_scores(0.1, 0.9, 0.5, 0.7, 0.3, 0.8)
    labelled = one_query(index, {"d001": 1.0, "d003": 0.0})
    assert mine(labelled, index, MiningConfig(n_top=3, n_random=0)) == [["d005", "d002", "d004"]]


def test_unjudged_candidates_never_hold_a_judged_document_and_no_document_twice(vector_world: VectorWorld) -> None:
    judgments: list[dict[str, float]] = [
        {f"d{row:03}": float(row % 3) for row in range(4 * i, 4 * i + 7)} for i in range(8)
    ]
    labelled = vector_world.labelled(*judgments)
    found = mine(labelled, vector_world.index, MiningConfig(n_top=10, n_random=20), dimension=5)
    for judged, candidates in zip(judgments, found, strict=True):
        assert not set(candidates) & judged.keys()
        assert len(candidates) == len(set(candidates)) >= 10


def test_unjudged_candidates_are_all_there_are_when_there_are_few(vector_world: VectorWorld) -> None:
    labelled = vector_world.labelled({"d007": 1.0, "d008": 0.0})
    (found,) = mine(labelled, vector_world.index, MiningConfig(), dimension=5)
    assert sorted(found) == [f"d{row:03}" for row in range(40) if row not in (7, 8)]


def test_unjudged_candidates_are_as_many_as_wanted_even_when_the_top_of_the_ranking_is_judged() -> None:
    index = index_with_scores(*(1 - place / 20 for place in range(20)))
    labelled = one_query(index, {f"d{row:03}": float(row == 0) for row in range(9)})
    assert mine(labelled, index, MiningConfig(n_top=4, n_random=0)) == [["d009", "d010", "d011", "d012"]]


def test_unjudged_candidates_include_the_same_random_documents_for_every_query(vector_world: VectorWorld) -> None:
    labelled = vector_world.labelled({"d000": 1.0}, {"d001": 1.0})
    config = MiningConfig(n_top=0, n_random=12)
    first, second = mine(labelled, vector_world.index, config, seed=4, dimension=5)
    assert set(first) - {"d001"} == set(second) - {"d000"}
    assert set(first) | set(second) <= set(vector_world.index.sample(12, 4))
    assert first != mine(labelled, vector_world.index, config, seed=5, dimension=5)[0]


def test_unjudged_candidates_are_none_when_everything_is_judged() -> None:
    index = index_with_scores(0.5, 0.9)
    assert mine(one_query(index, {"d000": 1.0, "d001": 0.0}), index, MiningConfig()) == [[]]


# d000 relevant at 0.8, ceiling 0.76; d001-d002 above it, d003-d014 below it in order
CANDIDATES = index_with_scores(0.8, 0.99, 0.765, *(0.755 - 0.05 * place for place in range(12)))


def test_mine_topk_percpos_draws_from_the_first_ten_below_the_margin_with_the_hardest_first() -> None:
    labelled = one_query(CANDIDATES, {"d000": 1.0})
    drawn: set[str] = set()
    for seed in SEEDS:
        [(positive, negatives)] = mine_topk_percpos(labelled, light_only(2), CANDIDATES, seed)
        assert positive == "d000"
        assert negatives[0] == "d003"
        assert len(negatives) == len(set(negatives)) == 5
        drawn.update(negatives)
    assert drawn == {f"d{row:03}" for row in range(3, 13)}


def test_mine_topk_percpos_leaves_judged_documents_out_of_the_pool() -> None:
    labelled = one_query(CANDIDATES, {"d000": 1.0, "d003": 0.0, "d006": 0.0})
    drawn: set[str] = set()
    for seed in SEEDS:
        [(_, negatives)] = mine_topk_percpos(labelled, light_only(2), CANDIDATES, seed)
        assert negatives[0] == "d004"
        drawn.update(negatives)
    assert drawn == {f"d{row:03}" for row in (4, 5, *range(7, 15))}


def test_mine_topk_percpos_measures_the_margin_from_the_drawn_positive() -> None:
    labelled = one_query(CANDIDATES, {"d000": 1.0, "d008": 1.0})  # d008 at 0.505: ceiling 0.47975, next d009 at 0.455
    hardest = {
        (positive, negatives[0])
        for seed in SEEDS
        for positive, negatives in mine_topk_percpos(labelled, light_only(2), CANDIDATES, seed)
    }
    assert hardest == {("d000", "d003"), ("d008", "d009")}


def test_mine_topk_percpos_looks_no_deeper_than_asked_and_fills_up_at_random() -> None:
    labelled = one_query(CANDIDATES, {"d000": 1.0})
    filled: set[str] = set()
    for seed in SEEDS:
        # the first five are d001, d000, d002, d003, d004
        [(_, negatives)] = mine_topk_percpos(labelled, light_only(2), CANDIDATES, seed, depth=5)
        assert negatives[:2] == ["d003", "d004"]
        assert len(negatives) == len(set(negatives)) == 5
        filled.update(negatives[2:])
    assert filled == {f"d{row:03}" for row in range(1, 15) if row not in (3, 4)}


def test_mine_topk_percpos_fills_up_past_many_judged_documents() -> None:
    n = 200
    index = index_with_scores(*np.linspace(0.9, 0.1, n))
    judged = {f"d{row:03}": float(row == 190) for row in range(n - 6)}  # five unjudged and d199 stay
    for seed in range(10):
        [(_, negatives)] = mine_topk_percpos(one_query(index, judged), light_only(2), index, seed, depth=100)
        assert len(set(negatives)) == 5
        assert set(negatives) <= {f"d{row:03}" for row in range(n - 6, n)}


def test_mine_topk_percpos_takes_what_there_is_when_the_corpus_has_two_documents() -> None:
    index = index_with_scores(0.5, 0.9)
    for seed in range(5):
        assert mine_topk_percpos(one_query(index, {"d000": 1.0}), light_only(2), index, seed) == [("d000", ["d001"])]


def test_mine_topk_percpos_takes_no_negative_when_everything_is_judged() -> None:
    index = index_with_scores(0.5, 0.9)
    labelled = one_query(index, {"d000": 1.0, "d001": 0.0})
    assert mine_topk_percpos(labelled, light_only(2), index, 0) == [("d000", [])]


def test_mine_topk_percpos_repeats_itself_for_the_same_seed(vector_world: VectorWorld) -> None:
    labelled = vector_world.labelled({"d000": 1.0, "d009": 1.0}, {"d001": 2.0, "d002": 1.0, "d003": 0.0})
    first, again, other = (mine_topk_percpos(labelled, light_only(5), vector_world.index, seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other
