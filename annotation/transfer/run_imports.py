"""A ranking that another system made, or this one elsewhere: a TREC run file that can be compared from then on.

It is kept like a comparison of one side, so it is found, described and deleted like those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import storage.documents
import storage.queries
from annotation.comparing.snapshot import MAX_NAME, judgments_fingerprint, keep
from annotation.comparing.view import ComparisonView, to_json
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.queries import query_names
from annotation.ranking.rankers import ALIGNED, Ranker, RankingKey, imported_label
from annotation.transfer.files import queries_in_words
from annotation.transfer.run_files import read_run_file
from annotation.workspace import Workspace
from storage.records import NewSnapshot, SnapshotRanking, SnapshotRecord

_WHOLE = 10**9  # how deep it goes: what a system did not rank it did not find, so no measure looks too deep
_N_NAMED = 5


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """What came of a run file; `remarks` say what of it was left out, in complete sentences."""

    record: SnapshotRecord
    ranker: Ranker
    n_queries: int
    remarks: tuple[str, ...]


def import_run(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, path: Path, name: str = ""
) -> ImportedRun:
    """Keep the rankings of a TREC run file, so that they can be compared and measured like any other.

    Queries are matched by what they are called in files (`judging.queries.query_names`), documents by their ids.

    Args:
        workspace: of this process.
        author: who brings it in.
        collection_id: whose queries are ranked.
        label_set_id: by whose judgments it is measured when it is opened.
        path: of the file.
        name: as the person knows the file; the path's own name if empty.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        FormatError: naming the line that is no place of a ranking, or if the file takes more than it may.
        InvalidInputError: if the file ranks no query or no document of the collection.
        UnknownRecord: if there is no such collection or label set.
    """
    if author is None:
        raise NotAllowedError("Sign in to bring a ranking in.")
    file_name = name or path.name
    run = workspace.reading_places.call(author, "", file_name, read_run_file, path, file_name)
    with workspace.reading() as session:
        queries = storage.queries.list_all(session, collection_id)
        wanted = {doc_id for ranking in run.rankings.values() for doc_id, _ in ranking}
        here = storage.documents.known_ids(session, collection_id, wanted)
    query_ids = {name: query_id for query_id, name in query_names(queries).items()}
    unknown = [name for name in run.rankings if name not in query_ids]
    rankings = {
        query_ids[name]: tuple((doc_id, score) for doc_id, score in ranking if doc_id in here)
        for name, ranking in run.rankings.items()
        if name in query_ids
    }
    n_empty = sum(not ranking for ranking in rankings.values())
    remarks = [*run.remarks, *_remarks(unknown, len(wanted) - len(here), n_empty)]
    if n_empty == len(rankings):
        raise InvalidInputError(" ".join(["Nothing of this file fits here, so nothing was stored.", *remarks]))
    called = Path(file_name).stem[:MAX_NAME] or "run"
    qrels = workspace.standings(label_set_id).qrels()
    view = ComparisonView(collection_id, label_set_id, (ALIGNED, RankingKey("imported")), None)
    about = {
        "is_imported": True,
        "view": to_json(view),
        "sides": [
            {"key": "imported", "label": called, "provenance": {"imported_from": file_name, "imported_by": author}}
        ],
        "judgments": {
            "n_queries": sum(query.id in qrels for query in queries),
            "n_judgments": sum(len(judged) for judged in qrels.values()),
            "fingerprint": judgments_fingerprint(qrels),
        },
        "depth": _WHOLE,
        "n_ranked": len(rankings),
        "is_in_sample": run.is_in_sample,
        "overall": None,
    }
    kept = (SnapshotRanking(0, query_id, ranking, False, run.is_in_sample) for query_id, ranking in rankings.items())
    record = keep(workspace, NewSnapshot("", collection_id, label_set_id, called, "", author, about), kept)
    ranker = Ranker(RankingKey.of_snapshot(record.slug, 0), imported_label(record))
    return ImportedRun(record, ranker, len(rankings), tuple(remarks))


def _remarks(unknown: Sequence[str], n_unknown_documents: int, n_empty: int) -> list[str]:
    """Return in sentences what of a run file was left out."""
    remarks = []
    if unknown:
        named = ", ".join(each[:40] for each in unknown[:_N_NAMED]) + (" ..." if len(unknown) > _N_NAMED else "")
        n = queries_in_words(len(unknown))
        remarks.append(f"Left out: {n} that this collection does not have ({named}).")
    if n_unknown_documents:
        n = "1 document" if n_unknown_documents == 1 else f"{n_unknown_documents:,} documents"
        remarks.append(f"Left out: {n} that this collection does not have.")
    if n_empty:
        n = queries_in_words(n_empty)
        remarks.append(f"For {n} it ranks no document of this collection, which counts as nothing found.")
    return remarks
