"""Adapters out and in again: the weights of a training run with everything that is known of it, as one zip file."""

import shutil
import time
from collections.abc import Container, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import storage.collections
import storage.label_sets
import storage.queries
import storage.training_runs
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.queries import name_of_text, query_names
from annotation.judging.setup import clean_text, hidden_queries, left_out
from annotation.ranking.rankers import AFTER
from annotation.retrieval.open_collection import OpenCollection
from annotation.training.manage import MAX_NAME_LENGTH, MAX_NOTE_LENGTH
from annotation.training.start import DEFAULT_RECIPE
from annotation.training.train import choose
from annotation.transfer.adapter_files import (
    VERSION,
    PackedAdapter,
    PackedQuery,
    checked_run,
    read_unpacked,
    unpack_zip,
    write_zip,
)
from annotation.transfer.files import ExportFile, file_name, new_export
from annotation.workspace import Workspace, find_training_run
from era.adapter import QueryAdapter
from era.encoders.base import EmbedderIdentity, EncodedQueries
from era.errors import AdapterDamagedError, FormatError, IdentityMismatchError
from era.trained_adapter import TrainedAdapter, query_hash
from era.types import Query
from storage.records import MAX_GRADE, FinishedTraining, NewTrainingRun, TrainingRunRecord

_SIDES = (("strong_embedder", "queries"), ("light_embedder", "documents"))


def export_adapter(workspace: Workspace, author: str | None, run_id: int) -> ExportFile:
    """Return the adapter of a finished training run as a zip of safetensors, JSON and a README.

    What was marked of queries that the author may still judge is left out, where others have judged them.

    Raises:
        NotFoundError: if the run left no adapter.
        AdapterDamagedError: if its files are damaged.
        UnknownRecord: if there is no such run.
    """
    learned = TrainedAdapter.load(find_training_run(workspace, run_id))
    with workspace.reading() as session:
        run = storage.training_runs.get(session, run_id)
        labels = storage.training_runs.label_snapshot(session, run_id)
        collection = storage.collections.get(session, run.collection_id)
        label_set = storage.label_sets.get(session, run.label_set_id)
        listed = storage.queries.list_all(session, run.collection_id)
    used = {int(query_id) for query_id in {*labels, *learned.query_ids}}
    hidden = hidden_queries(workspace, author, run.collection_id, run.label_set_id, used)
    kept = {query_id: dict(marks) for query_id, marks in labels.items() if int(query_id) not in hidden}
    names = query_names(listed)
    about = {
        "version": VERSION,
        "collection": collection.name,
        "label_set": label_set.name,
        **{name: getattr(run, name) for name in _COPIED},
        "device": run.device or "",
        "measures": run.measures,
        "queries": {
            str(query.id): {
                "query_id": names[query.id],
                "text": query.text,
                "instruction": query.instruction,
                "need": query.need,
            }
            for query in listed
            if query.id in used
        },
    }
    made = new_export(workspace)
    learned.with_provenance(label_snapshot=kept).save(made / "adapter")
    file = made / "adapter.zip"
    write_zip(file, made / "adapter", about, _readme(run, collection.name, learned.adapter))
    shutil.rmtree(made / "adapter")
    name = file_name(collection.name, f"run-{run.number}", "adapter", ending=".zip")
    return ExportFile(name, file, "application/zip", (left_out(len(hidden)),) if hidden else ())


_COPIED = (
    "number", "name", "note", "author", "recipe", "seed", "snapshot_hash", "n_queries", "n_relevant", "n_not_relevant",
    "message", "created_at", "started_at", "finished_at", "config", "curve",
)  # fmt: skip


def import_adapter(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, path: Path
) -> TrainingRunRecord:
    """Add an adapter as a finished training run; its note begins with “Imported”.

    It is one that `export_adapter` wrote, or that the library or the command line saved as a zip file.

    Queries that it learned from and that the collection lacks are added, so that their rankings stay honest: they come
    from adapters that had not seen their labels. Nothing is used from it but numbers and texts.

    Args:
        workspace: of this process.
        author: who imports; None if no one is signed in where that is needed.
        collection_id: where it is to rank; its embedders have to be those that the adapter was trained with.
        label_set_id: in whose list it appears.
        path: of the zip file.

    Raises:
        NotAllowedError: if no one is signed in where that is needed.
        InvalidInputError: if the label set belongs to another collection.
        FormatError: if the file is no adapter, or one that does not tell the words of the queries it learned from.
        AdapterDamagedError: if its parts do not fit together.
        IdentityMismatchError: if it was trained with other embedders; the message names both.
        NotReadyError: if the embedders are still being loaded.
    """
    if author is None:
        raise NotAllowedError("Sign in to bring an adapter in.")
    opened = workspace.open(collection_id)
    with workspace.reading() as session:
        if storage.label_sets.get(session, label_set_id).collection_id != collection_id:
            raise InvalidInputError("This label set belongs to another collection. Reload the page and try again.")
    scratch = new_export(workspace)
    try:
        workspace.reading_places.call(author, "", path.name, unpack_zip, path, scratch)
        learned, told = read_unpacked(scratch)
        _require_same_embedders(learned.adapter, opened)
        if told is None:
            told = _told_by_itself(workspace, author, collection_id, learned, path.name)
        packed = PackedAdapter(learned, checked_run(told), told)
        _require_sound(packed, opened)
        return _store(workspace, author, collection_id, label_set_id, packed)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _require_same_embedders(adapter: QueryAdapter, opened: OpenCollection) -> None:
    loaded = {"strong_embedder": opened.pair.strong.identity, "light_embedder": opened.index.embedder}
    for side, what in _SIDES:
        made_with = adapter.provenance.get(side)
        if made_with != asdict(loaded[side]):
            raise IdentityMismatchError(
                f"This adapter was trained with {_called(made_with)} for {what}, but this collection uses "
                f"{_called(asdict(loaded[side]))}. Bring it into a collection with the embedders it was trained with, "
                "or choose them for this one first."
            )


