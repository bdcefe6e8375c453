"""BM25, the baseline that learns nothing: bm25s with English stop words and the Snowball stemmer."""

from functools import lru_cache

import bm25s
import Stemmer

from benchmarks.judged_collections import JudgedCollection
from benchmarks.outcomes import DEPTH, Outcome, judge_rankings
from benchmarks.splits import Split
from era.types import ScoredDoc


def search_lexically(collection: JudgedCollection, split: Split) -> Outcome:
    """Rank by BM25 (k1 1.5, b 0.75) of the query text; documents that share no word with it are left out."""
    doc_ids = collection.corpus.doc_ids
    tokens = _tokenize([query.text for query in split.held_out])
    rows, scores = _index(collection).retrieve(tokens, k=min(DEPTH, len(doc_ids)), show_progress=False)
    rankings = [
        [ScoredDoc(doc_ids[row], score) for row, score in zip(row_list, score_list, strict=True) if score > 0]
        for row_list, score_list in zip(rows.tolist(), scores.tolist(), strict=True)
    ]
    return judge_rankings(rankings, split.held_out, collection.qrels)


@lru_cache(maxsize=1)
def _index(collection: JudgedCollection) -> bm25s.BM25:
    index = bm25s.BM25(k1=1.5, b=0.75)
    index.index(_tokenize(collection.corpus.contents(collection.corpus.doc_ids)), show_progress=False)
    return index


def _tokenize(texts: list[str]) -> list[list[str]]:
    tokens: list[list[str]] = bm25s.tokenize(
        texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )
    return tokens
