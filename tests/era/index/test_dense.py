import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from era.encoders.base import Vectors
from era.errors import IndexDamagedError
from era.index.dense import DenseIndex
from era.types import ScoredDoc
from tests.worlds.vectors import index_of, random_unit_rows
from tests.worlds.words import identity_of

N, M = 30, 6
LIGHT = identity_of("light", M)


@pytest.fixture
def vectors() -> Vectors:
    return random_unit_rows(N, M, seed=0)


@pytest.fixture
def index(vectors: Vectors) -> DenseIndex:
    return index_of(vectors)


@pytest.fixture
def saved(index: DenseIndex, tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    index.save(folder)
    return folder


def brute_force(vectors: Vectors, queries: Vectors, k: int) -> list[list[tuple[str, float]]]:
    """Score every document in float64 and sort."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    order = np.argsort(-scores, axis=1)[:, :k]
    return [[(f"d{row:03}", float(scores[i, row])) for row in rows] for i, rows in enumerate(order)]


def assert_same_rankings(found: list[list[ScoredDoc]], expected: list[list[tuple[str, float]]]) -> None:
    assert [[doc.doc_id for doc in row] for row in found] == [[doc_id for doc_id, _ in row] for row in expected]
    np.testing.assert_allclose(
        [[doc.score for doc in row] for row in found], [[score for _, score in row] for row in expected], atol=1e-6
    )


@pytest.mark.parametrize("k", [1, 7, N])
def test_search_equals_scoring_every_document(index: DenseIndex, vectors: Vectors, k: int) -> None:
    queries = random_unit_rows(9, M, seed=1)
    assert_same_rankings(index.search(queries, k), brute_force(vectors, queries, k))


def test_search_gives_each_document_once_when_k_exceeds_their_number(index: DenseIndex, vectors: Vectors) -> None:
    queries = random_unit_rows(2, M, seed=1)
    assert_same_rankings(index.search(queries, N + 5), brute_force(vectors, queries, N))


def test_search_takes_vectors_of_another_layout_and_precision(index: DenseIndex, vectors: Vectors) -> None:
    queries = random_unit_rows(4, M, seed=1)
    turned = np.asfortranarray(queries.astype(np.float64))
    assert_same_rankings(index.search(turned, 3), brute_force(vectors, queries, 3))  # type: ignore[arg-type]


def test_search_gives_no_ranking_when_there_is_no_query(index: DenseIndex) -> None:
    assert index.search(np.empty((0, M), np.float32), 3) == []


def test_search_gives_empty_rankings_when_the_index_is_empty() -> None:
    empty = DenseIndex([], np.empty((0, M), np.float32), LIGHT)
    assert empty.search(random_unit_rows(2, M, seed=1), 3) == [[], []]


@pytest.mark.parametrize("shape", [(2, M - 1), (2, M + 1), (M,)])
def test_search_refuses_vectors_of_another_dimension(index: DenseIndex, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(n, 6\)"):
        index.search(np.ones(shape, np.float32), 3)


def test_search_refuses_k_below_1(index: DenseIndex) -> None:
    with pytest.raises(ValueError, match="got 0"):
        index.search(random_unit_rows(1, M, seed=1), 0)


def test_index_refuses_vectors_of_another_dimension() -> None:
    with pytest.raises(ValueError, match=r"\(2, 6\).*\(2, 5\)"):
        DenseIndex(["a", "b"], np.ones((2, 5), np.float32), LIGHT)


def test_index_refuses_another_number_of_vectors_than_ids() -> None:
    with pytest.raises(ValueError, match=r"\(2, 6\).*\(3, 6\)"):
        DenseIndex(["a", "b"], np.ones((3, M), np.float32), LIGHT)


def test_index_refuses_a_repeated_id() -> None:
    with pytest.raises(ValueError, match="share"):
        DenseIndex(["a", "a"], np.ones((2, M), np.float32), LIGHT)


def test_vectors_come_in_the_asked_order(index: DenseIndex, vectors: Vectors) -> None:
    np.testing.assert_array_equal(index.vectors(["d007", "d000", "d007"]), vectors[[7, 0, 7]])


def test_vectors_are_a_copy(index: DenseIndex, vectors: Vectors) -> None:
    index.vectors(["d007"])[:] = 0
    np.testing.assert_array_equal(index.vectors(["d007"]), vectors[[7]])


def test_vectors_refuse_an_unknown_document(index: DenseIndex) -> None:
    with pytest.raises(KeyError, match="x"):
        index.vectors(["d000", "x"])


def test_index_knows_its_documents(index: DenseIndex) -> None:
    assert len(index) == N
    assert "d029" in index
    assert "d030" not in index
    assert index.size_bytes == N * M * 4


def test_sample_is_of_distinct_documents(index: DenseIndex) -> None:
    sample = index.sample(12, seed=3)
    assert len(sample) == len(set(sample)) == 12
    assert set(sample) <= {f"d{row:03}" for row in range(N)}


def test_sample_is_everything_when_more_are_asked_for(index: DenseIndex) -> None:
    assert sorted(index.sample(N + 1, seed=3)) == [f"d{row:03}" for row in range(N)]


def test_sample_depends_on_the_seed_alone(index: DenseIndex) -> None:
    first = index.sample(12, seed=3)
    np.random.seed(1)
    assert index.sample(12, seed=3) == first
    assert index.sample(12, seed=4) != first


def test_sample_reaches_every_document(index: DenseIndex) -> None:
    assert len({doc_id for seed in range(40) for doc_id in index.sample(5, seed)}) == N


def test_fingerprint_changes_with_vectors_ids_order_and_embedder(index: DenseIndex, vectors: Vectors) -> None:
    ids = [f"d{row:03}" for row in range(N)]
    changed = vectors.copy()
    changed[3, 2] = np.nextafter(changed[3, 2], np.float32(2))
    others = [
        DenseIndex(ids, changed, LIGHT),
        DenseIndex([*ids[:-1], "x"], vectors, LIGHT),
        DenseIndex(ids[::-1], vectors, LIGHT),
        DenseIndex(ids, vectors, identity_of("other", M)),
    ]
    assert index_of(vectors).fingerprint == index.fingerprint
    assert len({index.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_load_gives_back_what_was_saved(index: DenseIndex, vectors: Vectors, saved: Path) -> None:
    loaded = DenseIndex.load(saved)
    queries = random_unit_rows(5, M, seed=1)
    assert_same_rankings(loaded.search(queries, 9), brute_force(vectors, queries, 9))
    assert loaded.fingerprint == index.fingerprint
    assert loaded.embedder == LIGHT
    assert loaded.sample(5, 0) == index.sample(5, 0)
    np.testing.assert_array_equal(loaded.vectors(["d004"]), vectors[[4]])


def test_load_gives_back_the_last_of_two_saves(saved: Path) -> None:
    other = index_of(random_unit_rows(4, M, seed=9))
    other.save(saved)
    assert DenseIndex.load(saved).fingerprint == other.fingerprint
    assert sorted(file.name for file in saved.iterdir()) == ["index.faiss", "index.json"]


@pytest.mark.parametrize("name", ["index.faiss", "index.json"])
def test_load_reports_a_missing_file(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(IndexDamagedError, match="build the index again"):
        DenseIndex.load(saved)


def test_load_reports_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(IndexDamagedError, match="nowhere"):
        DenseIndex.load(tmp_path / "nowhere")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
@pytest.mark.parametrize("name", ["index.faiss", "index.json"])
def test_load_reports_a_truncated_file(saved: Path, name: str, share: float) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(IndexDamagedError):
        DenseIndex.load(saved)


def test_load_reports_a_changed_vector(saved: Path, flip_byte: Callable[[bytes, int], bytes]) -> None:
    DenseIndex.load(saved)
    content = (saved / "index.faiss").read_bytes()
    for place in (len(content) - N * M * 4, len(content) - 1):  # first and last byte of the vectors
        (saved / "index.faiss").write_bytes(flip_byte(content, place))
        with pytest.raises(IndexDamagedError):
            DenseIndex.load(saved)


def test_load_never_ranks_otherwise_when_a_byte_of_the_header_changed(
    saved: Path, vectors: Vectors, flip_byte: Callable[[bytes, int], bytes]
) -> None:
    DenseIndex.load(saved)
    queries = 3 * random_unit_rows(5, M, seed=1)
    expected = brute_force(vectors, queries, 5)
    content = (saved / "index.faiss").read_bytes()
    for place in range(len(content) - N * M * 4):
        for changed in (
            flip_byte(content, place),
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        ):
            (saved / "index.faiss").write_bytes(changed)
            try:
                loaded = DenseIndex.load(saved)
            except IndexDamagedError:
                continue
            assert_same_rankings(loaded.search(queries, 5), expected)


def change_about(folder: Path, **values: object) -> None:
    file = folder / "index.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_load_reports_swapped_ids(saved: Path) -> None:
    ids = [f"d{row:03}" for row in range(N)]
    DenseIndex.load(saved)
    change_about(saved, doc_ids=[ids[1], ids[0], *ids[2:]])
    with pytest.raises(IndexDamagedError, match="fingerprint"):
        DenseIndex.load(saved)


@pytest.mark.parametrize(
    "values",
    [
        {"doc_ids": ["d000"]},
        {"doc_ids": None},
        {"embedder": {"name": "light"}},
        {"embedder": [1]},
        {"fingerprint": "0" * 64},
    ],
    ids=["ids missing", "no ids", "half an embedder", "no embedder", "fingerprint"],
)
def test_load_reports_a_changed_description(saved: Path, values: dict[str, object]) -> None:
    change_about(saved, **values)
    with pytest.raises(IndexDamagedError):
        DenseIndex.load(saved)


def test_load_reports_another_embedder_of_the_same_size(saved: Path) -> None:
    DenseIndex.load(saved)
    about = json.loads((saved / "index.json").read_text(encoding="utf-8"))
    change_about(saved, embedder=about["embedder"] | {"revision": "2"})
    with pytest.raises(IndexDamagedError, match="fingerprint"):
        DenseIndex.load(saved)


def test_load_reports_the_files_of_two_saves(saved: Path, tmp_path: Path) -> None:
    index_of(random_unit_rows(N, M, seed=9)).save(tmp_path / "other")
    (tmp_path / "other" / "index.faiss").replace(saved / "index.faiss")
    with pytest.raises(IndexDamagedError, match="fingerprint"):
        DenseIndex.load(saved)


@pytest.mark.parametrize("number", [np.nan, np.inf, 3.0])
def test_load_reports_vectors_that_are_not_of_length_one(tmp_path: Path, number: float) -> None:
    rows = random_unit_rows(N, M, seed=1)
    rows[3, 2] = number
    index_of(rows).save(tmp_path / "index")
    with pytest.raises(IndexDamagedError, match="its vectors are not all of length 1"):
        DenseIndex.load(tmp_path / "index")


def test_load_takes_the_vector_of_a_text_without_a_known_word(tmp_path: Path) -> None:
    rows = random_unit_rows(N, M, seed=1)
    rows[3] = 0
    index_of(rows).save(tmp_path / "index")
    assert not DenseIndex.load(tmp_path / "index").vectors(["d003"]).any()
