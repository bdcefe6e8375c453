from collections.abc import Sequence

import ir_measures
import numpy as np
import pytest

from era.adapter import QueryAdapter, QueryView, light_only
from era.encoders.base import EncodedQueries
from era.errors import Cancelled
from era.method.alignment import DecodingConfig, align_by_decoding
from era.method.fusion import STEP_COST, Blend, BlendGains, menu
from era.method.label_measure import LabelMeasure
from tests.worlds.vectors import M, P, VectorWorld, index_of, labelled_queries, random_unit_rows

STRONG = slice(0, P)
LIGHT = slice(P, P + M)
NEIGHBOURS = slice(P + M, P + 2 * M)


@pytest.fixture
def aligned(vector_world: VectorWorld) -> QueryAdapter:
    return align_by_decoding(vector_world.texts)  # mean, light, neighbours


def gains_of(*values: Sequence[float], blends: Sequence[Blend]) -> BlendGains:
    """Return what the blends are worth to each query, the aligned one's first; no vectors are needed to choose."""
    return BlendGains(blends, np.zeros((len(blends), len(values[0]), M), np.float32), np.array(values, np.float64))


def blend(light: float = 1.0, neighbours: float = 1.0) -> Blend:
    return Blend({"light": light, "neighbours": neighbours})


def test_menu_starts_with_the_aligned_adapter(aligned: QueryAdapter) -> None:
    blends = menu(aligned)
    assert blends[0] == blend()
    assert blends[0].n_steps == 0
    np.testing.assert_array_equal(blends[0].apply(aligned).weight, aligned.weight)
    assert all(other.n_steps > 0 for other in blends[1:])


def test_menu_holds_every_pair_of_factors_once(aligned: QueryAdapter) -> None:
    found = [(other.factors["light"], other.factors["neighbours"]) for other in menu(aligned)]
    assert sorted(found) == sorted((light, near) for light in (0.5, 1.0, 2.0) for near in (0.0, 1.0, 2.0, 4.0))


@pytest.mark.parametrize(
    ("views", "n_blends"), [(("mean", "light"), 3), (("mean", "neighbours"), 4), (("instructed",), 1)]
)
def test_menu_weighs_only_what_the_adapter_reads(
    vector_world: VectorWorld, views: tuple[QueryView, ...], n_blends: int
) -> None:
    adapter = align_by_decoding(vector_world.texts, DecodingConfig(views=views))
    blends = menu(adapter)
    assert len(blends) == n_blends
    for other in blends:
        assert other.apply(adapter).weight.shape == adapter.weight.shape


@pytest.mark.parametrize(
    ("light", "neighbours", "n_steps"),
    [(1, 1, 0), (0.5, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 4, 2), (2, 2, 2), (0.5, 4, 3), (2, 0, 2)],
)
def test_steps_are_halvings_and_doublings(light: float, neighbours: float, n_steps: int) -> None:
    assert blend(light, neighbours).n_steps == n_steps


def test_apply_scales_the_rows_of_the_halves_and_no_others(aligned: QueryAdapter) -> None:
    before = aligned.weight.copy()
    found = blend(light=0.5, neighbours=4.0).apply(aligned)
    np.testing.assert_array_equal(found.weight[STRONG], before[STRONG])
    np.testing.assert_allclose(found.weight[LIGHT], 0.5 * before[LIGHT])
    np.testing.assert_allclose(found.weight[NEIGHBOURS], 4 * before[NEIGHBOURS])
    np.testing.assert_array_equal(found.bias, aligned.bias)
    np.testing.assert_array_equal(aligned.weight, before)
    assert found.neighbourhood is aligned.neighbourhood


def test_apply_finds_the_rows_whatever_the_order_of_the_views(vector_world: VectorWorld) -> None:
    adapter = align_by_decoding(vector_world.texts, DecodingConfig(views=("neighbours", "mean", "light")))
    found = blend(light=2.0, neighbours=0.0).apply(adapter)
    np.testing.assert_array_equal(found.weight[:M], np.zeros((M, M)))
    np.testing.assert_array_equal(found.weight[M : M + P], adapter.weight[M : M + P])
    np.testing.assert_allclose(found.weight[M + P :], 2 * adapter.weight[M + P :])


def test_measure_ranks_by_what_each_blended_adapter_says(vector_world: VectorWorld, aligned: QueryAdapter) -> None:
    labelled = vector_world.labelled({"d001": 3.0, "d002": 1.0}, {"d003": 1.0}, {"d004": 1.0, "d005": 0.0})
    found = BlendGains.measure(aligned, LabelMeasure.of(labelled, vector_world.index))
    assert found.blends == menu(aligned)
    assert found.vectors.dtype == np.float32
    for place, other in enumerate(found.blends):
        adapter = other.apply(aligned)
        expected = adapter.features(labelled.encoded) @ adapter.weight + adapter.bias
        np.testing.assert_allclose(found.vectors[place], expected, atol=1e-5)
        np.testing.assert_allclose(
            found.values[place],
            LabelMeasure.of(labelled, vector_world.index).values(adapter.transform(labelled.encoded)),
        )


