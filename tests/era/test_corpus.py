import hashlib

import pytest

from era.corpus import Corpus, content_hash
from era.types import Document

CAT = Document("c", "Cats", "They purr.")
DOG = Document("d", "", "They bark.")


def test_corpus_keeps_the_given_order() -> None:
    corpus = Corpus([DOG, CAT])
    assert list(corpus) == [DOG, CAT]
    assert list(corpus.doc_ids) == ["d", "c"]
    assert len(corpus) == 2


def test_corpus_finds_a_document_by_id() -> None:
    corpus = Corpus([CAT, DOG])
    assert corpus["d"] == DOG
    assert "d" in corpus
    assert "x" not in corpus


def test_corpus_contents_follow_the_asked_order() -> None:
    assert Corpus([CAT, DOG]).contents(["d", "c", "d"]) == ["They bark.", "Cats\nThey purr.", "They bark."]


def test_corpus_refuses_two_documents_with_one_id() -> None:
    with pytest.raises(ValueError, match="share the id 'c'"):
        Corpus([CAT, Document("c", "", "Another text.")])


def test_corpus_refuses_no_documents() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Corpus([])


def test_content_hash_is_the_sha256_of_the_embedded_text() -> None:
    assert content_hash(CAT) == hashlib.sha256(b"Cats\nThey purr.").hexdigest()


def test_content_hash_takes_half_a_surrogate_pair() -> None:
    assert content_hash(Document("1", "", "\ud83d")) != content_hash(Document("1", "", "\ud83e"))


def test_fingerprint_is_equal_for_equal_documents() -> None:
    assert Corpus([CAT, DOG]).fingerprint == Corpus(iter([CAT, DOG])).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        [DOG, CAT],
        [CAT],
        [CAT, Document("d", "", "They bark!")],
        [CAT, Document("d", "Dogs", "They bark.")],
        [CAT, Document("e", "", "They bark.")],
        [Document("d", "Cats", "They purr."), Document("c", "", "They bark.")],
    ],
    ids=["order", "fewer", "text", "title", "id", "ids swapped"],
)
def test_fingerprint_changes_when_anything_changes(other: list[Document]) -> None:
    assert Corpus(other).fingerprint != Corpus([CAT, DOG]).fingerprint
