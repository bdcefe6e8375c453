"""A comparison as facts that JSON can hold: what was compared and what came out, to be understood years later."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import storage.queries
import storage.snapshots
import storage.training_runs
from annotation.comparing.all_queries import Coverage, OverallComparison, Part, QueryChange
from annotation.comparing.view import ComparisonView
from annotation.ranking.rankers import ALIGNED, BM25, RankingKey, labels_of, list_rankers
from annotation.workspace import Workspace, find_training_run
from era.evaluation.incomplete_judgments import Bounds
from era.evaluation.overlap import MeanOverlap
from era.evaluation.significance import Difference, PairedDifference
from era.method.reranking import N_REREAD
from storage.records import SnapshotRecord

_FROM_RUN = ("recipe", "seed", "snapshot_hash", "config", "index_fingerprint", "corpus_fingerprint", "device")
_FROM_RUN_TOO = ("strong_embedder", "light_embedder", "versions")


def side_labels(workspace: Workspace, view: ComparisonView) -> dict[str, str]:
    """Return what a person calls each side, by key in the order of the sides."""
    return labels_of(list_rankers(workspace, view.collection_id, is_comparing=True), view.sides)


def kept_side(workspace: Workspace, key: RankingKey) -> tuple[SnapshotRecord, int] | None:
    """Return the snapshot that a ranker key names and the number of the side; None for other keys, or if it is gone."""
    named = key.stored_side
    if named is None:
        return None
    slug, side = named
    with workspace.reading() as session:
        record = storage.snapshots.find(session, slug)
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
