"""An index that grows on disk: what was noted is kept, what does not fit is begun anew."""

import json
from pathlib import Path

import numpy as np
import pytest

from era.adapter import normalise
from era.corpus import Corpus, content_hash, fingerprint_of
from era.encoders.base import EmbedderIdentity, Vectors
from era.index import building as index_building
from era.index.building import IndexBuilding
from era.index.dense import DenseIndex
from era.types import Document
from tests.worlds.words import identity_of

EMBEDDER = identity_of("light", 4)
DOC_IDS = [f"d{row}" for row in range(10)]


@pytest.fixture
def vectors() -> Vectors:
    made: Vectors = np.random.default_rng(3).standard_normal((10, 4)).astype(np.float32)
    return normalise(made)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "building"


def test_what_is_built_bit_by_bit_is_the_index_made_at_once(folder: Path, vectors: Vectors) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        for first in (0, 3, 9):
            building.append(vectors[first : {0: 3, 3: 9, 9: 10}[first]])
        built = building.finish(DOC_IDS)
    at_once = DenseIndex(DOC_IDS, vectors, EMBEDDER)
    assert built.fingerprint == at_once.fingerprint
    np.testing.assert_array_equal(built.rows(range(10)), vectors)


def test_batches_larger_than_one_reading_are_whole(
    folder: Path, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_building, "_ROWS_AT_ONCE", 4)
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        building.append(vectors)
        np.testing.assert_array_equal(building.finish(DOC_IDS).vectors(DOC_IDS), vectors)


def test_it_goes_on_after_the_last_vector(folder: Path, vectors: Vectors) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        building.append(vectors[:6])
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        assert len(building) == 6
        building.append(vectors[6:])
        assert building.finish(DOC_IDS).fingerprint == DenseIndex(DOC_IDS, vectors, EMBEDDER).fingerprint


def test_a_killed_process_loses_what_was_not_noted_and_half_a_row(folder: Path, vectors: Vectors) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        building.append(vectors[:6])
    with (folder / "vectors.f32").open("ab") as file:
        file.write(vectors[6:8].tobytes()[:-3])  # written, but nobody said so before the kill
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        assert len(building) == 6
        building.append(vectors[6:])
        np.testing.assert_array_equal(building.finish(DOC_IDS).vectors(DOC_IDS), vectors)


def test_long_buildings_note_what_is_there_before_they_end(
    folder: Path, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    building = IndexBuilding(folder, EMBEDDER, "documents")
    building.append(vectors[:3])
    assert json.loads((folder / "about.json").read_text())["n_rows"] == 0
    monkeypatch.setattr(index_building, "_NOTED_EVERY_S", 0.0)
    building.append(vectors[3:5])
    assert json.loads((folder / "about.json").read_text())["n_rows"] == 5
    building.close()


@pytest.mark.parametrize(
    ("embedder", "documents"),
    [(identity_of("other", 4), "documents"), (identity_of("light", 5), "documents"), (EMBEDDER, "others")],
    ids=["embedder", "dimension", "documents"],
)
def test_it_begins_anew_for_anything_else(
    folder: Path, vectors: Vectors, embedder: EmbedderIdentity, documents: str
) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        building.append(vectors)
    with IndexBuilding(folder, embedder, documents) as building:
        assert len(building) == 0
        assert len(building.finish([])) == 0


@pytest.mark.parametrize("about", ["", "[]", '{"n_rows": 3}', '{"n_rows": "x"}'])
def test_it_begins_anew_when_what_is_said_of_it_is_damaged(folder: Path, vectors: Vectors, about: str) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        building.append(vectors)
    (folder / "about.json").write_text(about)
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        assert len(building) == 0


def test_it_begins_anew_when_a_bit_of_a_vector_has_changed(
    folder: Path, vectors: Vectors, caplog: pytest.LogCaptureFixture
) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        building.append(vectors[:4])
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        assert len(building) == 4
        building.append(vectors[4:6])
    content = bytearray((folder / "vectors.f32").read_bytes())
    content[0] ^= 1
    (folder / "vectors.f32").write_bytes(content)
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        assert len(building) == 0
        building.append(vectors)
        np.testing.assert_array_equal(building.finish(DOC_IDS).vectors(DOC_IDS), vectors)
    assert "is damaged and is embedded again" in caplog.text


def test_it_goes_on_with_what_a_version_before_the_checksums_began(folder: Path, vectors: Vectors) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        building.append(vectors[:4])
    about = json.loads((folder / "about.json").read_text())
    del about["sha256"]
    (folder / "about.json").write_text(json.dumps(about))
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        assert len(building) == 4


def test_it_begins_anew_when_vectors_are_missing(folder: Path, vectors: Vectors) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        building.append(vectors)
    (folder / "vectors.f32").write_bytes(b"1234")
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        assert len(building) == 0


def test_restart_and_discard_leave_nothing(folder: Path, vectors: Vectors) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        building.append(vectors)
        building.restart()
        assert len(building) == 0
        building.append(vectors[5:])
        np.testing.assert_array_equal(building.finish(DOC_IDS[5:]).vectors(DOC_IDS[5:]), vectors[5:])
        building.discard()
    assert not folder.exists()


def test_it_refuses_vectors_and_ids_that_cannot_be(folder: Path, vectors: Vectors) -> None:
    with IndexBuilding(folder, EMBEDDER, "documents") as building:
        with pytest.raises(ValueError, match=r"shape \(n, 4\), got \(10, 3\)"):
            building.append(vectors[:, :3])
        building.append(vectors)
        with pytest.raises(ValueError, match="Expected 9 vectors, one for each document, got 10"):
            building.finish(DOC_IDS[:9])
        with pytest.raises(ValueError, match="share a document id"):
            building.finish(["d0", *DOC_IDS[:9]])


def test_fingerprint_of_hashes_is_that_of_the_corpus() -> None:
    documents = [Document("1", "Cats", "They purr."), Document("22", "", "Dogs bark.")]
    hashes = [(document.doc_id, content_hash(document)) for document in documents]
    assert fingerprint_of(hashes) == Corpus(documents).fingerprint
    assert fingerprint_of(reversed(hashes)) != Corpus(documents).fingerprint
