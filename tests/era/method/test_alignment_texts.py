"""Texts that both embedders have read are used as long as nearly all of them are still in the collection."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from era.corpus import Corpus
from era.encoders.base import EmbedderPair
from era.index.dense import DenseIndex
from era.method.alignment import AlignmentTexts
from era.method.alignment_texts import alignment_texts
from era.progress import no_progress
from era.types import Document
from tests.worlds.words import ANIMALS, WordEmbedder, light_embedder, strong_embedder

PETS = [Document(f"d{number:02}", "", f"{ANIMALS[number % len(ANIMALS)]} {'dog ' * number}") for number in range(40)]


@dataclass(frozen=True)
class Reading:
    """What was returned, and which texts the strong embedder read for it."""

    texts: AlignmentTexts
    seconds: float | None
    read: list[str]


def read(folder: Path, documents: list[Document], strong: WordEmbedder | None = None) -> Reading:
    strong, light, corpus = strong or strong_embedder(), light_embedder(), Corpus(documents)
    doc_ids = list(corpus.doc_ids)
    index = DenseIndex(doc_ids, light.encode_documents(corpus.contents(doc_ids)), light.identity)
    texts, seconds = alignment_texts(corpus, index, EmbedderPair(strong, light), folder, no_progress)
    expected = strong_embedder().encode_documents(corpus.contents(texts.doc_ids))
    if strong.identity == strong_embedder().identity:
        np.testing.assert_array_equal(texts.strong, expected)
    np.testing.assert_array_equal(texts.light, index.vectors(texts.doc_ids))
    return Reading(texts, seconds, strong.texts_read)


def test_a_few_other_documents_need_no_reading(tmp_path: Path) -> None:
    first = read(tmp_path, PETS)
    assert sorted(first.read) == sorted(document.content for document in PETS)
    changed = [*PETS[3:], Document("new", "", "a new one")]
    second = read(tmp_path, changed)
    assert second.read == []
    assert second.seconds is not None
    assert set(second.texts.doc_ids) == {document.doc_id for document in PETS[3:]}
    assert len(list(tmp_path.glob("alignment-*"))) == 1  # what it took the place of is gone
    assert read(tmp_path, changed).read == []


def test_documents_with_another_text_do_not_count(tmp_path: Path) -> None:
    read(tmp_path, PETS)
    changed = [Document(document.doc_id, "", f"other {document.text}") for document in PETS[:5]]
    again = read(tmp_path, [*changed, *PETS[5:]])
    assert len(again.read) == len(PETS)  # five of forty are too many


def test_another_strong_embedder_reads_for_itself_and_leaves_the_first_its_texts(tmp_path: Path) -> None:
    read(tmp_path, PETS)
    other = WordEmbedder("another", [*ANIMALS])
    assert len(read(tmp_path, PETS, other).read) == len(PETS)
    assert read(tmp_path, PETS).read == []
    assert len(list(tmp_path.glob("alignment-*"))) == 2


@pytest.mark.parametrize("bit", [1, 128])
def test_texts_of_which_a_bit_has_changed_are_read_again(
    tmp_path: Path, bit: int, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, PETS)
    [file] = tmp_path.glob("alignment-*")
    content = bytearray(file.read_bytes())
    content[-5] ^= bit
    file.write_bytes(content)
    assert len(read(tmp_path, PETS).read) == len(PETS)
    assert "are damaged and are read again" in caplog.text
    assert read(tmp_path, PETS).read == []


def test_texts_of_a_version_before_the_checksums_are_used(tmp_path: Path) -> None:
    read(tmp_path, PETS)
    [file] = tmp_path.glob("alignment-*")
    with safe_open(file, "np") as kept:
        about = {name: text for name, text in kept.metadata().items() if name != "sha256"}
    save_file(load_file(file), file, about)
    assert read(tmp_path, PETS).read == []
