"""Comparisons kept as they are: every ranking and number stays, whatever is judged, trained or deleted afterwards."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import storage.collections
import storage.queries
import storage.snapshots
from annotation.comparing.all_queries import OverallComparison, compare_all
from annotation.comparing.facts import (
    kept_side,
    overall_facts,
    overall_from_facts,
    query_facts,
    side_facts,
    side_labels,
)
from annotation.comparing.rankings import RankedQuery, rank_queries
from annotation.comparing.view import ComparisonView, slug_name, to_json
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.setup import clean_text
from annotation.people.permissions import require, why_not_manage
from annotation.ranking.rankers import ALIGNED, RankingKey, is_imported
from annotation.workspace import Workspace
from era.evaluation.measures import depth_of
from storage.records import CollectionRecord, NewSnapshot, SnapshotRanking, SnapshotRecord

MAX_NAME = 120  # characters

_JUDGED = -1  # kept like a further side: the judged documents of each query, with their grades
_SLUG_LENGTH = 7


@dataclass(frozen=True, slots=True)
class KeptComparison:
    """A snapshot that is opened again; `overall` is as it was measured then, None if nothing was judged."""

    record: SnapshotRecord
    overall: OverallComparison | None
    words: str


def take(workspace: Workspace, author: str | None, view: ComparisonView, name: str, note: str = "") -> SnapshotRecord:
    """Keep a comparison: all sides' rankings of every judged query and of the open one, and all numbers.

    Args:
        workspace: of this process.
        author: who keeps it.
        view: the comparison.
        name: what it is called.
        note: what else there is to say of it; may be empty.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        InvalidInputError: if the name is missing, name or note are too long, or a measure looks deeper than a stored
            side goes.
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    if author is None:
        raise NotAllowedError("Sign in to keep a comparison.")
    name, note = " ".join(clean_text(name, "name").split()), clean_text(note, "note")
    if not 0 < len(name) <= MAX_NAME:
        raise InvalidInputError(f"Give this comparison a name of at most {MAX_NAME} characters.")
    with workspace.holding_alignments():  # numbers, rankings and facts are of one adapter
        opened = workspace.open(view.collection_id)
        qrels = workspace.standings(view.label_set_id).qrels()
        overall = compare_all(workspace, view, qrels)  # not by what is judged by now, but by the judgments kept below
        with workspace.reading() as session:
            listed = storage.queries.list_all(session, view.collection_id)
        queries = [query for query in listed if query.id in qrels or query.id == view.query_id]
        depth = depth_of(view.measures)
        rankings = [rank_queries(workspace, opened, key, queries, depth, view.is_in_sample) for key in view.sides]
        labels = side_labels(workspace, view)
        flattered = ", in sample" if view.is_in_sample else ""
        about = {
            "view": to_json(view),
            "sides": [side_facts(workspace, view, key, labels[key] + flattered) for key in view.sides],
            "judgments": {
                "n_queries": sum(query.id in qrels for query in queries),
                "n_judgments": sum(len(judged) for judged in qrels.values()),
                "fingerprint": judgments_fingerprint(qrels),
            },
            "depth": depth,
            "overall": overall_facts(overall) if overall else None,
        }
    measured = query_facts(overall) if overall else ()
    new = NewSnapshot("", view.collection_id, view.label_set_id, name, note, author, about, measured)
    return keep(workspace, new, _rows(rankings, qrels))


def keep(workspace: Workspace, new: NewSnapshot, rankings: Iterable[SnapshotRanking]) -> SnapshotRecord:
    """Store a comparison under an address of its own."""
    with workspace.writing() as session:
        slug = ""
        while not slug or storage.snapshots.find(session, slug) is not None:
            slug = slug_name(secrets.token_hex(16))[:_SLUG_LENGTH]
        return storage.snapshots.create(session, replace(new, slug=slug), rankings)


def _rows(
    rankings: Sequence[Mapping[int, RankedQuery]], qrels: Mapping[int, Mapping[str, float]]
) -> Iterator[SnapshotRanking]:
    for side, by_query in enumerate(rankings):
        for query_id, ranked in by_query.items():
            documents = tuple((doc.doc_id, doc.score) for doc in ranked.ranking)
            is_held_out = ranked.is_learned and not ranked.is_flattered
            yield SnapshotRanking(side, query_id, documents, is_held_out, ranked.is_flattered)
    for query_id, judged in qrels.items():
        yield SnapshotRanking(_JUDGED, query_id, tuple(judged.items()), False)


