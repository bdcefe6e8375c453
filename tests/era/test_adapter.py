import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from era.adapter import QueryAdapter, QueryView, light_only, normalise
from era.encoders.base import EncodedQueries
from era.errors import AdapterDamagedError
from era.intact import read_json, write_json
from era.method.expansion import Neighbourhood
from tests.worlds.vectors import random_unit_rows

# one query: instructed (3, 4), plain (1, 0), light (0, 2, 0)
QUERY = EncodedQueries(
    np.array([[3, 4]], np.float32), np.array([[1, 0]], np.float32), np.array([[0, 2, 0]], np.float32)
)


# two texts along the axes of the strong embedder, seen by the light one as (6, 0, 0) and (0, 0, 4) from their mean
NEIGHBOURHOOD = Neighbourhood(
    keys=np.array([[1, 0], [0, 1]], np.float32),
    values=np.array([[6, 0, 0], [0, 0, 4]], np.float32),
    centre=np.array([1, 1], np.float32),
    temperature=0.5,
)


@pytest.fixture
def adapter() -> QueryAdapter:
    weight = random_unit_rows(5, 3, seed=0)
    return QueryAdapter(("mean", "light"), weight, np.array([0.5, 0, -1], np.float32), {"recipe": "era", "seed": 3})


@pytest.fixture
def saved(adapter: QueryAdapter, tmp_path: Path) -> Path:
    adapter.save(tmp_path / "adapters" / "1")
    return tmp_path / "adapters" / "1"


@pytest.fixture
def with_neighbours() -> QueryAdapter:
    weight = random_unit_rows(8, 3, seed=0)
    bias = np.array([0.5, 0, -1], np.float32)
    return QueryAdapter(("mean", "light", "neighbours"), weight, bias, {"seed": 3}, NEIGHBOURHOOD)


def reading(*views: QueryView) -> QueryAdapter:
    """Return an adapter of these views for strong vectors of 2 and light ones of 3 dimensions."""
    n_rows = sum(3 if view in ("light", "neighbours") else 2 for view in views)
    neighbourhood = NEIGHBOURHOOD if "neighbours" in views else None
    return QueryAdapter(views, np.ones((n_rows, 3), np.float32), np.ones(3, np.float32), {}, neighbourhood)


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        (("instructed",), [3, 4]),
        (("light",), [0, 2, 0]),
        (("mean",), [2, 2]),
        (("light", "mean"), [0, 2, 0, 2, 2]),
        (("mean", "instructed", "light"), [2, 2, 3, 4, 0, 2, 0]),
        (("neighbours", "mean"), [3, 0, 2, 2, 2]),  # (2, 2) - (1, 1) is as near to one text as to the other
    ],
)
def test_features_are_the_views_side_by_side(views: tuple[QueryView, ...], expected: list[float]) -> None:
    features = reading(*views).features(QUERY)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, [expected], rtol=1e-6)


@pytest.mark.parametrize(
    "views",
    [
        ("light",),
        ("instructed", "light"),
        ("light", "mean"),
        ("mean", "light", "neighbours"),
        ("neighbours", "mean", "light", "instructed"),
    ],
    ids="+".join,
)
def test_rows_are_where_the_features_of_a_view_are(views: tuple[QueryView, ...]) -> None:
    adapter = reading(*views)
    features = adapter.features(QUERY)[0]
    for view in views:
        np.testing.assert_array_equal(features[adapter.rows(view)], reading(view).features(QUERY)[0])
    assert sorted(row for view in views for row in range(len(features))[adapter.rows(view)]) == [*range(len(features))]


def test_rows_refuse_a_view_that_the_adapter_does_not_read(adapter: QueryAdapter) -> None:
    with pytest.raises(ValueError, match=r".+"):
        adapter.rows("instructed")


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


@pytest.mark.parametrize(
    ("views", "neighbourhood"), [(("mean", "neighbours"), None), (("mean", "light"), NEIGHBOURHOOD)]
)
def test_adapter_refuses_neighbours_without_texts_and_texts_without_neighbours(
    views: tuple[QueryView, ...], neighbourhood: Neighbourhood | None
) -> None:
    with pytest.raises(ValueError, match="need a neighbourhood exactly if"):
        QueryAdapter(views, np.ones((5, 3), np.float32), np.ones(3, np.float32), {}, neighbourhood)


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


def test_load_gives_back_the_neighbourhood(with_neighbours: QueryAdapter, tmp_path: Path) -> None:
    with_neighbours.save(tmp_path / "1", {"losses": np.array([0.25], np.float32)})
    loaded, arrays = QueryAdapter.load(tmp_path / "1")
    assert loaded.neighbourhood is not None
    assert loaded.neighbourhood.temperature == NEIGHBOURHOOD.temperature
    for part in ("keys", "values", "centre"):
        assert getattr(loaded.neighbourhood, part).tobytes() == getattr(NEIGHBOURHOOD, part).tobytes()
    assert loaded.transform(QUERY).tobytes() == with_neighbours.transform(QUERY).tobytes()
    assert list(arrays) == ["losses"]


