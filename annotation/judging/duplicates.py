"""Which documents are the same, and which nearly so: two rules for two purposes.

`identical_documents` agree in every field, so one mark counts for all of them. `near_duplicates` share most of their
words and may differ in what matters, such as a price: a hint to look again, never a reason to judge together.
The index only proposes which documents to compare; it never decides.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from era.corpus import Corpus
from era.index.dense import DenseIndex
from storage.records import DocumentRecord

MIN_RESEMBLANCE = 0.8
"""Jaccard similarity of the shingles, the resemblance of Broder 1997, On the resemblance and containment of documents.

The threshold is our choice, stricter than clustering of web pages needs.
"""

SHINGLE_WORDS = 3
MIN_COSINE = 0.95
N_NEIGHBOURS = 10

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    normalised: str
    shingles: frozenset[str]


def identical_documents(
    doc_ids: Sequence[str],
    corpus: Corpus,
    index: DenseIndex,
    read: Callable[[Iterable[str]], Mapping[str, DocumentRecord]],
) -> dict[str, list[str]]:
    """Return for each given document those that are identical to it, by id; an empty list where none is.

    Compared are the documents that `_proposed` names.

    Args:
        doc_ids: some fifty at most, such as those on the screen; the index is searched once for all.
        corpus: titles and texts.
        index: of the same documents.
        read: returns stored documents by id; asked at most once, for those with equal title and text alone.

    Raises:
        KeyError: if a document is not in the index or not in the corpus.
    """
    proposed = _proposed(doc_ids, index)
    texts = {doc_id: _folded([corpus[doc_id].title, corpus[doc_id].text]) for doc_id in _everyone(proposed)}
    alike = {d: [other for other in others if texts[other] == texts[d]] for d, others in proposed.items()}
    concerned = dict.fromkeys(each for doc_id, others in alike.items() if others for each in (doc_id, *others))
    stored = read(concerned) if concerned else {}
    return {
        doc_id: sorted(
            other
            for other in others
            if doc_id in stored and other in stored and are_identical(stored[doc_id], stored[other])
        )
        for doc_id, others in alike.items()
    }


def are_identical(one: DocumentRecord, other: DocumentRecord) -> bool:
    """Say whether two documents agree in every field: title, text, and the names and values of their metadata.

    Case, Unicode form (NFC) and white space do not count; every other character does, digits and punctuation too.
    """
    fields = ([each.title, each.text, each.metadata or {}] for each in (one, other))
    return bool(_folded(next(fields)) == _folded(next(fields)))


def near_duplicates(doc_ids: Sequence[str], corpus: Corpus, index: DenseIndex) -> dict[str, list[str]]:
    """Return for each given document those that share most of its words, nearest first; an empty list where none does.

    Likeness is measured on words alone, whatever the case and the signs between them, and is not passed on. Compared
    are the documents that `_proposed` names.

    Args:
        doc_ids: a hundred at most; the index is searched once for all.
        corpus: where their words are.
        index: of the same documents.

    Raises:
        KeyError: if a document is not in the index or not in the corpus.
    """
    proposed = _proposed(doc_ids, index)
    prints = {doc_id: _fingerprint(corpus[doc_id].content) for doc_id in _everyone(proposed)}
    return {
        doc_id: _nearest_first({o: cosine for o, cosine in others.items() if _are_alike(prints[doc_id], prints[o])})
        for doc_id, others in proposed.items()
    }


def shingles(text: str) -> frozenset[str]:
    """Return the runs of three words of a text, or its words if it has fewer; words are case-folded, NFKC."""
    return _shingles_of(_words(text))


def _proposed(doc_ids: Sequence[str], index: DenseIndex) -> dict[str, dict[str, float]]:
    """Return for each given document those to compare it with, and their cosines.

    These are the other given ones, and those of its `N_NEIGHBOURS` nearest neighbours in the whole index whose cosine
    is at least `MIN_COSINE`.
    """
    given = list(dict.fromkeys(doc_ids))
    if not given:
        return {}
    vectors = index.vectors(given)  # (n, m)
    cosines = vectors @ vectors.T  # (n, n)
    near: dict[str, dict[str, float]] = {doc_id: {} for doc_id in given}
    for row, column in combinations(range(len(given)), 2):
        near[given[row]][given[column]] = near[given[column]][given[row]] = float(cosines[row, column])
    for doc_id, ranking in zip(given, index.search(vectors, N_NEIGHBOURS + 1), strict=True):
        others = [neighbour for neighbour in ranking if neighbour.doc_id != doc_id][:N_NEIGHBOURS]
        for neighbour in others:
            if neighbour.score >= MIN_COSINE:
                near[doc_id].setdefault(neighbour.doc_id, neighbour.score)
    return near


def _everyone(proposed: Mapping[str, Iterable[str]]) -> dict[str, None]:
    return dict.fromkeys([*proposed, *(other for others in proposed.values() for other in others)])


def _folded(value: Any) -> Any:
    """Return a JSON value as it counts for `are_identical`; a number is never equal to a text or a truth value."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", " ".join(unicodedata.normalize("NFD", value).casefold().split()))
    if isinstance(value, Mapping):
        return sorted(((_folded(name), _folded(each)) for name, each in value.items()), key=repr)
    if isinstance(value, list | tuple):
        return [_folded(each) for each in value]
    return type(value), value


def _nearest_first(cosines: Mapping[str, float]) -> list[str]:
    return sorted(cosines, key=lambda doc_id: (-round(cosines[doc_id], 6), doc_id))


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _shingles_of(words: list[str]) -> frozenset[str]:
    if len(words) < SHINGLE_WORDS:
        return frozenset(words)
    return frozenset(" ".join(words[at : at + SHINGLE_WORDS]) for at in range(len(words) - SHINGLE_WORDS + 1))


def _fingerprint(text: str) -> _Fingerprint:
    words = _words(text)
    return _Fingerprint(" ".join(words) or text.strip(), _shingles_of(words))


def _are_alike(one: _Fingerprint, other: _Fingerprint) -> bool:
    if one.normalised == other.normalised:
        return True
    smaller, larger = len(one.shingles), len(other.shingles)
    if smaller > larger:
        smaller, larger = larger, smaller
    if smaller == 0 or smaller < MIN_RESEMBLANCE * larger:
        return False
    n_common = len(one.shingles & other.shingles)
    return n_common >= MIN_RESEMBLANCE * (smaller + larger - n_common)
