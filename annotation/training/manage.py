"""Keeping order among training runs: which ranking is in use, names and notes, the archive, and deleting."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

import storage.collections
import storage.comparisons
import storage.label_sets
import storage.training_runs
from annotation.errors import InvalidInputError
from annotation.people.permissions import require, why_not_change_run, why_not_choose_ranking
from annotation.ranking.rankers import RankingKey, list_usable
from annotation.workspace import Workspace
from storage.records import TrainingRunRecord

MAX_NAME_LENGTH = 80
MAX_NOTE_LENGTH = 2000

_DELETED = ".deleted-"  # how the folder of an adapter is called while it is being removed


@dataclass(frozen=True, slots=True)
class Dependents:
    """What deleting a training run would concern.

    Attributes:
        label_sets: names of the label sets that rank with it.
        snapshots: names of the kept comparisons that show it; their stored rankings stay.
        reruns: numbers of the training runs that repeat it.
    """

    label_sets: Sequence[str]
    snapshots: Sequence[str]
    reruns: Sequence[int]


def use(workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, key: str) -> None:
    """Rank with one of `annotation.ranking.rankers.list_usable` where no other is chosen.

    Raises:
        NotAllowedError: if somebody else alone may choose.
        InvalidInputError: if the key names none of these, or label set and collection do not belong together.
    """
    usable = [each.key for each in list_usable(workspace, collection_id)]
    with workspace.writing() as session:
        label_set = storage.label_sets.get(session, label_set_id)
        if label_set.collection_id != collection_id:
            raise InvalidInputError("This label set belongs to another collection. Reload the page and try again.")
        collection = storage.collections.get(session, collection_id)
        require(why_not_choose_ranking(workspace.settings, author, collection, label_set))
        if key not in usable:
            raise InvalidInputError("This ranking cannot be used here. Reload the page and choose another.")
        storage.label_sets.set_in_use(session, label_set_id, key)


def describe(workspace: Workspace, author: str | None, training_run_id: int, name: str, note: str) -> TrainingRunRecord:
    """Give a training run a name and a note; empty ones take them away.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        InvalidInputError: if one of them is too long.
    """
    name, note = " ".join(name.split()), note.strip()
    if len(name) > MAX_NAME_LENGTH or len(note) > MAX_NOTE_LENGTH:
        raise InvalidInputError(
            f"A name has at most {MAX_NAME_LENGTH} letters and a note at most {MAX_NOTE_LENGTH:,}. Shorten it."
        )
    with workspace.writing() as session:
        run = storage.training_runs.get(session, training_run_id)
        collection = storage.collections.get(session, run.collection_id)
        require(why_not_change_run(workspace.settings, author, collection, run, "name"))
        return storage.training_runs.describe(session, training_run_id, name=name, note=note)


def pin(workspace: Workspace, author: str | None, training_run_id: int, is_pinned: bool) -> TrainingRunRecord:
    """Keep a training run on top of the list, or no longer.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
    """
    with workspace.writing() as session:
        run = storage.training_runs.get(session, training_run_id)
        collection = storage.collections.get(session, run.collection_id)
        require(why_not_change_run(workspace.settings, author, collection, run, "pin"))
        return storage.training_runs.describe(session, training_run_id, is_pinned=is_pinned)


def archive(workspace: Workspace, author: str | None, training_run_id: int, is_archived: bool) -> TrainingRunRecord:
    """Hide a training run from the list unless it is asked for, or show it again; it can be used either way.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
    """
    with workspace.writing() as session:
        run = storage.training_runs.get(session, training_run_id)
        collection = storage.collections.get(session, run.collection_id)
        require(why_not_change_run(workspace.settings, author, collection, run, "archive"))
        return storage.training_runs.describe(session, training_run_id, is_archived=is_archived)


def dependents(workspace: Workspace, training_run_id: int) -> tuple[TrainingRunRecord, Dependents]:
    """Return a training run and what deleting it would concern."""
    with workspace.reading() as session:
        run = storage.training_runs.get(session, training_run_id)
        label_sets = storage.label_sets.list_names(session, run.collection_id)
        snapshots = storage.comparisons.list_snapshots(session, run.collection_id)
        runs = storage.training_runs.list_for(session, run.collection_id)
    found = Dependents(
        [each.name for each in label_sets if _shows(each.in_use, run)],
        [each.name for each in snapshots if any(_shows(str(s["key"]), run) for s in each.about.get("sides", []))],
        [each.number for each in runs if each.rerun_of == run.id],
    )
    return run, found


def delete(workspace: Workspace, author: str | None, training_run_id: int) -> None:
    """Delete a training run and its adapter; label sets that rank with it take the best there is instead.

    Its number is never given again, and kept comparisons that show it stay as they are.

    Raises:
        NotAllowedError: if it is neither the person's own nor theirs to manage.
        InvalidInputError: if it is queued or running.
    """
    folder = workspace.adapter_folder(training_run_id)
    away = folder.with_name(f"{_DELETED}{folder.name}-{time.time_ns()}")
    with workspace.writing() as session:
        run = storage.training_runs.get(session, training_run_id)
        collection = storage.collections.get(session, run.collection_id)
        require(why_not_change_run(workspace.settings, author, collection, run, "delete"))
        if run.state.is_under_way:
            raise InvalidInputError(f"Run {run.number} is {run.state.value}. Cancel it first.")
        for label_set in storage.label_sets.list_names(session, run.collection_id):
            if _shows(label_set.in_use, run):
                storage.label_sets.set_in_use(session, label_set.id, "")
        storage.training_runs.delete(session, training_run_id)
        if folder.is_dir():
            folder.rename(away)  # at once, so that no one reads half an adapter
    opened = workspace.opened(run.collection_id)
    if opened is not None:
        opened.forget(folder)
    shutil.rmtree(away, ignore_errors=True)


def sweep(workspace: Workspace) -> None:
    """Remove what a deletion left behind that was cut short."""
    for left in workspace.adapter_folder(0).parent.glob(f"{_DELETED}*"):
        shutil.rmtree(left, ignore_errors=True)


def _shows(key: str, run: TrainingRunRecord) -> bool:
    return RankingKey(key).run_id == run.id