@pytest.mark.parametrize("name", ["weight", "bias", "neighbourhood.keys", "extra.weight", "extra."])
def test_extras_keep_apart_from_the_adapter_whatever_they_are_called(
    with_neighbours: QueryAdapter, tmp_path: Path, name: str
) -> None:
    with_neighbours.save(tmp_path / "1", {name: np.array([[7, 8]], np.float32)})
    loaded, arrays = QueryAdapter.load(tmp_path / "1")
    assert {name: array.tolist() for name, array in arrays.items()} == {name: [[7, 8]]}
    assert loaded.transform(QUERY).tobytes() == with_neighbours.transform(QUERY).tobytes()


def test_load_gives_back_what_matching_words_weigh(adapter: QueryAdapter, saved: Path, tmp_path: Path) -> None:
    replace(adapter, word_weight=0.1).save(tmp_path / "heavier")
    assert QueryAdapter.load(tmp_path / "heavier")[0].word_weight == 0.1
    about = read_json(saved / "adapter.json")
    del about["word_weight"]  # as earlier versions wrote it
    write_json(saved / "adapter.json", about, [saved / "adapter.safetensors"])
    assert QueryAdapter.load(saved)[0].word_weight == 0.25
    write_json(saved / "adapter.json", about | {"word_weight": -1}, [saved / "adapter.safetensors"])
    with pytest.raises(AdapterDamagedError):
        QueryAdapter.load(saved)


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


@pytest.mark.parametrize("temperature", ["warm", None, -1.0, 0])
def test_load_reports_a_damaged_neighbourhood(
    with_neighbours: QueryAdapter, tmp_path: Path, temperature: object
) -> None:
    with_neighbours.save(tmp_path / "1")
    about = json.loads((tmp_path / "1" / "adapter.json").read_text(encoding="utf-8"))
    about["neighbourhood_temperature"] = temperature
    (tmp_path / "1" / "adapter.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(AdapterDamagedError, match="train again"):
        QueryAdapter.load(tmp_path / "1")


def test_load_reports_that_the_neighbourhood_is_missing(with_neighbours: QueryAdapter, tmp_path: Path) -> None:
    with_neighbours.save(tmp_path / "1")
    about = json.loads((tmp_path / "1" / "adapter.json").read_text(encoding="utf-8"))
    del about["neighbourhood_temperature"]
    (tmp_path / "1" / "adapter.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(AdapterDamagedError, match="train again"):
        QueryAdapter.load(tmp_path / "1")


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


def test_load_reports_a_single_bit_that_has_changed(with_neighbours: QueryAdapter, tmp_path: Path) -> None:
    folder = tmp_path / "1"
    with_neighbours.save(folder, {"held_out": random_unit_rows(2, 3, seed=0)})
    QueryAdapter.load(folder)
    for file in folder.iterdir():
        content = file.read_bytes()
        for place in range(0, len(content), 7):
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            try:
                loaded, _ = QueryAdapter.load(folder)
            except AdapterDamagedError:
                continue
            assert file.name == "adapter.json"  # a blank between two values, or the name of the checksums
            np.testing.assert_array_equal(loaded.weight, with_neighbours.weight)
            assert dict(loaded.provenance) == json.loads(json.dumps(dict(with_neighbours.provenance)))
        file.write_bytes(content)
    weights = folder / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7e")
    with pytest.raises(AdapterDamagedError, match="Your marks do not lie in it and are not affected") as caught:
        QueryAdapter.load(folder)
    assert f"{folder} is missing or damaged (adapter.safetensors is not what was written" in str(caught.value)


def test_load_reports_what_is_no_number(tmp_path: Path) -> None:
    weight = np.full((3, 3), np.nan, np.float32)
    QueryAdapter(("light",), weight, np.zeros(3, np.float32)).save(tmp_path / "1")
    with pytest.raises(AdapterDamagedError, match="no number"):
        QueryAdapter.load(tmp_path / "1")
    sound = np.eye(3, dtype=np.float32)
    QueryAdapter(("light",), sound, np.zeros(3, np.float32)).save(tmp_path / "2", {"held_out": weight})
    with pytest.raises(AdapterDamagedError, match="no number"):
        QueryAdapter.load(tmp_path / "2")


def test_load_reads_an_adapter_of_a_version_before_the_checksums(tmp_path: Path) -> None:
    header = {
        "bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "extra.held_out": {"dtype": "F32", "shape": [1, 2], "data_offsets": [8, 16]},
        "weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [16, 32]},
    }
    numbers = np.array([0.5, -0.5, 0.6, 0.8, 1, 2, 3, 4], "<f4").tobytes()
    described = json.dumps(header).encode()
    content = len(described).to_bytes(8, "little") + described + numbers
    (tmp_path / "adapter.safetensors").write_bytes(content)
    about = '{\n "provenance": {\n  "recipe": "era"\n },\n "views": [\n  "light"\n ]\n}'
    (tmp_path / "adapter.json").write_text(about, encoding="utf-8")
    adapter, extra = QueryAdapter.load(tmp_path)
    assert (adapter.views, dict(adapter.provenance)) == (("light",), {"recipe": "era"})
    np.testing.assert_array_equal(adapter.weight, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(adapter.bias, [0.5, -0.5])
    np.testing.assert_array_equal(extra["held_out"], np.array([[0.6, 0.8]], np.float32))
