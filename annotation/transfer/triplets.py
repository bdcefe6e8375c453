"""What people judged as training data for sentence-transformers: anchor, positive and negative texts, a line each."""

import json
from collections.abc import Iterator, Mapping, Sequence

import storage.collections
import storage.label_sets
import storage.queries
from annotation.errors import InvalidInputError
from annotation.judging.setup import hidden_queries, left_out
from annotation.judging.test_queries import learnable
from annotation.retrieval.open_collection import OpenCollection
from annotation.transfer.files import ExportFile, file_name, queries_in_words
from annotation.workspace import Workspace
from era.encoders.base import INSTRUCTION_TEMPLATE
from era.method.candidates import POSITIVE_MARGIN
from era.types import Query
from storage.records import QueryRecord

MAX_NEGATIVES = 100
_MINING_DEPTH = 100


def export_triplets(workspace: Workspace, author: str | None, label_set_id: int, n_negatives: int = 5) -> ExportFile:
    """Return the agreed judgments as JSON Lines that `datasets.load_dataset("json", data_files=...)` reads.

    Every relevant document of a query is put beside each of its negatives. These are what was judged not relevant;
    where that is fewer than asked for, unjudged documents that the light model ranks high fill up, but none that it
    scores within 5 % of the weakest relevant one, since that may be relevant too. No two texts of a triplet are the
    same but for blanks, and no negative is the text of a relevant document. Queries that others have judged and the
    author may still judge are left out, and so are those that are kept for testing.

    Args:
        workspace: of this process.
        author: who asks.
        label_set_id: whose judgments.
        n_negatives: for each query, 1 to 100.

    Raises:
        InvalidInputError: if the number is out of range, or no query has a relevant document.
        NotReadyError: if the embedders are still being loaded.
        UnknownRecord: if there is no such label set.
    """
    if not 1 <= n_negatives <= MAX_NEGATIVES:
        raise InvalidInputError(f"From 1 to {MAX_NEGATIVES} negatives can be written for each query.")
    with workspace.reading() as session:
        label_set = storage.label_sets.get(session, label_set_id)
        collection = storage.collections.get(session, label_set.collection_id)
        queries = {query.id: query for query in storage.queries.list_all(session, collection.id)}
    opened, qrels = workspace.open(collection.id), learnable(workspace, label_set_id)
    n_kept = len(workspace.standings(label_set_id).qrels()) - len(qrels)
    hidden = hidden_queries(workspace, author, collection.id, label_set_id, qrels)
    lines: list[str] = []
    n_mined = n_without = n_alike = 0
    for query_id, judged in qrels.items():
        query = queries.get(query_id)
        here = {doc_id: grade for doc_id, grade in judged.items() if doc_id in opened.corpus}
        positives = sorted((doc_id for doc_id in here if here[doc_id] > 0), key=lambda doc_id: -here[doc_id])
        if query is None or query_id in hidden or not positives:
            continue
        texts = _Texts(opened, query)
        answers = texts.apart_from(positives, [])
        negatives = texts.apart_from([doc_id for doc_id in here if here[doc_id] <= 0], positives)
        n_alike += len(here) - len(answers) - len(negatives)
        ranked = _ranked_below(opened, query, here, positives) if len(negatives) < n_negatives else []
        mined = texts.apart_from(ranked, [*positives, *negatives])[: max(n_negatives - len(negatives), 0)]
        lines += texts.triplets(answers, [*negatives[:n_negatives], *mined])
        n_mined, n_without = n_mined + len(mined), n_without + (not negatives and not mined)
    if not lines and hidden:
        raise InvalidInputError(left_out(len(hidden)))
    if not lines:
        raise InvalidInputError("There is nothing to learn from yet. Mark at least one document as relevant first.")
    remarks = [f"{len(lines):,} triplets; {n_mined:,} negatives were not judged but ranked high by the light model."]
    remarks += [f"Left out, since no negative was found: {queries_in_words(n_without)}."] if n_without else []
    if n_alike:
        n = "1 judged document" if n_alike == 1 else f"{n_alike:,} judged documents"
        remarks.append(f"Left out, since they say the same as a relevant document, another one or the query: {n}.")
    remarks += [f"Left out, since they are kept for testing: {queries_in_words(n_kept)}."] if n_kept else []
    if hidden:
        remarks.append(left_out(len(hidden)))
    name = file_name(collection.name, label_set.name, "triplets", ending=".jsonl")
    return ExportFile(name, "".join(lines).encode("utf-8"), "application/jsonl", tuple(remarks))


def _ranked_below(
    opened: OpenCollection, query: QueryRecord, judged: Mapping[str, float], positives: Sequence[str]
) -> list[str]:
    """Return unjudged documents that the light model ranks high, yet surely below what is relevant; the best first."""
    light = opened.light()
    vectors = light.query_vectors([Query(str(query.id), query.text, query.instruction)])
    weakest = float((opened.index.vectors(positives) @ vectors[0]).min())
    [ranking] = opened.index.search(vectors, _MINING_DEPTH + len(judged))
    ceiling = POSITIVE_MARGIN * weakest if weakest > 0 else weakest
    return [doc.doc_id for doc in ranking if doc.doc_id not in judged and doc.score < ceiling]


class _Texts:
    """The texts of the documents of one query; blanks do not tell two apart."""

    def __init__(self, opened: OpenCollection, query: QueryRecord) -> None:
        self._library = opened
        self._anchor = query.text
        if query.instruction:
            self._anchor = INSTRUCTION_TEMPLATE.format(instruction=query.instruction, text=query.text)
        self._asked = {_words(query.text), _words(self._anchor)}

    def apart_from(self, doc_ids: Sequence[str], others: Sequence[str]) -> list[str]:
        """Return the documents of which each says something else than those before it, than others and the query."""
        said = self._asked | {_words(self._library.corpus[doc_id].content) for doc_id in others}
        kept = []
        for doc_id in doc_ids:
            words = _words(self._library.corpus[doc_id].content)
            if words not in said:
                said.add(words)
                kept.append(doc_id)
        return kept

    def triplets(self, positives: Sequence[str], negatives: Sequence[str]) -> Iterator[str]:
        """Yield a line for each positive with each negative."""
        corpus = self._library.corpus
        for positive in positives:
            for negative in negatives:
                texts = {"positive": corpus[positive].content, "negative": corpus[negative].content}
                yield f"{json.dumps({'anchor': self._anchor, **texts}, ensure_ascii=False)}\n"


def _words(text: str) -> str:
    return " ".join(text.split())
