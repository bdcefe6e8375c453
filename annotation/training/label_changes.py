"""What was marked otherwise between two training runs, or between one and today."""

from collections.abc import Sequence
from dataclasses import dataclass

import storage.documents
import storage.queries
import storage.training_runs
from annotation.errors import InvalidInputError
from annotation.judging.setup import hidden_queries
from annotation.judging.test_queries import kept_for_testing
from annotation.training.start import Labels
from annotation.workspace import Workspace
from storage.records import QueryRecord


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
