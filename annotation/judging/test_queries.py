"""Labelled queries that are kept for testing: no training run learns from them, so they compare runs cleanly."""

import numpy as np

import storage.collections
import storage.label_sets
import storage.queries
from annotation.errors import InvalidInputError
from annotation.people.permissions import require, why_not_keep_for_testing
from annotation.retrieval.open_collection import Judged, group_numbers
from annotation.workspace import Workspace

MIN_LABELLED = 20
"""Labelled queries from which on some are better kept for testing than learned from."""

_SHARE = 0.25
_MIN_GROUPS = 8


def kept_for_testing(workspace: Workspace, label_set_id: int) -> frozenset[int]:
    """Return the queries of a label set that are kept for testing."""
    with workspace.reading() as session:
        return storage.queries.kept_for_testing(session, label_set_id)


def learnable(workspace: Workspace, label_set_id: int) -> Judged:
    """Return what is agreed on the queries that may be learned from."""
    kept = kept_for_testing(workspace, label_set_id)
    qrels = workspace.standings(label_set_id).qrels()
    return {query_id: grades for query_id, grades in qrels.items() if query_id not in kept}


def keep_some(workspace: Workspace, author: str | None, collection_id: int, label_set_id: int) -> int:
    """Keep a quarter of the labelled queries for testing, and return how many these are.

    Whole groups of near-copies are drawn at random. The draw is that of the label set: who lets them go and draws again
    from the same labels gets the same ones.

    Raises:
        NotAllowedError: if somebody else alone may.
        InvalidInputError: if some are kept already, too few are labelled or ask for different things, or label set and
            collection do not belong together.
        NotReadyError: if the embedders are still being loaded.
    """
    _require_place(workspace, author, collection_id, label_set_id)
    qrels = workspace.standings(label_set_id).qrels()
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, collection_id)
    labelled = [query for query in listed if any(grade > 0 for grade in qrels.get(query.id, {}).values())]
    if len(labelled) < MIN_LABELLED:
        raise InvalidInputError(f"This needs {MIN_LABELLED} queries with something relevant.")
    groups = group_numbers(workspace.open(collection_id), labelled, qrels)
    n_groups = len(set(groups.values()))
    if n_groups < _MIN_GROUPS:
        raise InvalidInputError(
            f"These queries ask for {n_groups} different things; from {_MIN_GROUPS} on some can be kept for testing."
        )
    drawn = set(np.random.default_rng(label_set_id).choice(n_groups, round(_SHARE * n_groups), replace=False).tolist())
    chosen = [query_id for query_id, group in groups.items() if group in drawn]
    with workspace.writing() as session:
        if storage.queries.kept_for_testing(session, label_set_id):
            raise InvalidInputError("Some queries are kept for testing already. Let them go to draw anew.")
        return storage.queries.keep_for_testing(session, label_set_id, chosen, author or "")


def release(workspace: Workspace, author: str | None, collection_id: int, label_set_id: int) -> int:
    """Let all queries that are kept for testing be learned from again, and return how many these are.

    Raises:
        NotAllowedError: if somebody else alone may.
        InvalidInputError: if label set and collection do not belong together.
    """
    _require_place(workspace, author, collection_id, label_set_id)
    with workspace.writing() as session:
        kept = storage.queries.kept_for_testing(session, label_set_id)
        return storage.queries.learn_from_again(session, label_set_id, kept)


def _require_place(workspace: Workspace, author: str | None, collection_id: int, label_set_id: int) -> None:
    with workspace.reading() as session:
        label_set = storage.label_sets.get(session, label_set_id)
        if label_set.collection_id != collection_id:
            raise InvalidInputError("This label set belongs to another collection. Reload the page and try again.")
        collection = storage.collections.get(session, collection_id)
    require(why_not_keep_for_testing(workspace.settings, author, collection, label_set))
