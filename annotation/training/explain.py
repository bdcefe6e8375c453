"""What is kept of a training run, its provenance: labels, embedders, cost; and what was marked otherwise since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import storage.documents
import storage.label_sets
import storage.queries
import storage.training_runs
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging.setup import hidden_queries
from annotation.judging.test_queries import kept_for_testing
from annotation.training.start import Labels
from annotation.workspace import Workspace
from era.errors import DamagedFileError
from era.intact import read_json
from storage.records import QueryRecord, TrainingRunRecord


@dataclass(frozen=True, slots=True)
class TaughtQuery:
    """A query of the label snapshot; `is_hidden` while this person may still judge it."""

    query: QueryRecord
    n_relevant: int
    n_not_relevant: int
    is_hidden: bool


@dataclass(frozen=True, slots=True)
class SnapshotMark:
    """A mark that a training run learned from."""

    doc_id: str
    title: str
    grade: float


@dataclass(frozen=True, slots=True)
class RunDetails:
    """A training run with what does not fit into its row of the list.

    Attributes:
        run: the run.
        label_set: name of the label set that it learned from.
        queries: what it learned from, in the order of the queries.
        n_for_testing: how many of these queries are kept for testing now.
        made_with: embedders, fingerprints and versions; empty for a run that left none.
        rerun_of: number of the run that it repeats; None if it repeats none, or that one was deleted.
    """

    run: TrainingRunRecord
    label_set: str
    queries: Sequence[TaughtQuery]
    n_for_testing: int
    made_with: Mapping[str, Any]
    rerun_of: int | None


def details(workspace: Workspace, author: str | None, training_run_id: int) -> RunDetails:
    """Return what is kept of a training run."""
    with workspace.reading() as session:
        run = storage.training_runs.get(session, training_run_id)
        labels: Labels = storage.training_runs.label_snapshot(session, training_run_id)
        label_set = storage.label_sets.get(session, run.label_set_id)
        records = [storage.queries.get(session, query_id) for query_id in sorted(map(int, labels))]
        runs = storage.training_runs.list_for(session, run.collection_id)
    hidden = hidden_queries(workspace, author, run.collection_id, run.label_set_id, [record.id for record in records])
    queries = [
        TaughtQuery(
            record,
            sum(grade > 0 for grade in labels[str(record.id)].values()),
            sum(grade <= 0 for grade in labels[str(record.id)].values()),
            record.id in hidden,
        )
        for record in records
    ]
    n_for_testing = len(kept_for_testing(workspace, run.label_set_id) & {record.id for record in records})
    repeated = next((each.number for each in runs if each.id == run.rerun_of), None)
    made_with = run.config or _saved_provenance(workspace, run)
    return RunDetails(run, label_set.name, queries, n_for_testing, made_with, repeated)


def snapshot_marks(
    workspace: Workspace, author: str | None, training_run_id: int, query_id: int
) -> Sequence[SnapshotMark]:
    """Return the marks of one query that a training run learned from, the highest grades first.

    Raises:
        NotFoundError: if it learned nothing from this query, or the person may still judge it.
    """
    with workspace.reading() as session:
        run = storage.training_runs.get(session, training_run_id)
        labels: Labels = storage.training_runs.label_snapshot(session, training_run_id)
        marks = labels.get(str(query_id))
        if marks is None:
            raise NotFoundError("This run learned nothing from that query.")
        titles = storage.documents.get_many(session, run.collection_id, marks)
    if hidden_queries(workspace, author, run.collection_id, run.label_set_id, [query_id]):
        raise NotFoundError("You may still judge this query, so the marks of others stay hidden until you have.")
    found = [
        SnapshotMark(doc_id, titles[doc_id].title if doc_id in titles else doc_id, grade)
        for doc_id, grade in marks.items()
    ]
    return sorted(found, key=lambda mark: -mark.grade)


def _saved_provenance(workspace: Workspace, run: TrainingRunRecord) -> Mapping[str, Any]:
    """Return what the adapter says it was made with, for runs whose row does not say so yet."""
    try:
        about = read_json(workspace.adapter_folder(run.id) / "adapter.json")
        provenance: Mapping[str, Any] = about["provenance"]
    except (DamagedFileError, KeyError):
        return {}
    return {**provenance.get("config", {}), **provenance}


@dataclass(frozen=True, slots=True)
class MarkChange:
    """A document that is marked otherwise; a grade is None where it is not marked."""

    doc_id: str
    title: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class LabelChanges:
    """What changed from one set of labels to another.

    Attributes:
        n_added: marks that only the second has.
        n_removed: marks that only the first has.
        n_changed: marks with another grade.
        n_hidden: queries with changes left out, since this person may still judge them.
        queries: the queries with a change and what changed, in the order of the queries.
    """

    n_added: int
    n_removed: int
    n_changed: int
    n_hidden: int
    queries: Sequence[tuple[QueryRecord, Sequence[MarkChange]]]


def changed_marks(before: Labels, after: Labels) -> dict[str, dict[str, tuple[float | None, float | None]]]:
    """Return query id -> document id -> (grade before, grade after), of what differs."""
    found: dict[str, dict[str, tuple[float | None, float | None]]] = {}
    for query_id in sorted({*before, *after}, key=int):
        old, new = before.get(query_id, {}), after.get(query_id, {})
        differing = [doc_id for doc_id in {**old, **new} if old.get(doc_id) != new.get(doc_id)]
        if differing:
            found[query_id] = {doc_id: (old.get(doc_id), new.get(doc_id)) for doc_id in differing}
    return found


def changes_between(
    workspace: Workspace, author: str | None, training_run_id: int, other_run_id: int | None
) -> LabelChanges:
    """Return what changed from the labels of a training run to those of another one, or to today's.

    Of queries that are kept for testing today, only those count that the run learned from.

    Raises:
        InvalidInputError: if the two belong to different collections.
    """
    with workspace.reading() as session:
        run = storage.training_runs.get(session, training_run_id)
        before: Labels = storage.training_runs.label_snapshot(session, run.id)
        label_set_ids = {run.label_set_id}
        if other_run_id is not None:
            other = storage.training_runs.get(session, other_run_id)
            if other.collection_id != run.collection_id:
                raise InvalidInputError("These training runs belong to different collections.")
            label_set_ids.add(other.label_set_id)
            after: Labels = storage.training_runs.label_snapshot(session, other.id)
    if other_run_id is None:
        kept = kept_for_testing(workspace, run.label_set_id)
        qrels = workspace.standings(run.label_set_id).qrels()
        after = {str(q): judged for q, judged in qrels.items() if q not in kept or str(q) in before}
    changes = changed_marks(before, after)
    hidden = {
        str(query_id)
        for label_set_id in label_set_ids
        for query_id in hidden_queries(workspace, author, run.collection_id, label_set_id, map(int, changes))
    }
    shown = {query_id: marks for query_id, marks in changes.items() if query_id not in hidden}
    pairs = [pair for marks in shown.values() for pair in marks.values()]
    with workspace.reading() as session:
        titles = storage.documents.get_many(
            session, run.collection_id, {doc_id for marks in shown.values() for doc_id in marks}
        )
        records = {query_id: storage.queries.get(session, int(query_id)) for query_id in shown}
    return LabelChanges(
        n_added=sum(before is None for before, _ in pairs),
        n_removed=sum(after is None for _, after in pairs),
        n_changed=sum(before is not None and after is not None for before, after in pairs),
        n_hidden=len(hidden),
        queries=[
            (
                records[query_id],
                [
                    MarkChange(doc_id, titles[doc_id].title if doc_id in titles else doc_id, *grades)
                    for doc_id, grades in marks.items()
                ],
            )
            for query_id, marks in shown.items()
        ],
    )