def _called(identity: Any) -> str:
    """Return what a person can tell an embedder by, of whatever a file says of it."""
    try:
        known = EmbedderIdentity(**identity)
        return f"{known.name} (revision {str(known.revision)[:12]}, {known.dimension} dimensions)"
    except TypeError:
        return "an embedder that it does not name"


def _require_sound(packed: PackedAdapter, opened: OpenCollection) -> None:
    """Check by trying that the adapter maps queries of this collection, and that what lies beside it fits it."""
    adapter, extra = packed.learned.adapter, packed.learned.arrays
    p, m = opened.pair.strong.identity.dimension, opened.index.embedder.dimension
    strong, light = np.full((1, p), p**-0.5, np.float32), np.full((1, m), m**-0.5, np.float32)
    try:
        tried = adapter.transform(EncodedQueries(strong, strong, light))
        query_ids, held_out = packed.learned.query_ids, extra["held_out"]
        is_sound = tried.shape == (1, m) and held_out.shape == (len(query_ids), m)
        taught = [*query_ids, *(adapter.provenance.get("influence") or {"query_ids": ()})["query_ids"]]
        is_sound = is_sound and all(query_id in packed.run.queries for query_id in taught)
        if "gains" in extra:
            is_sound = is_sound and extra["gains"].shape == (len(extra["gains"]),)
        _ = packed.learned.influence
        arrays_finite = [adapter.weight, adapter.bias, tried, *extra.values()]
        is_sound = is_sound and all(bool(np.isfinite(array).all()) for array in arrays_finite)
        labels = _remapped_labels(
            adapter.provenance.get("label_snapshot", {}), {name: name for name in packed.run.queries}
        )
        is_sound = is_sound and all(0 <= grade <= MAX_GRADE for marks in labels.values() for grade in marks.values())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AdapterDamagedError(
            f"The parts of this adapter do not fit together ({error}). Take it out again."
        ) from error
    if not is_sound:
        raise AdapterDamagedError("The parts of this adapter do not fit together. Take it out again.")


def _store(
    workspace: Workspace, author: str, collection_id: int, label_set_id: int, packed: PackedAdapter
) -> TrainingRunRecord:
    run, raw, learned = packed.run, packed.raw, packed.learned
    when = f"{run.finished_at or run.created_at:%Y-%m-%d}"
    note = f"Imported: trained by {run.author} on {when} as run {run.number} of “{run.collection}”."
    if not run.number:
        note = f"Imported from {run.collection}, learned on the command line or in a notebook."
    note = clean_text(f"{note}\n\n{run.note}"[:MAX_NOTE_LENGTH], "note")
    with workspace.writing() as session:
        names = set(query_names(storage.queries.list_all(session, collection_id)).values())
        local = {}
        for query_id, query in run.queries.items():
            known = storage.queries.find(session, collection_id, query.text, query.instruction)
            if known is None:
                known = storage.queries.get_or_create(
                    session,
                    collection_id,
                    clean_text(query.text, "query"),
                    clean_text(query.instruction, "instruction"),
                    author,
                    _free_id(query, names),
                    clean_text(query.need, "information need"),
                )
            local[query_id] = str(known.id)
        labels = _remapped_labels(learned.labels, local)
        record = storage.training_runs.add_finished(
            session,
            NewTrainingRun(
                collection_id=collection_id,
                label_set_id=label_set_id,
                recipe=run.recipe,
                seed=run.seed,
                config=raw["config"],
                label_snapshot=labels,
                snapshot_hash=run.snapshot_hash,
                n_queries=run.n_queries,
                n_relevant=run.n_relevant,
                n_not_relevant=run.n_not_relevant,
                author=author,
            ),
            FinishedTraining(
                measures=raw["measures"],
                device=run.device[:200],
                message=clean_text(run.message, "message"),
                name=" ".join(clean_text(run.name, "name").split())[:MAX_NAME_LENGTH],
                note=note,
                curve=raw["curve"],
                started_at=run.started_at,
                finished_at=run.finished_at,
            ),
        )
        folder = workspace.adapter_folder(record.id)
        if folder.exists():  # left behind by a lost database
            folder.rename(folder.with_name(f"{folder.name}-left-behind-{time.time_ns()}"))
        _remapped(learned, labels, local).save(folder)
    return record