def list_snapshots(workspace: Workspace, collection_id: int) -> Sequence[SnapshotRecord]:
    """Return the kept comparisons of a collection, newest first."""
    with workspace.reading() as session:
        return storage.snapshots.list_for(session, collection_id)


def find_snapshot(workspace: Workspace, slug: str) -> SnapshotRecord:
    """Return a kept comparison.

    Raises:
        NotFoundError: if there is none.
    """
    with workspace.reading() as session:
        record = storage.snapshots.find(session, slug)
    if record is None:
        raise NotFoundError("This kept comparison does not exist (any more). Choose another one from the list.")
    return record


def snapshot_view(record: SnapshotRecord) -> ComparisonView:
    """Return the comparison of a snapshot's stored sides, measured as then; an imported run stands beside `aligned`."""
    then = record.about["view"]
    stored = tuple(RankingKey.of_snapshot(record.slug, side) for side in range(len(record.about["sides"])))
    return ComparisonView(
        collection_id=record.collection_id,
        label_set_id=record.label_set_id,
        sides=(ALIGNED, *stored) if is_imported(record) else stored,
        query_id=then["query"],
        measures=tuple(then["measures"]),
        threshold=then["threshold"],
        is_in_sample=then["in_sample"],
    )


def kept_comparison(workspace: Workspace, view: ComparisonView) -> KeptComparison | None:
    """Return what was measured when the snapshot was taken, if the view shows one snapshot as it was taken.

    With other sides, measures or judgments in play there is nothing to return: the stored rankings are then measured
    anew, by what is judged now.
    """
    kept = kept_side(workspace, view.sides[0])
    if kept is None:
        return None
    record = kept[0]
    then = snapshot_view(record)
    if (view.sides, view.label_set_id, view.measures, view.threshold) != (
        then.sides, then.label_set_id, then.measures, then.threshold,
    ):  # fmt: skip
        return None
    facts = record.about["overall"]
    if facts is None:
        return KeptComparison(record, None, measured_then(record))
    with workspace.reading() as session:
        measured = storage.snapshots.measured(session, record.id)
    overall = overall_from_facts(workspace, record.collection_id, facts, measured)
    return KeptComparison(record, overall, measured_then(record))


def measured_then(record: SnapshotRecord) -> str:
    """Return when and with how much the numbers of a snapshot were measured, as a sentence."""
    n_queries = record.about["judgments"]["n_queries"]
    noun = "query" if n_queries == 1 else "queries"
    return f"As measured on {record.created_at.day} {record.created_at:%b %Y} with {n_queries:,} judged {noun}."


def judgments_then(workspace: Workspace, record: SnapshotRecord) -> dict[int, dict[str, float]]:
    """Return what was agreed when the snapshot was taken: query id -> document id -> grade."""
    with workspace.reading() as session:
        rows = storage.snapshots.rankings(session, record.id, _JUDGED)
    return {query_id: dict(row.ranking) for query_id, row in rows.items()}


def list_droppable(workspace: Workspace, author: str | None, collection_id: int) -> list[str]:
    """Return the slugs of the kept comparisons that a person may delete."""
    with workspace.reading() as session:
        collection = storage.collections.get(session, collection_id)
        records = storage.snapshots.list_for(session, collection_id)
    return [each.slug for each in records if not _why_not_drop(workspace, author, collection, each)]


def drop(workspace: Workspace, author: str | None, slug: str) -> None:
    """Delete a kept comparison with its rankings.

    Raises:
        NotFoundError: if there is none.
        NotAllowedError: if it is neither the person's own nor theirs to manage.
    """
    record = find_snapshot(workspace, slug)
    with workspace.writing() as session:
        collection = storage.collections.get(session, record.collection_id)
        require(_why_not_drop(workspace, author, collection, record))
        storage.snapshots.delete(session, record.id)


def _why_not_drop(
    workspace: Workspace, author: str | None, collection: CollectionRecord, record: SnapshotRecord
) -> str:
    return why_not_manage(workspace.settings, author, collection, "delete this comparison", record.author)


def judgments_fingerprint(qrels: Mapping[int, Mapping[str, float]]) -> str:
    """Return what names these judgments, whatever their order."""
    ordered = {str(query_id): dict(sorted(judged.items())) for query_id, judged in qrels.items()}
    return hashlib.sha256(json.dumps(ordered, sort_keys=True).encode()).hexdigest()
