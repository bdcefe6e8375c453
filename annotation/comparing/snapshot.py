"""Comparisons kept as they are: every ranking and number stays, as facts that JSON can hold, whatever happens later."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import storage.collections
import storage.comparisons
import storage.queries
import storage.training_runs
from annotation.comparing.measure import Coverage, OverallComparison, Part, QueryChange, compare_all
from annotation.comparing.rank import RankedQuery, rank_queries
from annotation.comparing.view import ComparisonView, side_labels, slug_name, to_json
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.setup import clean_text
from annotation.people.permissions import require, why_not_manage
from annotation.ranking.rankers import ALIGNED, BM25, RankingKey, is_imported
from annotation.workspace import Workspace, find_training_run
from era.evaluation.incomplete_judgments import Bounds
from era.evaluation.measures import depth_of
from era.evaluation.overlap import MeanOverlap
from era.evaluation.significance import Difference, PairedDifference
from era.method.reranking import N_REREAD
from storage.records import CollectionRecord, NewSnapshot, SnapshotRanking, SnapshotRecord

_FROM_RUN = ("recipe", "seed", "snapshot_hash", "config", "index_fingerprint", "corpus_fingerprint", "device")
_FROM_RUN_TOO = ("strong_embedder", "light_embedder", "versions")


def kept_side(workspace: Workspace, key: RankingKey) -> tuple[SnapshotRecord, int] | None:
    """Return the snapshot that a ranker key names and the number of the side; None for other keys, or if it is gone."""
    named = key.stored_side
    if named is None:
        return None
    slug, side = named
    with workspace.reading() as session:
        record = storage.comparisons.find_snapshot(session, slug)
    return None if record is None or side >= len(record.about["sides"]) else (record, side)


def side_facts(workspace: Workspace, view: ComparisonView, key: RankingKey, label: str) -> dict[str, Any]:
    """Return {key, label, provenance} of a side.

    Raises:
        NotFoundError: if the training run left no adapter.
        NotReadyError: if the embedders are still being loaded.
    """
    return {"key": key, "label": label, "provenance": _provenance(workspace, view, key)}


def _provenance(workspace: Workspace, view: ComparisonView, key: RankingKey) -> dict[str, Any]:
    kept = kept_side(workspace, key)
    if kept is not None:
        record, place = kept
        return {**record.about["sides"][place]["provenance"], "kept_in": record.slug}
    opened = workspace.open(view.collection_id)
    found: dict[str, Any] = {
        "strong_embedder": asdict(opened.pair.strong.identity),
        "light_embedder": asdict(opened.pair.light.identity),
        "index_fingerprint": opened.index.fingerprint,
        "corpus_fingerprint": opened.corpus.fingerprint,
        "counts_matching_words": key.has_words or key == BM25,
    }
    if key.base == ALIGNED:
        found["n_texts"] = opened.aligned().adapter.provenance["n_texts"]
    if key.is_reread:
        found["n_reread_by_strong_embedder"] = N_REREAD
    number = key.run_id
    if number is None:
        return found
    adapter = opened.trained(find_training_run(workspace, number))[0].adapter
    found |= {name: adapter.provenance[name] for name in (*_FROM_RUN, *_FROM_RUN_TOO) if name in adapter.provenance}
    with workspace.reading() as session:
        run = storage.training_runs.get(session, number)
    return {
        **found,
        "run": run.number,
        "trained_by": run.author,
        "trained_at": (run.finished_at or run.created_at).isoformat(),
        "learned_from": {"queries": run.n_queries, "relevant": run.n_relevant, "not_relevant": run.n_not_relevant},
    }


def overall_facts(overall: OverallComparison) -> dict[str, Any]:
    """Return the numbers of a comparison but those of single queries; `overall_from_facts` reads them back."""
    return {
        "main_measure": overall.main_measure,
        "n_left_out": overall.n_left_out,
        "n_without_relevant": overall.n_without_relevant,
        "n_tests_learned": overall.n_tests_learned,
        "parts": [
            {
                "kind": part.kind,
                "n": part.n,
                "differences": [{name: asdict(each) for name, each in by.items()} for by in part.differences],
                "of_judged": [asdict(each) for each in part.of_judged],
                "bounds": [asdict(each) for each in part.bounds],
            }
            for part in overall.parts
        ],
        "overlaps": [asdict(each) for each in overall.overlaps],
        "coverage": asdict(overall.coverage) if overall.coverage else None,
    }


def _difference(facts: Mapping[str, Any]) -> Difference:
    """Return a difference that was written down; one that was tested has a p value.

    Before near-copies counted once, every query was a case of its own.
    """
    n_groups = facts.get("n_groups", facts["n_better"] + facts["n_same"] + facts["n_worse"])
    made: type[Difference] = PairedDifference if "p_value" in facts else Difference
    return made(**{**facts, "n_groups": n_groups})


def _coverage(facts: Mapping[str, Any]) -> Coverage:
    """Return what was not judged; earlier versions wrote down no more than what to judge next."""
    n_documents = facts["n_documents"]
    return Coverage(tuple(facts["judged"]), facts.get("n_unjudged", n_documents), n_documents)


def query_facts(overall: OverallComparison) -> list[dict[str, Any]]:
    """Return the numbers of each query."""
    return [
        {
            "query": change.query.id,
            "part": change.part,
            "n_relevant": change.n_relevant,
            "values": {measure: list(values) for measure, values in change.values.items()},
            "judged": list(change.judged),
        }
        for change in overall.queries
    ]


def overall_from_facts(
    workspace: Workspace, collection_id: int, facts: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]
) -> OverallComparison:
    """Return the comparison that `overall_facts` and `query_facts` wrote down, without queries that no longer exist."""
    with workspace.reading() as session:
        queries = {query.id: query for query in storage.queries.list_all(session, collection_id)}
    return OverallComparison(
        parts=[
            Part(
                kind=part["kind"],
                n=part["n"],
                differences=[{name: _difference(each) for name, each in by.items()} for by in part["differences"]],
                of_judged=[_difference(each) for each in part.get("of_judged", ())],
                bounds=[Bounds(**each) for each in part.get("bounds", ())],
            )
            for part in facts["parts"]
        ],
        queries=[
            QueryChange(
                query=queries[each["query"]],
                part=each["part"],
                n_relevant=each["n_relevant"],
                values={measure: tuple(values) for measure, values in each["values"].items()},
                judged=tuple(each["judged"]),
            )
            for each in measured
            if each["query"] in queries
        ],
        overlaps=[MeanOverlap(**each) for each in facts["overlaps"]],
        main_measure=facts["main_measure"],
        coverage=_coverage(facts["coverage"]) if facts["coverage"] else None,
        n_left_out=facts["n_left_out"],
        n_without_relevant=facts.get("n_without_relevant", 0),  # earlier snapshots do not tell
        n_tests_learned=facts.get("n_tests_learned", 0),
    )


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
        NotAllowedError: if no one is signed in where that is needed.
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
        while not slug or storage.comparisons.find_snapshot(session, slug) is not None:
            slug = slug_name(secrets.token_hex(16))[:_SLUG_LENGTH]
        return storage.comparisons.create_snapshot(session, replace(new, slug=slug), rankings)


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
        return storage.comparisons.list_snapshots(session, collection_id)


def find_snapshot(workspace: Workspace, slug: str) -> SnapshotRecord:
    """Return a kept comparison.

    Raises:
        NotFoundError: if there is none.
    """
    with workspace.reading() as session:
        record = storage.comparisons.find_snapshot(session, slug)
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
        measured = storage.comparisons.measured(session, record.id)
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
        rows = storage.comparisons.rankings(session, record.id, _JUDGED)
    return {query_id: dict(row.ranking) for query_id, row in rows.items()}


def list_droppable(workspace: Workspace, author: str | None, collection_id: int) -> list[str]:
    """Return the slugs of the kept comparisons that a person may delete."""
    with workspace.reading() as session:
        collection = storage.collections.get(session, collection_id)
        records = storage.comparisons.list_snapshots(session, collection_id)
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
        storage.comparisons.delete_snapshot(session, record.id)


def _why_not_drop(
    workspace: Workspace, author: str | None, collection: CollectionRecord, record: SnapshotRecord
) -> str:
    return why_not_manage(workspace.settings, author, collection, "delete this comparison", record.author)


def judgments_fingerprint(qrels: Mapping[int, Mapping[str, float]]) -> str:
    """Return what names these judgments, whatever their order."""
    ordered = {str(query_id): dict(sorted(judged.items())) for query_id, judged in qrels.items()}
    return hashlib.sha256(json.dumps(ordered, sort_keys=True).encode()).hexdigest()
