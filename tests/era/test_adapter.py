import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from era.adapter import QueryAdapter, QueryView, light_only, normalise, query_features
from era.embedders import EncodedQueries
from era.errors import AdapterDamagedError
from tests.fakes import random_unit_rows

# one query: instructed (3, 4), plain (1, 0), light (0, 2, 0)
QUERY = EncodedQueries(
    np.array([[3, 4]], np.float32), np.array([[1, 0]], np.float32), np.array([[0, 2, 0]], np.float32)
)


@pytest.fixture
def adapter() -> QueryAdapter:
    weight = random_unit_rows(5, 3, seed=0)
    return QueryAdapter(("mean", "light"), weight, np.array([0.5, 0, -1], np.float32), {"recipe": "era", "seed": 3})


@pytest.fixture
def saved(adapter: QueryAdapter, tmp_path: Path) -> Path:
    adapter.save(tmp_path / "adapters" / "1")
    return tmp_path / "adapters" / "1"


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        (("instructed",), [3, 4]),
        (("light",), [0, 2, 0]),
        (("mean",), [2, 2]),
        (("light", "mean"), [0, 2, 0, 2, 2]),
        (("mean", "instructed", "light"), [2, 2, 3, 4, 0, 2, 0]),
    ],
)
def test_query_features_are_the_views_side_by_side(views: tuple[QueryView, ...], expected: list[float]) -> None:
    features = query_features(QUERY, views)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, [expected])


def test_transform_is_the_direction_of_the_affine_map() -> None:
    weight = np.array([[1, 0], [0, 1], [0, 0], [1, -1], [5, 5]], np.float32)
    adapter = QueryAdapter(("mean", "light"), weight, np.array([-1, 10], np.float32))
    # features (2, 2, 0, 2, 0): (2, 2) + 2 (1, -1) = (4, 0); plus bias = (3, 10)
    vectors = adapter.transform(QUERY)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, np.array([[3, 10]]) / 109**0.5, atol=1e-6)


def test_transform_of_nothing_stays_zero() -> None:
    adapter = QueryAdapter(("instructed",), np.zeros((2, 3), np.float32), np.zeros(3, np.float32))
    np.testing.assert_array_equal(adapter.transform(QUERY), [[0, 0, 0]])


def test_normalise_gives_length_1_and_leaves_zero_rows() -> None:
    expected = np.array([[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(normalise(np.array([[3, 4], [0, 0]], np.float32)), expected, atol=1e-7)


def test_light_only_gives_the_light_vector() -> None:
    light = random_unit_rows(4, 3, seed=0)
    strong = random_unit_rows(4, 2, seed=1)
    np.testing.assert_allclose(light_only(3).transform(EncodedQueries(strong, strong, light)), light, atol=1e-6)


@pytest.mark.parametrize("views", [(), ("strong",), ("mean", "title")])
def test_adapter_refuses_unknown_views(views: tuple[QueryView, ...]) -> None:
    with pytest.raises(ValueError, match="views"):
        QueryAdapter(views, np.ones((2, 2), np.float32), np.ones(2, np.float32))


@pytest.mark.parametrize(("weight", "bias"), [((2, 3), (2,)), ((2, 3), (3, 1)), ((6,), (6,))])
def test_adapter_refuses_weights_that_do_not_fit(weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        QueryAdapter(("mean",), np.ones(weight, np.float32), np.ones(bias, np.float32))


def test_load_gives_back_the_same_bytes(adapter: QueryAdapter, tmp_path: Path) -> None:
    extra = {"held_out_vectors": random_unit_rows(4, 3, seed=2), "losses": np.array([0.25], np.float32)}
    adapter.save(tmp_path / "1", extra)
    loaded, arrays = QueryAdapter.load(tmp_path / "1")
    assert loaded.views == ("mean", "light")
    assert loaded.weight.tobytes() == adapter.weight.tobytes()
    assert loaded.bias.tobytes() == adapter.bias.tobytes()
    assert loaded.weight.shape == (5, 3)
    assert loaded.weight.dtype == np.float32
    assert loaded.provenance == {"recipe": "era", "seed": 3}
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: array.tobytes() for name, array in extra.items()
    }


def test_load_gives_back_a_weight_that_is_not_contiguous(tmp_path: Path) -> None:
    weight = random_unit_rows(3, 5, seed=0).T
    QueryAdapter(("light",), weight, np.zeros(3, np.float32)).save(tmp_path / "1")
    np.testing.assert_array_equal(QueryAdapter.load(tmp_path / "1")[0].weight, weight)


def test_save_makes_the_same_files_every_time(adapter: QueryAdapter, tmp_path: Path) -> None:
    for name in ("1", "2"):
        adapter.save(tmp_path / name)
    assert [file.name for file in sorted((tmp_path / "1").iterdir())] == ["adapter.json", "adapter.safetensors"]
    for file in (tmp_path / "1").iterdir():
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


def test_save_never_overwrites(adapter: QueryAdapter, saved: Path) -> None:
    before = {file.name: file.read_bytes() for file in saved.iterdir()}
    with pytest.raises(FileExistsError, match="never overwritten"):
        QueryAdapter(adapter.views, adapter.weight * 2, adapter.bias).save(saved)
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before


def test_save_leaves_nothing_else_behind(saved: Path) -> None:
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("name", ["adapter.json", "adapter.safetensors"])
def test_load_reports_a_missing_file(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(AdapterDamagedError, match="train again"):
        QueryAdapter.load(saved)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.99])
@pytest.mark.parametrize("name", ["adapter.json", "adapter.safetensors"])
def test_load_reports_a_truncated_file(saved: Path, name: str, share: float) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(AdapterDamagedError):
        QueryAdapter.load(saved)


def test_load_reports_a_damaged_header(saved: Path, flip_byte: Callable[[bytes, int], bytes]) -> None:
    file = saved / "adapter.safetensors"
    content = file.read_bytes()
    for place in (0, 7, 8):  # the length of the header and its opening brace
        file.write_bytes(flip_byte(content, place))
        with pytest.raises(AdapterDamagedError):
            QueryAdapter.load(saved)


@pytest.mark.parametrize(
    "about",
    [[], {}, {"views": ["strong"], "provenance": {}}, {"views": "light", "provenance": {}}, {"views": ["mean"]}, 3],
)
def test_load_reports_a_description_of_something_else(saved: Path, about: object) -> None:
    (saved / "adapter.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(AdapterDamagedError):
        QueryAdapter.load(saved)
