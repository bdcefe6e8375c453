"""Matching words: a BM25 run over the same documents, as a second signal beside the adapted query vector.

The adapter moves one vector in a small space; names, numbers and rare terms may get lost in it. They are counted here,
and added to the cosine where that is asked for. Nothing here is learned.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from era.corpus import Corpus
from era.encoders.base import Vectors
from era.index.dense import DenseIndex
from era.index.words import WordReader
from era.types import ScoredDoc

Terms = Mapping[str, float]
"""Stems, or pairs of characters, with what they weigh in a query or a document."""

WORD_WEIGHT = 0.5
"""Of a BM25 score before labels say otherwise, when both signals are counted in standard deviations over the corpus."""

_DEPTH = 100  # candidates of each signal
_N_SAMPLED = 1000  # documents that tell how much cosines vary


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """The documents that share a word with one query, best first.

    Attributes:
        doc_ids: c of them.
        scores: (c,) BM25, in standard deviations of the scores of all documents of the corpus.
        vectors: (c, m) of these documents.
    """

    doc_ids: Sequence[str]
    scores: Vectors
    vectors: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What one query may find, the nearest first: each document with the two parts of its score.

    Attributes:
        doc_ids: c of them.
        cosines: (c,) of query and document.
        words: (c,) what matching words add with a weight of 1.
    """

    doc_ids: Sequence[str]
    cosines: NDArray[np.float64]
    words: NDArray[np.float64]

    def order(self, weight: float, k: int) -> NDArray[np.int64]:
        """Return (min(k, c),): the places of the best documents, best first, with words of this weight."""
        return np.argsort(-(self.cosines + weight * self.words), kind="stable")[:k]

    def ranking(self, weight: float, k: int) -> list[ScoredDoc]:
        """Return the `min(k, c)` best documents."""
        scores = self.cosines + weight * self.words
        return [ScoredDoc(self.doc_ids[place], float(scores[place])) for place in self.order(weight, k)]