def test_measure_stops_when_the_report_raises(vector_world: VectorWorld, aligned: QueryAdapter) -> None:
    reported: list[float] = []

    def stop(stage: str, fraction: float, detail: str = "") -> None:
        reported.append(fraction)
        if len(reported) == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        BlendGains.measure(aligned, LabelMeasure.of(vector_world.labelled({"d001": 1.0}), vector_world.index), stop)
    assert len(reported) == 3


@pytest.mark.parametrize("n", [1, 4, 25])
def test_a_step_has_to_gain_more_than_it_costs(n: int) -> None:
    cost = STEP_COST / n**0.5
    for share, chosen in ((0.98, 0), (1.02, 1)):
        gains = gains_of([0.5] * n, [0.5 + share * cost] * n, blends=[blend(), blend(light=2.0)])
        assert gains.choose(range(n)) == chosen


def test_two_steps_have_to_gain_more_than_twice_the_cost_of_one() -> None:
    blends = [blend(), blend(neighbours=2.0), blend(neighbours=4.0)]
    cost = STEP_COST / 2  # of four queries
    assert gains_of([0.5] * 4, [0.5 + 3 * cost] * 4, [0.5 + 3.9 * cost] * 4, blends=blends).choose(range(4)) == 1
    assert gains_of([0.5] * 4, [0.5 + 3 * cost] * 4, [0.5 + 4.1 * cost] * 4, blends=blends).choose(range(4)) == 2
    assert gains_of([0.5] * 4, [0.5 + 0.9 * cost] * 4, [0.5 + 1.9 * cost] * 4, blends=blends).choose(range(4)) == 0


def test_a_blend_is_chosen_from_the_given_queries_alone() -> None:
    gains = gains_of([0.1, 0.9, 0.2], [0.9, 0.1, 0.1], [0.1, 0.9, 0.9], blends=[blend(), blend(2.0), blend(0.5)])
    assert gains.choose([0]) == 1
    assert gains.choose([1]) == 0
    assert gains.choose(np.array([1, 2])) == 2
    assert gains.choose([]) == 0


def test_the_aligned_blend_stays_when_another_is_as_good() -> None:
    assert gains_of([0.5, 0.5], [0.5, 0.5], [0.4, 0.4], blends=[blend(), blend(2.0), blend(0.5)]).choose([0, 1]) == 0


@pytest.mark.parametrize("seed", range(4))
def test_ndcg_equals_ir_measures_at_100(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_documents, n_queries = (300, 5) if seed else (40, 5)  # with more and with fewer documents than the cut
    index = index_of(random_unit_rows(n_documents, 6, seed))
    vectors = random_unit_rows(n_queries, 6, seed + 50)
    judgments = {}
    for i in range(n_queries):
        rows = rng.permutation(n_documents)[: int(rng.integers(1, min(200, n_documents)))]
        judgments[f"q{i}"] = {f"d{row:03}": float(rng.integers(4)) for row in rows} | {f"d{rows[0]:03}": 3.0}
    labelled = labelled_queries(EncodedQueries(vectors, vectors, vectors), judgments, index)
    qrels = [
        ir_measures.Qrel(query_id, doc_id, int(grade))
        for query_id, grades in judgments.items()
        for doc_id, grade in grades.items()
    ]
    run = [
        ir_measures.ScoredDoc(f"q{i}", f"d{row:03}", float(score))
        for i, scores in enumerate(
            vectors.astype(np.float64) @ index.vectors([f"d{r:03}" for r in range(n_documents)]).T
        )
        for row, score in enumerate(scores)
    ]
    expected = {metric.query_id: metric.value for metric in ir_measures.iter_calc([ir_measures.nDCG @ 100], qrels, run)}
    found = LabelMeasure.of(labelled, index).values(3 * vectors)  # by direction alone
    np.testing.assert_allclose(found, [expected[f"q{i}"] for i in range(n_queries)], atol=1e-6)


def test_ndcg_is_worked_out_by_hand() -> None:
    index = index_of(np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], np.float32))
    east = np.array([[1, 0]], np.float32)
    labelled = labelled_queries(
        EncodedQueries(east, east, east), {"q0": {"d001": 1.0, "d003": 3.0, "d000": 0.0}}, index
    )
    # grade 1 at rank 2 and grade 3 at rank 4, at best at ranks 2 and 1
    expected = (1 / np.log2(3) + 3 / np.log2(5)) / (3 + 1 / np.log2(3))
    np.testing.assert_allclose(
        LabelMeasure.of(labelled, index).values(light_only(2).transform(labelled.encoded)), [expected]
    )
