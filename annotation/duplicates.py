"""Which documents say the same, word for word or nearly so, that one judgment may be offered for all of them.

Likeness is measured on words alone. The index only proposes which documents to compare; it never decides.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from era.corpus import Corpus
from era.index import DenseIndex

MIN_RESEMBLANCE = 0.8
"""Jaccard similarity of the shingles, the resemblance of Broder 1997, On the resemblance and containment of documents.

The threshold is our choice, stricter than clustering of web pages needs: what is marked once counts for all.
"""

SHINGLE_WORDS = 3
MIN_COSINE = 0.95
N_NEIGHBOURS = 10

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    normalised: str
    shingles: frozenset[str]


def shingles(text: str) -> frozenset[str]:
    """Return the runs of three words of a text, or its words if it has fewer; words are case-folded, NFKC."""
    return _shingles_of(_words(text))


def near_duplicates(texts: Mapping[str, str], candidates: Iterable[tuple[str, str]] | None = None) -> list[list[str]]:
    """Group the documents that say the same; likeness is passed on, so the ends of a chain may differ more.

    Args:
        texts: by document id.
        candidates: the pairs to compare, each once in any order; None compares all.

    Returns:
        Groups of two or more ids, groups and ids in the order of `texts`.

    Raises:
        ValueError: if a candidate has no text.
    """
    prints = {doc_id: _fingerprint(text) for doc_id, text in texts.items()}
    group_of = {doc_id: doc_id for doc_id in texts}
    members = {doc_id: [doc_id] for doc_id in texts}
    for one, other in combinations(texts, 2) if candidates is None else candidates:
        if one not in prints or other not in prints:
            raise ValueError(f"Expected pairs of the {len(texts)} given documents, got {(one, other)}.")
        kept, joined = group_of[one], group_of[other]
        if kept != joined and _are_alike(prints[one], prints[other]):
            members[kept] += members[joined]
            for doc_id in members.pop(joined):
                group_of[doc_id] = kept
    place_of = {doc_id: place for place, doc_id in enumerate(texts)}
    groups = [sorted(group, key=place_of.__getitem__) for group in members.values() if len(group) > 1]
    return sorted(groups, key=lambda group: place_of[group[0]])


def duplicates_of(doc_ids: Sequence[str], corpus: Corpus, index: DenseIndex) -> dict[str, list[str]]:
    """Return for each given document those that say the same, nearest first; an empty list where there is none.

    Compared are the given documents with each other, and each with those of its `N_NEIGHBOURS` nearest neighbours in
    the whole index whose cosine is at least `MIN_COSINE`. Likeness is not passed on.

    Args:
        doc_ids: some fifty at most, such as those on the screen; the index is searched once for all.
        corpus: where their words are.
        index: of the same documents.

    Raises:
        KeyError: if a document is not in the index or not in the corpus.
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
    compared = dict.fromkeys([*given, *(other for others in near.values() for other in others)])
    prints = {doc_id: _fingerprint(corpus[doc_id].content) for doc_id in compared}
    return {
        doc_id: _nearest_first({o: cosine for o, cosine in others.items() if _are_alike(prints[doc_id], prints[o])})
        for doc_id, others in near.items()
    }


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