class LexicalIndex:
    """The words of a corpus beside its vectors, by stems of its language, scored by BM25 (k1 1.5, b 0.75)."""

    def __init__(self, corpus: Corpus, index: DenseIndex) -> None:
        """Count the words of every document's title and text; `index` holds vectors of the same documents."""
        from bm25s import BM25  # takes half a second, and a page can be shown meanwhile
        from scipy.sparse import csc_array

        self._corpus = corpus
        self._doc_ids = list(corpus.doc_ids)
        self._row_of = {doc_id: row for row, doc_id in enumerate(self._doc_ids)}
        self._read_as: Mapping[str, Terms] = {}
        self._take(index)
        contents = corpus.contents(self._doc_ids)
        self._reader = WordReader.of(contents)
        tokens = self._reader.read(contents)
        self._places: Mapping[str, int] = {}  # of stems, as columns of the weights
        self._weights: csc_array = csc_array((len(tokens), 0), dtype=np.float32)  # (N, V)
        if any(tokens):
            bm25 = BM25(k1=1.5, b=0.75)
            bm25.index(tokens, show_progress=False)
            columns = (bm25.scores["data"], bm25.scores["indices"], bm25.scores["indptr"])
            self._places = bm25.vocab_dict
            self._weights = csc_array(columns, (len(tokens), len(columns[-1]) - 1))

    def _take(self, index: DenseIndex) -> None:
        self._index = index
        self._sample = index.vectors(index.sample(_N_SAMPLED, seed=0))

    def beside(self, index: DenseIndex) -> "LexicalIndex":
        """Return the same words beside other vectors of the same documents; nothing is counted again."""
        other = copy(self)
        other._take(index)
        return other

    def reading_as(self, text: str, terms: Terms) -> "LexicalIndex":
        """Return the same words, with `text` standing for these terms where it is searched for.

        What all terms weigh together does not count where words are added to cosines.
        """
        other = copy(self)
        other._read_as = {text: terms}
        return other

    def terms(self, text: str) -> Terms:
        """Return how often `text` has each of its stems that some document has as well, or what it is read as."""
        if text in self._read_as:
            return self._read_as[text]
        [stems] = self._reader.read([text])
        return Counter(stem for stem in stems if stem in self._places)

    def document_terms(self, doc_id: str) -> Terms:
        """Return what each stem of a document adds to its score in a query that has the stem once.

        Raises:
            KeyError: if there is no such document.
        """
        row = np.int32(self._row_of[doc_id])  # of the type that rows have, which are else copied to be searched
        [stems] = self._reader.read(self._corpus.contents([doc_id]))
        data, indices, indptr = self._weights.data, self._weights.indices, self._weights.indptr
        found = {}
        for stem in dict.fromkeys(stems):
            start, end = indptr[self._places[stem]], indptr[self._places[stem] + 1]
            found[stem] = float(data[start + indices[start:end].searchsorted(row)])
        return found

    def scores(self, terms: Terms) -> Vectors:
        """Return (N,): the BM25 score of each document, in the order of the corpus, for a query of these terms."""
        known = [stem for stem in terms if stem in self._places]
        weights = np.array([terms[stem] for stem in known], np.float32)
        scores: Vectors = self._weights[:, [self._places[stem] for stem in known]] @ weights
        return scores

    def search(self, text: str, k: int) -> tuple[dict[str, float], float]:
        """Return the documents that share a word with `text`, at most the best k, and the spread of all scores.

        Returns:
            Document id -> BM25 score > 0; standard deviation of the scores over the corpus.
        """
        scores = self.scores(self.terms(text))
        rows = np.flatnonzero(scores > 0)
        if len(rows) > k:
            rows = rows[scores[rows] >= np.partition(scores[rows], -k)[-k]]
        rows = rows[np.argsort(-scores[rows], kind="stable")[:k]]
        return {self._doc_ids[row]: float(scores[row]) for row in rows}, float(scores.std())

    def matching(self, text: str, k: int) -> Matching:
        """Return what words say of the documents that one ranking of k is made of.

        Args:
            text: of the query, without instruction.
            k: at least 1.
        """
        found, spread = self.search(text, n_candidates(k))
        scores = np.array(list(found.values()), np.float32)
        return Matching(list(found), scores / spread if spread > 0 else scores, self._index.vectors(found))

    def rank(
        self, texts: Sequence[str], vectors: Vectors, k: int, weights: float | Sequence[float] = WORD_WEIGHT
    ) -> list[list[ScoredDoc]]:
        """Return for each query the `min(k, N)` documents of the highest cosine plus what matching words add.

        Both signals are brought to one scale by their standard deviation over the corpus, so no score depends on which
        other documents were retrieved. Which documents are scored does: those that either signal puts first, as many
        as `n_candidates` says, so that a deeper ranking may begin with others.

        Args:
            texts: n query texts, without instructions.
            vectors: (n, m) query vectors of length 1.
            k: at least 1.
            weights: of words, for all queries or for each.
        """
        matching = {text: self.matching(text, k) for text in dict.fromkeys(texts)}
        found = self.candidates([matching[text] for text in texts], vectors, k)
        each_weight = np.broadcast_to(weights, len(texts)).tolist()
        return [each.ranking(weight, k) for each, weight in zip(found, each_weight, strict=True)]

    def candidates(self, matching: Sequence[Matching], vectors: Vectors, k: int) -> list[Candidates]:
        """Return what n queries, searched for with (n, m) vectors of length 1, may find in rankings of k.

        Args:
            matching: what `matching` returned for each query and this k.
            vectors: as in `rank`.
            k: at least 1.
        """
        found = []
        nearest = self._index.search(vectors, n_candidates(k))
        for words, vector, ranking in zip(matching, vectors, nearest, strict=True):
            places = {doc.doc_id: place for place, doc in enumerate(ranking)}
            added = np.zeros(len(ranking) + len(words.doc_ids))
            cosines = [doc.score for doc in ranking]
            own_cosines = (words.vectors @ vector).tolist()
            for doc_id, cosine, score in zip(words.doc_ids, own_cosines, words.scores.tolist(), strict=True):
                place = places.setdefault(doc_id, len(places))
                if place == len(cosines):
                    cosines.append(cosine)
                added[place] = score
            found.append(Candidates(list(places), np.array(cosines), self._spread(vector) * added[: len(places)]))
        return found

    def added_by_mixtures(
        self, parts: Sequence[Terms], mixtures: NDArray[np.float64], vector: Vectors, doc_ids: Sequence[str]
    ) -> NDArray[np.float64]:
        """Return (s, c): what each of s mixtures of terms adds to the cosines of c documents with a weight of 1.

        Args:
            parts: p of them; each is scored once, as scores of mixtures are mixtures of scores.
            mixtures: (s, p), >= 0; how much of each part is in each mixture.
            vector: (m,) of length 1, that the query is searched with.
            doc_ids: c documents, ranked or not.
        """
        scores = np.stack([self.scores(terms) for terms in parts])  # (p, N)
        variances = np.einsum("sp,pq,sq->s", mixtures, np.cov(scores, bias=True), mixtures)
        own = mixtures @ scores[:, [self._row_of[doc_id] for doc_id in doc_ids]]
        spreads = np.sqrt(np.where(variances > 0, variances, 1))[:, None]
        added: NDArray[np.float64] = self._spread(vector) * own / spreads
        return added

    def _spread(self, vector: Vectors) -> float:
        """Return the standard deviation of the cosines of all documents, as a sample of them tells."""
        return float((self._sample @ vector).std())

    def added(self, text: str, vector: Vectors, k: int, weight: float = WORD_WEIGHT) -> dict[str, float]:
        """Return what matching words add to the cosine of each document in a ranking of k; nothing to those left out.

        Args:
            text: of the query, without instruction.
            vector: (m,) of length 1, that the query is searched with.
            k: at least 1.
            weight: of words.
        """
        words, spread = self.matching(text, k), self._spread(vector)
        return dict(zip(words.doc_ids, (weight * spread * words.scores).tolist(), strict=True))


def n_candidates(k: int) -> int:
    """Return how many documents of each signal are scored by both for a ranking of k; it decides what is ranked."""
    return max(k, _DEPTH)