def _free_id(query: PackedQuery, names: Container[str]) -> str | None:
    """Return the id that a query brings along, unless something else is called so here or it only tells its words."""
    is_free = query.query_id not in names and query.query_id != name_of_text(query.text, query.instruction)
    return query.query_id if query.query_id and is_free else None


def _told_by_itself(
    workspace: Workspace, author: str, collection_id: int, learned: TrainedAdapter, file: str
) -> dict[str, Any]:
    """Return what an adapter of the library tells of how it was learned, in the form of a training run's row.

    Raises:
        FormatError: if it learned from nothing, or does not tell the words of the queries that it learned from.
    """
    if not learned.query_ids or not learned.measures:
        raise FormatError("this adapter has learned from no judgments; the app aligns by itself.", file)
    with workspace.reading() as session:
        listed = storage.queries.list_all(session, collection_id)
    here = {query_hash(Query("", query.text, query.instruction)): query for query in listed}
    words = dict(learned.queries)
    for query_id in learned.query_ids:
        found = here.get(learned.hashes.get(query_id, ""))
        if query_id not in words and found is not None:  # versions before 0.8.0 kept no words
            words[query_id] = Query(query_id, found.text, found.instruction)
    missing = [query_id for query_id in learned.query_ids if query_id not in words]
    if missing:
        raise FormatError(
            f"it learned from {len(missing):,} queries whose words neither it nor this collection has, such as "
            f"{missing[0][:40]!r}. Bring the queries in first, or learn it again.",
            file,
        )
    grades = [grade for judged in learned.labels.values() for grade in judged.values()]
    made, measures, now = learned.provenance, dict(learned.measures), datetime.now(UTC).isoformat()
    if learned.recipe == DEFAULT_RECIPE and AFTER.with_words() in measures["means"]:
        measures["choice"] = asdict(choose(measures["n"], measures["means"], measures["report"]["is_changed"]))
    return {
        "version": VERSION,
        "collection": file,
        "label_set": "",
        "number": 0,
        "name": Path(file).stem,
        "note": "",
        "author": author,
        "recipe": learned.recipe,
        "seed": made.get("seed", 0),
        "snapshot_hash": made.get("snapshot_hash", ""),
        "n_queries": len(learned.query_ids),
        "n_relevant": sum(grade > 0 for grade in grades),
        "n_not_relevant": sum(grade <= 0 for grade in grades),
        "device": str(made.get("device", "")),
        "message": "",
        "created_at": now,
        "started_at": None,
        "finished_at": now,
        "measures": measures,
        "config": {
            **made.get("config", {}),
            **{name: made[name] for name in ("strong_embedder", "light_embedder", "versions") if name in made},
        },
        "curve": None,
        "queries": {
            query_id: {"query_id": query_id, "text": query.text, "instruction": query.instruction}
            for query_id, query in words.items()
        },
    }


def _remapped(
    learned: TrainedAdapter, labels: Mapping[str, Mapping[str, float]], local: Mapping[str, str]
) -> TrainedAdapter:
    """Return the adapter with the ids that its queries have here; their words lie in the database."""
    influence = learned.provenance.get("influence")
    if influence:
        influence = {**influence, "query_ids": [local[query_id] for query_id in influence["query_ids"]]}
    return learned.with_provenance(
        label_snapshot=labels,
        query_ids=[local[query_id] for query_id in learned.query_ids],
        influence=influence,
        queries=None,
        query_hashes=None,
    )


def _remapped_labels(labels: Mapping[str, Mapping[str, Any]], local: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return the labels of the queries that are known, by the ids that these have here."""
    return {
        local[query_id]: {str(doc_id): float(grade) for doc_id, grade in marks.items()}
        for query_id, marks in labels.items()
        if query_id in local
    }


def _readme(run: TrainingRunRecord, collection: str, adapter: QueryAdapter) -> str:
    strong, light = (_called(adapter.provenance.get(side)) for side, _ in _SIDES)
    views = ", ".join(adapter.views)
    return f"""# Query adapter of run {run.number}, collection {" ".join(collection.split())}

Learned with the recipe {run.recipe} (seed {run.seed}) from {run.n_queries:,} queries: {run.n_relevant:,} relevant and
{run.n_not_relevant:,} not-relevant marks (SHA-256 {run.snapshot_hash}).

- Queries are read by: {strong}
- Documents are read by: {light}

`adapter.safetensors` holds `weight` (d, m) and `bias` (m,): a query with features x is searched with the unit vector of
x @ weight + bias. The features are these views of a query side by side: {views}. `instructed` is the strong embedder on
instruction and text, `mean` the mean of that and of the text alone, `light` the light embedder on the text alone,
`neighbours` what the texts under `neighbourhood.*` say of `mean`. Arrays whose names begin with `extra.` are what was
measured with. `adapter.json` says what it was made with, `run.json` what is known of its training run.

    from era import TrainedAdapter
    adapter = TrainedAdapter.load(folder)  # or the zip file

In the app it comes in again under Collection, Bring in.
"""
