"""A collection in memory: what is kept on disk is used, and what is damaged or of another embedder is made again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import storage.collections
from annotation.collections.page import list_label_sets
from annotation.retrieval import indexing
from annotation.retrieval.indexing import open_indexed
from annotation.retrieval.open_collection import OpenCollection
from era.corpus import Corpus
from era.encoders.base import Embedder, EmbedderPair
from era.errors import AdapterDamagedError, Cancelled, IdentityMismatchError
from era.index.dense import DenseIndex
from era.intact import read_json, write_json
from era.types import Query
from tests.worlds.desk import Desk, new_desk, small_world, swapped_topics
from tests.worlds.words import ANIMALS, DOCUMENTS, QRELS, READERS, TOPICS, WordEmbedder, light_embedder, strong_embedder

CONTENTS = [document.content for document in DOCUMENTS]


def open_again(
    folder: Path, indexed_fingerprint: str, strong: Embedder | None = None, light: WordEmbedder | None = None
) -> tuple[OpenCollection, bool]:
    pair = EmbedderPair(strong or strong_embedder(), light or light_embedder())
    return open_indexed(Corpus(DOCUMENTS), indexed_fingerprint, pair, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "collection"


@pytest.fixture
def opened(folder: Path) -> OpenCollection:
    opened, is_new = open_again(folder, "")
    assert is_new
    return opened


def test_open_library_embeds_every_document_once_with_the_light_embedder_only(folder: Path) -> None:
    strong, light = strong_embedder(), light_embedder()
    opened, is_new = open_again(folder, "", strong, light)
    assert is_new
    assert light.texts_read == CONTENTS
    assert strong.texts_read == []
    np.testing.assert_array_equal(
        opened.index.vectors([document.doc_id for document in DOCUMENTS]), light_embedder().encode_documents(CONTENTS)
    )


def test_open_library_uses_the_index_on_disk_when_it_fits(folder: Path, opened: OpenCollection) -> None:
    light = light_embedder()
    again, is_new = open_again(folder, opened.corpus.fingerprint, light=light)
    assert not is_new
    assert light.texts_read == []
    assert again.index.fingerprint == opened.index.fingerprint


def index_in(folder: Path) -> Path:
    [found] = folder.glob("index-*")
    return found


def truncate(index: Path) -> None:
    file = index / "index.faiss"
    file.write_bytes(file.read_bytes()[:-5])


def delete_vectors(index: Path) -> None:
    (index / "index.faiss").unlink()


def delete_all(index: Path) -> None:
    shutil.rmtree(index)


def empty_description(index: Path) -> None:
    (index / "index.json").write_text("")


@pytest.mark.parametrize("damage", [truncate, delete_vectors, delete_all, empty_description])
def test_open_library_builds_the_index_again_when_it_is_damaged(
    folder: Path, opened: OpenCollection, damage: Callable[[Path], None]
) -> None:
    damage(index_in(folder))
    light = light_embedder()
    again, is_new = open_again(folder, opened.corpus.fingerprint, light=light)
    assert is_new
    assert light.texts_read == CONTENTS
    assert again.index.fingerprint == opened.index.fingerprint
    assert not open_again(folder, opened.corpus.fingerprint)[1]


def test_open_library_builds_the_index_again_when_the_light_embedder_is_another(
    folder: Path, opened: OpenCollection
) -> None:
    other = WordEmbedder("another light", [*ANIMALS, *TOPICS])
    again, is_new = open_again(folder, opened.corpus.fingerprint, light=other)
    assert is_new
    assert again.index.embedder.name == "another light"
    assert again.index.fingerprint != opened.index.fingerprint


def test_open_library_builds_the_index_again_when_the_documents_are_others(
    folder: Path, opened: OpenCollection
) -> None:
    pair = EmbedderPair(strong_embedder(), light_embedder())
    again, is_new = open_indexed(Corpus(DOCUMENTS[:3]), opened.corpus.fingerprint, pair, folder)
    assert is_new
    assert len(again.index) == 3


def test_open_library_keeps_the_index_that_an_earlier_version_made(folder: Path, opened: OpenCollection) -> None:
    index_in(folder).rename(folder / "index")
    light = light_embedder()
    again, is_new = open_again(folder, opened.corpus.fingerprint, light=light)
    assert not is_new
    assert light.texts_read == []
    assert again.index.fingerprint == opened.index.fingerprint
    assert not (folder / "index").exists()


def test_open_library_keeps_no_index_but_the_one_that_counts(folder: Path, opened: OpenCollection) -> None:
    open_again(folder, opened.corpus.fingerprint, light=WordEmbedder("another light", [*ANIMALS, *TOPICS]))
    assert DenseIndex.load(index_in(folder)).embedder.name == "another light"
    assert not (folder / "building").exists()


def test_open_library_goes_on_where_embedding_was_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BATCH", 3)

    def stop(stage: str, fraction: float, detail: str = "") -> None:
        if fraction > 0.5:
            raise Cancelled("enough")

    stopped, going_on = light_embedder(), light_embedder()
    with pytest.raises(Cancelled):
        open_indexed(Corpus(DOCUMENTS), "", EmbedderPair(strong_embedder(), stopped), folder, stop)
    opened, is_new = open_again(folder, "", light=going_on)
    assert is_new
    assert stopped.texts_read == CONTENTS[:9]  # the last three of which were not kept
    assert going_on.texts_read == CONTENTS[6:]
    np.testing.assert_array_equal(opened.index.rows(range(16)), light_embedder().encode_documents(CONTENTS))


@pytest.mark.parametrize("damage", [truncate, delete_vectors, delete_all, empty_description])
def test_workspace_mends_a_damaged_index_and_keeps_the_judgments(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    desk = new_desk(tmp_path, small_world(qrels=QRELS))
    before = list_label_sets(desk.workspace, desk.collection.id)
    damage(index_in(desk.workspace.collection_folder(desk.collection.id)))
    again = desk.again()
    assert again.light.texts_read[: len(CONTENTS)] == CONTENTS
    assert list_label_sets(again.workspace, desk.collection.id) == before
    assert before[0].counts.n_judged == 24
    with again.workspace.reading() as session:
        record = storage.collections.get(session, desk.collection.id)
    assert record.corpus_fingerprint == Corpus(DOCUMENTS).fingerprint
    third = again.again()
    assert not set(CONTENTS) & set(third.light.texts_read)
    third.workspace.close()


def test_workspace_reads_no_document_again_when_it_is_opened_a_second_time(data_dir: Path) -> None:
    desk = new_desk(data_dir, small_world())
    assert desk.light.texts_read[: len(CONTENTS)] == CONTENTS
    assert sorted(set(CONTENTS) & set(desk.strong.texts_read)) == sorted(CONTENTS)
    again = desk.again()
    assert not set(CONTENTS) & {*again.light.texts_read, *again.strong.texts_read}
    again.workspace.close()


def alignment_file(folder: Path) -> Path:
    [file] = folder.glob("alignment-*")
    return file


def test_alignment_texts_are_read_once_and_kept_on_disk(folder: Path, opened: OpenCollection) -> None:
    first = opened.alignment_texts()
    assert sorted(first.doc_ids) == sorted(document.doc_id for document in DOCUMENTS)
    np.testing.assert_array_equal(
        first.strong, strong_embedder().encode_documents(opened.corpus.contents(first.doc_ids))
    )
    assert opened.alignment_texts() is first
    strong = strong_embedder()
    again, _ = open_again(folder, opened.corpus.fingerprint, strong)
    second = again.alignment_texts()
    assert strong.texts_read == []
    assert second.doc_ids == first.doc_ids
    np.testing.assert_array_equal(second.strong, first.strong)
    np.testing.assert_array_equal(second.light, first.light)


@pytest.mark.parametrize("damage", ["truncated", "emptied", "another array"])
def test_alignment_texts_are_read_again_when_their_file_is_damaged(
    folder: Path, opened: OpenCollection, damage: str
) -> None:
    expected = opened.alignment_texts().strong
    file = alignment_file(folder)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-5])
    elif damage == "emptied":
        file.write_bytes(b"")
    else:
        save_file({"weak": expected}, file)
    strong = strong_embedder()
    again, _ = open_again(folder, opened.corpus.fingerprint, strong)
    np.testing.assert_array_equal(again.alignment_texts().strong, expected)
    assert sorted(strong.texts_read) == sorted(CONTENTS)
    np.testing.assert_array_equal(load_file(alignment_file(folder))["strong"], expected)


def test_alignment_texts_are_read_again_when_the_strong_embedder_is_another(
    folder: Path, opened: OpenCollection
) -> None:
    opened.alignment_texts()
    other = WordEmbedder("another strong", [*ANIMALS, *TOPICS, *READERS])
    again, _ = open_again(folder, opened.corpus.fingerprint, other)
    again.alignment_texts()
    assert sorted(other.texts_read) == sorted(CONTENTS)


def test_library_is_aligned_once_its_aligned_retriever_was_asked_for(opened: OpenCollection) -> None:
    assert not opened.is_aligned
    opened.aligned()
    assert opened.is_aligned


def test_light_retriever_never_asks_the_strong_embedder(folder: Path) -> None:
    strong = strong_embedder()
    opened, _ = open_again(folder, "", strong)
    assert opened.light().search(Query("", "cat cat feeding"), 1)[0].doc_id == "cat-feeding"
    assert strong.texts_read == []


def adapter_of(desk: Desk, held_out: bool = False) -> Path:
    vector = np.eye(len(ANIMALS) + len(TOPICS) + 1, dtype=np.float32)[0]
    run = desk.finish_by_hand(swapped_topics(), {desk.query_id("cat-owner"): vector} if held_out else None)
    return desk.workspace.adapter_folder(run.id)


def library_of(desk: Desk) -> OpenCollection:
    return desk.workspace.open(desk.collection.id)


def test_what_tells_near_copies_is_what_was_read_for_something_else_and_stays(
    folder: Path, opened: OpenCollection
) -> None:
    strong = opened.pair.strong
    assert isinstance(strong, WordEmbedder)
    asked = [Query("1", "cat", "owner"), Query("2", "dog")]
    assert opened.nearness() is None
    assert not opened.strong_vectors(asked).any()
    assert strong.texts_read == []
    opened.alignment_texts()
    opened.pair.encode_queries(asked[:1])
    n_read = len(strong.texts_read)
    found = opened.nearness()
    assert found is not None
    np.testing.assert_allclose(found.centre, opened.alignment_texts().strong.mean(axis=0))
    expected = strong_embedder().encode_queries([Query("", "cat"), Query("", "dog")]) * [[1], [0]]
    np.testing.assert_array_equal(opened.strong_vectors(asked), expected)
    assert len(strong.texts_read) == n_read
    unread = strong_embedder()
    again, _ = open_again(folder, opened.corpus.fingerprint, strong=unread)
    np.testing.assert_array_equal(again.strong_vectors(asked), expected)
    assert again.nearness() is not None
    assert unread.texts_read == []


def test_trained_gives_retriever_and_held_out_vectors_by_query(judged_desk: Desk) -> None:
    folder = adapter_of(judged_desk, held_out=True)
    retriever, held_out = library_of(judged_desk).trained(folder)
    assert retriever.search(Query("", "cat cat feeding"), 1)[0].doc_id == "cat-illness"
    assert held_out.keys() == {str(judged_desk.query_id("cat-owner"))}
    vector, word_weight = held_out[str(judged_desk.query_id("cat-owner"))]
    assert vector.tolist() == [1.0] + [0.0] * 10
    assert word_weight == 0.25  # which an adapter of an earlier version does not say
    assert library_of(judged_desk).trained(folder)[0] is retriever


def test_trained_takes_an_adapter_from_before_the_documents_changed(judged_desk: Desk) -> None:
    folder = adapter_of(judged_desk)
    about = read_json(folder / "adapter.json")
    about["provenance"]["index_fingerprint"] = "0" * 64
    write_json(folder / "adapter.json", about)
    retriever, _ = library_of(judged_desk).trained(folder)
    assert retriever.search(Query("", "cat cat feeding"), 1)[0].doc_id == "cat-illness"


@pytest.mark.parametrize(
    ("side", "changed", "message"),
    [
        ("light_embedder", {"name": "an older one"}, "made with an older one, but light is loaded"),
        ("strong_embedder", {"revision": "2"}, "made with strong, but another version of strong is loaded"),
        ("light_embedder", None, "made with another embedder, but light is loaded"),
    ],
)
def test_trained_refuses_an_adapter_of_other_embedders(
    judged_desk: Desk, side: str, changed: dict[str, str] | None, message: str
) -> None:
    folder = adapter_of(judged_desk)
    about = read_json(folder / "adapter.json")
    if changed is None:
        del about["provenance"][side]
    else:
        about["provenance"][side] |= changed
    write_json(folder / "adapter.json", about)
    with pytest.raises(IdentityMismatchError, match=message):
        library_of(judged_desk).trained(folder)


def test_with_pair_keeps_the_index_and_reads_queries_with_the_other_embedder(judged_desk: Desk) -> None:
    opened = library_of(judged_desk)
    other = EmbedderPair(WordEmbedder("another strong", [*ANIMALS, *TOPICS]), light_embedder())
    changed = opened.with_pair(other)
    assert changed.index is opened.index
    assert changed.pair is other
    assert not changed.is_aligned
    with pytest.raises(IdentityMismatchError, match="was made with light"):
        opened.with_pair(EmbedderPair(other.strong, WordEmbedder("another light", [*ANIMALS, *TOPICS])))


def test_trained_refuses_an_adapter_of_another_strong_embedder(judged_desk: Desk) -> None:
    run = judged_desk.train()
    opened = library_of(judged_desk)
    other = EmbedderPair(WordEmbedder("another strong", [*ANIMALS, *TOPICS, *READERS]), light_embedder())
    again, is_new = open_indexed(opened.corpus, opened.corpus.fingerprint, other, opened.folder)
    assert not is_new
    with pytest.raises(IdentityMismatchError, match="another strong"):
        again.trained(judged_desk.workspace.adapter_folder(run.id))


@pytest.mark.parametrize("damage", ["no weights", "truncated", "no description", "no held-out vectors", "a row less"])
def test_trained_says_that_a_damaged_adapter_is_damaged(judged_desk: Desk, damage: str) -> None:
    folder = adapter_of(judged_desk, held_out=True)
    weights = folder / "adapter.safetensors"
    if damage == "no weights":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-5])
    elif damage == "no description":
        (folder / "adapter.json").unlink()
    else:
        arrays = load_file(weights)
        held_out = arrays.pop("extra.held_out")
        save_file(arrays if damage == "no held-out vectors" else {**arrays, "extra.held_out": held_out[:0]}, weights)
    with pytest.raises(AdapterDamagedError, match="train again"):
        library_of(judged_desk).trained(folder)
