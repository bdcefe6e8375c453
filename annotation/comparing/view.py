"""What is being compared: the sides, the query and the measures, as an address or a short link names them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import storage.comparisons
import storage.training_runs
from annotation.collections.page import OpenPage
from annotation.errors import InvalidInputError, NotAllowedError, NotFoundError
from annotation.judging.setup import desk_setup
from annotation.ranking.rankers import ALIGNED, LIGHT, RankingKey, labels_of, list_rankers, missing_label, read_keys
from annotation.workspace import Workspace
from era.evaluation.measures import COMPARISON_MEASURES, parse_measure_names
from storage.errors import UnknownRecord
from storage.records import JobState, JsonObject, SnapshotRecord, TrainingRunRecord

MAX_SIDES = 3

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that looks like something else
_SLUG_LENGTH = 7


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """One comparison as it is looked at.

    Attributes:
        collection_id: whose queries are ranked.
        label_set_id: by whose judgments is measured.
        sides: two or three different ranker keys; the first is what the others are compared with.
        query_id: of the one query that is laid side by side, if any.
        measures: names as ir-measures writes them; the first that is not Judged is the main one.
        threshold: the grade from which on a document counts as relevant; None for any above 0.
        is_in_sample: whether queries that a training run learned from are ranked by the adapter that learned from them.
    """

    collection_id: int
    label_set_id: int
    sides: tuple[RankingKey, ...]
    query_id: int | None
    measures: tuple[str, ...] = COMPARISON_MEASURES
    threshold: float | None = None
    is_in_sample: bool = False


def read_view(
    workspace: Workspace,
    page: OpenPage,
    sides: str | Sequence[str],
    query_id: int | None = None,
    measures: str = "",
    threshold: float | str | None = None,
    is_in_sample: bool = False,
) -> ComparisonView:
    """Return the comparison that an address or an event asks for.

    Args:
        workspace: of this process.
        page: the open collection and label set.
        sides: ranker keys, or one text with a tilde between them.
        query_id: of the query to lay side by side; whether it exists shows when it is opened.
        measures: names between commas or blanks; empty for the usual ones.
        threshold: a grade of this collection above 0, or nothing.
        is_in_sample: as in `ComparisonView`.

    Raises:
        InvalidInputError: if the sides are not two or three different ones, or a measure or the grade is unknown.
        NotFoundError: if a run or a stored side is of another collection; what is gone shows when it is opened.
    """
    keys = tuple(read_keys(sides) if isinstance(sides, str) else map(RankingKey, sides))
    if not 2 <= len(keys) <= MAX_SIDES or len(set(keys)) < len(keys) or not all(0 < len(key) <= 80 for key in keys):
        raise InvalidInputError("Choose two or three different rankings to compare.")
    for key in keys:
        source = _source(workspace, key)
        if source is not None and source.collection_id != page.collection.id:
            name = f"Run {source.number}" if isinstance(source, TrainingRunRecord) else f"“{source.name}”"
            raise NotFoundError(f"{name} belongs to another collection. Choose rankings of this one.")
    names: tuple[str, ...] = COMPARISON_MEASURES
    if measures.strip():
        try:
            names = parse_measure_names(measures)
        except ValueError as error:
            raise InvalidInputError(str(error)) from error
    grade = _read_threshold(workspace, page, threshold)
    return ComparisonView(page.collection.id, page.label_set.id, keys, query_id, names, grade, is_in_sample)


def _read_threshold(workspace: Workspace, page: OpenPage, threshold: float | str | None) -> float | None:
    if threshold is None or threshold == "":
        return None
    named = desk_setup(page.collection.desk).highest_grade
    given = {g for judged in workspace.standings(page.label_set.id).qrels().values() for g in judged.values() if g > 0}
    grades = sorted({float(grade) for grade in range(1, named + 1)} | given)
    try:
        wanted = float(threshold)
    except ValueError:
        wanted = 0.0
    if wanted not in grades:
        raise InvalidInputError(
            f"A document cannot count as relevant from grade {str(threshold)[:20]} on. "
            f"The grades here are {', '.join(f'{grade:g}' for grade in grades[:20])}."
        )
    return wanted


def side_labels(workspace: Workspace, view: ComparisonView) -> dict[str, str]:
    """Return what a person calls each side, by key in the order of the sides."""
    return labels_of(list_rankers(workspace, view.collection_id, is_comparing=True), view.sides)


def to_json(view: ComparisonView) -> dict[str, Any]:
    """Return the view as it is stored behind a short link."""
    return {
        "collection": view.collection_id,
        "labels": view.label_set_id,
        "sides": list(view.sides),
        "query": view.query_id,
        "measures": list(view.measures),
        "threshold": view.threshold,
        "in_sample": view.is_in_sample,
    }


def share(workspace: Workspace, author: str | None, view: ComparisonView) -> str:
    """Return the slug under which anybody can open the view; the same view has the same slug everywhere.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        NotFoundError: if there is no such ranking to compare.
    """
    if author is None:
        raise NotAllowedError("Sign in to make a short link; the address of this page opens the same comparison.")
    rankers = {ranker.key for ranker in list_rankers(workspace, view.collection_id, is_comparing=True)}
    for key in view.sides:
        if key.without_rereading() not in rankers:
            raise NotFoundError(
                f"{_capitalised(missing_label(key))} is not there (any more). Choose one from the list."
            )
    content = to_json(view)
    name = slug_name(json.dumps(content, sort_keys=True))
    with workspace.writing() as session:
        for length in range(_SLUG_LENGTH, len(name)):
            known = storage.comparisons.find_view(session, name[:length])
            if known is None:
                storage.comparisons.keep_view(session, name[:length], content)
            if known is None or dict(known) == content:
                return name[:length]
    raise InvalidInputError("This comparison has no link left to be found under. Change anything in it and try again.")


def open_shared(workspace: Workspace, slug: str) -> dict[str, Any] | None:
    """Return {collection, labels, sides, query, measures, threshold, in_sample} behind a slug, or None."""
    if not 0 < len(slug) <= 64:
        return None
    with workspace.reading() as session:
        content: JsonObject | None = storage.comparisons.find_view(session, slug)
    return None if content is None else dict(content)


def slug_name(text: str) -> str:
    """Return about fifty letters and digits that name a text; its first few do as long as they are not taken."""
    number, letters = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"), []
    while number:
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return "".join(letters)


def without_missing(workspace: Workspace, view: ComparisonView) -> tuple[ComparisonView, str]:
    """Return the view with sides that still exist, and a sentence about what is missing, empty if nothing is.

    Where fewer than two sides are left, the aligned ranking and the light model alone take the free places.
    """
    there = [key for key in view.sides if _is_there(workspace, view.collection_id, key)]
    missing = [key for key in view.sides if key not in there]
    if not missing:
        return view, ""
    spare = [key for key in (LIGHT, ALIGNED) if key not in there]
    sides = (*spare[: max(2 - len(there), 0)], *there)
    names = _capitalised(" and ".join(map(missing_label, missing)))
    verb = "is" if len(missing) == 1 else "are"
    remark = f"{names} {verb} not there any more; what is left of this comparison is shown."
    return replace(view, sides=sides), remark


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def _is_there(workspace: Workspace, collection_id: int, key: RankingKey) -> bool:
    """Return whether what a run or a stored side needs still exists; other keys are judged by who ranks with them."""
    stored = key.stored_side
    if stored is None and key.run_id is None:
        return True
    source = _source(workspace, key)
    if source is None or source.collection_id != collection_id:
        return False
    if isinstance(source, TrainingRunRecord):
        return source.state is JobState.FINISHED
    return stored is not None and stored[1] < len(source.about["sides"])


def _source(workspace: Workspace, key: RankingKey) -> TrainingRunRecord | SnapshotRecord | None:
    """Return the training run or the snapshot that a ranker key names; None for other keys, or if it is gone."""
    stored, number = key.stored_side, key.run_id
    with workspace.reading() as session:
        if stored is not None:
            return storage.comparisons.find_snapshot(session, stored[0])
        if number is None:
            return None
        try:
            return storage.training_runs.get(session, number)
        except UnknownRecord:
            return None
