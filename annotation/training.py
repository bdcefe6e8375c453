"""Train an adapter from the marks: one queue, one worker, every step written down.

A training run lives in the database and in one worker thread, never in a page; closing or reloading a page changes
nothing. `era.recipes` (and with it torch) is imported when the first run starts, so that the page is there sooner.
"""

import hashlib
import json
import logging
import platform
import statistics
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import storage.queries
import storage.training_runs
from annotation.errors import AnnotationError, InvalidInputError, NotAllowedError
from annotation.workspace import Workspace
from era.errors import Cancelled, EraError
from era.evaluation import evaluate, paired_difference
from era.types import Query, ScoredDoc
from storage.errors import StorageError
from storage.records import NewTrainingRun, TrainingRunRecord, TrainingRunState

logger = logging.getLogger(__name__)

RECIPES = {
    "era": "ERA, our default: stays close to the aligned model, learns only what your marks prove",
    "paper": "The published recipe (Align then Train, 2026): for comparison",
}
STAGES = ("embedding", "alignment", "adaptation", "evaluation")
_STAGE_SHARES = (0.4, 0.1, 0.4, 0.1)
_MEASURE_DEPTH = 100
_PACKAGES = ("torch", "sentence-transformers", "faiss-cpu", "numpy", "ir-measures")


@dataclass(frozen=True, slots=True)
class Outlook:
    """What there is to learn from now.

    Attributes:
        n_queries: queries with at least one relevant document.
        n_relevant: relevant marks.
        n_not_relevant: not-relevant marks.
        advice: what is still missing, or empty.
        can_train: whether a training run may be started.
        usual_seconds: median duration of finished runs of this collection, or None.
    """

    n_queries: int
    n_relevant: int
    n_not_relevant: int
    advice: str
    can_train: bool
    usual_seconds: float | None


def outlook(workspace: Workspace, collection_id: int, label_set_id: int) -> Outlook:
    """Say in numbers what a training run would learn from."""
    qrels = workspace.standings(label_set_id).qrels()
    with workspace.reading() as session:
        runs = storage.training_runs.list_for(session, collection_id)
        is_busy = storage.training_runs.has_active(session, collection_id)
    n_queries = sum(any(grade > 0 for grade in judged.values()) for judged in qrels.values())
    advice = ""
    if n_queries == 0:
        advice = "There is nothing to learn from yet. In Judge, mark at least one document as relevant."
    elif n_queries == 1:
        advice = "One query cannot be checked against another. Mark relevant documents for a second query."
    elif n_queries < 5:
        advice = f"{n_queries} queries are a start; from 5 on it usually pays, from 20 on clearly."
    durations = [
        (run.finished_at - run.started_at).total_seconds()
        for run in runs
        if run.state is TrainingRunState.FINISHED and run.finished_at and run.started_at
    ]
    return Outlook(
        n_queries=n_queries,
        n_relevant=sum(grade > 0 for judged in qrels.values() for grade in judged.values()),
        n_not_relevant=sum(grade <= 0 for judged in qrels.values() for grade in judged.values()),
        advice=advice,
        can_train=n_queries > 0 and not is_busy,
        usual_seconds=statistics.median(durations) if durations else None,
    )


def start(
    workspace: Workspace, author: str | None, collection_id: int, label_set_id: int, recipe: str, seed: int
) -> TrainingRunRecord:
    """Queue a training run on the labels as they stand now.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
        InvalidInputError: if a run is under way, there is nothing to learn from, or recipe or seed are unusable.
    """
    if author is None:
        raise NotAllowedError("Sign in to train.")
    if recipe not in RECIPES:
        raise InvalidInputError(f"There is no recipe {recipe[:40]!r}. Choose one from the list.")
    if not 0 <= seed < 2**31:
        raise InvalidInputError("The seed is a whole number from 0 to 2,147,483,647.")
    qrels = workspace.standings(label_set_id).qrels()
    with workspace.writing() as session:
        if storage.training_runs.has_active(session, collection_id):
            raise InvalidInputError("A training run is under way already. Wait for it, or cancel it first.")
        snapshot = {str(query_id): dict(judged) for query_id, judged in qrels.items() if judged}
        grades = [grade for judged in snapshot.values() for grade in judged.values()]
        if not any(grade > 0 for grade in grades):
            raise InvalidInputError("There is nothing to learn from yet. Mark at least one document as relevant first.")
        return storage.training_runs.create_queued(
            session,
            NewTrainingRun(
                collection_id=collection_id,
                label_set_id=label_set_id,
                recipe=recipe,
                seed=seed,
                config={},
                label_snapshot=snapshot,
                snapshot_hash=hashlib.sha256(json.dumps(snapshot, sort_keys=True).encode()).hexdigest(),
                n_queries=sum(any(grade > 0 for grade in judged.values()) for judged in snapshot.values()),
                n_relevant=sum(grade > 0 for grade in grades),
                n_not_relevant=sum(grade <= 0 for grade in grades),
                author=author,
            ),
        )


def cancel(workspace: Workspace, author: str | None, training_run_id: int) -> TrainingRunRecord:
    """Ask a training run to stop at its next step.

    Raises:
        NotAllowedError: if nobody is signed in where that is needed.
    """
    if author is None:
        raise NotAllowedError("Sign in to cancel a training run.")
    with workspace.writing() as session:
        return storage.training_runs.cancel_request(session, training_run_id)


def history(workspace: Workspace, collection_id: int) -> list[TrainingRunRecord]:
    """Return the training runs of a collection, newest first."""
    with workspace.reading() as session:
        return list(storage.training_runs.list_for(session, collection_id))


class TrainingWorker:
    """The one thread that trains; `poke` it when a run was queued."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._wake = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)

    def start(self) -> None:
        """Mark what a killed process left behind as interrupted, then take up what is queued."""
        with self._workspace.writing() as session:
            n_left = storage.training_runs.mark_interrupted_all_running(session)
        if n_left:
            logger.warning("%d training run was interrupted when the app stopped; train again when you like.", n_left)
        self._thread.start()
        self._wake.set()

    def poke(self) -> None:
        """Look for queued runs now."""
        self._wake.set()

    def close(self) -> None:
        """Stop after the current step; a run under way becomes interrupted at the next start."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while not self._is_closing:
            self._wake.wait()
            self._wake.clear()
            while not self._is_closing and (run := self._claim()) is not None:
                self._train(run)

    def _claim(self) -> TrainingRunRecord | None:
        with self._workspace.writing() as session:
            return storage.training_runs.claim_next(session)

    def _train(self, run: TrainingRunRecord) -> None:
        try:
            self._wait_until_ready(run)
            measures, device = train(self._workspace, run, self._reporter(run))
            with self._workspace.writing() as session:
                storage.training_runs.finish(session, run.id, measures=measures, device=device)
        except Cancelled:
            if not self._is_closing:
                with self._workspace.writing() as session:
                    storage.training_runs.mark_cancelled(session, run.id)
        except (EraError, AnnotationError, StorageError, ValueError) as error:
            logger.exception("Training run %d failed", run.number)
            self._fail(run, str(error))
        except Exception as error:
            logger.exception("Training run %d failed", run.number)
            self._fail(run, f"Something unexpected went wrong ({type(error).__name__}); the terminal has the details.")

    def _fail(self, run: TrainingRunRecord, message: str) -> None:
        with self._workspace.writing() as session:
            storage.training_runs.fail(session, run.id, message)

    def _wait_until_ready(self, run: TrainingRunRecord) -> None:
        report = self._reporter(run)
        while self._workspace.readiness.state == "preparing":
            report("embedding", 0.0, "waiting for the embedders to be loaded")
            time.sleep(0.2)

    def _reporter(self, run: TrainingRunRecord) -> "_Reporter":
        return _Reporter(self._workspace, run.id, lambda: self._is_closing)


class _Reporter:
    """Writes progress into the run's row, at most ten times a second, and stops the run when it was cancelled."""

    def __init__(self, workspace: Workspace, training_run_id: int, is_closing: Any) -> None:
        self._workspace = workspace
        self._id = training_run_id
        self._is_closing = is_closing
        self._last = (0.0, "")

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        if self._is_closing():
            raise Cancelled("The app is closing.")
        now = time.monotonic()
        if stage == self._last[1] and now - self._last[0] < 0.1:
            return
        self._last = (now, stage)
        place = STAGES.index(stage)
        overall = sum(_STAGE_SHARES[:place]) + _STAGE_SHARES[place] * min(max(fraction, 0.0), 1.0)
        with self._workspace.writing() as session:
            row = storage.training_runs.progress(
                session, self._id, stage=stage, fraction=min(overall, 1.0), message=detail
            )
        if row.is_cancel_requested:
            raise Cancelled("Cancelled by a person.")


def train(workspace: Workspace, run: TrainingRunRecord, progress: _Reporter) -> tuple[dict[str, Any], str]:
    """Train, evaluate and save the adapter of one run; return its measures and the device used.

    Nothing is left behind unless everything succeeded: the adapter's folder appears in one step at the end.
    """
    from era.devices import choose_device, describe_device
    from era.recipes import fit

    library = workspace.library(run.collection_id)
    with workspace.reading() as session:
        snapshot = storage.training_runs.label_snapshot(session, run.id)
        records = [storage.queries.get(session, int(query_id)) for query_id in snapshot]
    queries = [Query(str(record.id), record.text, record.instruction) for record in records]
    device = choose_device(workspace.settings.device)
    started = time.perf_counter()
    texts = library.alignment_texts(progress)
    fitted = fit(
        run.recipe,  # type: ignore[arg-type]
        texts, library.index, library.pair, queries, snapshot, device, run.seed, progress,
    )  # fmt: skip
    fit_seconds = time.perf_counter() - started

    progress("evaluation", 0.0, "ranking the queries it had not seen")
    taught = [query for query in queries if query.query_id in set(fitted.query_ids)]
    taught.sort(key=lambda query: query.query_id)
    encoded = library.pair.encode_queries(taught)
    rankings = {
        "light": library.index.search(library.light().adapter.transform(encoded), _MEASURE_DEPTH),
        "aligned": library.index.search(fitted.aligned.transform(encoded), _MEASURE_DEPTH),
        "after": library.index.search(fitted.held_out_vectors, _MEASURE_DEPTH),
    }
    measures = summarise(snapshot, [query.query_id for query in taught], rankings)
    measures["report"] = dict(fitted.report)
    provenance = {
        **fitted.adapter.provenance,
        "recipe": run.recipe,
        "seed": run.seed,
        "config": fitted.config,
        "label_snapshot": snapshot,
        "snapshot_hash": run.snapshot_hash,
        "query_ids": list(fitted.query_ids),
        "strong_embedder": asdict(library.pair.strong.identity),
        "light_embedder": asdict(library.pair.light.identity),
        "index_fingerprint": library.index.fingerprint,
        "corpus_fingerprint": library.corpus.fingerprint,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "device": device,
        "measures": measures,
    }
    adapter = replace(fitted.adapter, provenance=provenance)
    progress("evaluation", 1.0, "saving")
    _make_room(workspace.adapter_folder(run.id))
    adapter.save(
        workspace.adapter_folder(run.id),
        {
            "held_out": fitted.held_out_vectors,
            "keys": fitted.certainty.keys,
            "gains": np.asarray(fitted.certainty.gains, np.float32),
        },
    )
    return {**measures, "seconds": fit_seconds}, describe_device(device)


def _make_room(folder: Path) -> None:
    """Put aside what a lost database left behind under this number; nothing is deleted."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}-left-behind-{time.time_ns()}"))


def summarise(
    qrels: Mapping[str, Mapping[str, float]], query_ids: list[str], rankings: Mapping[str, list[list[ScoredDoc]]]
) -> dict[str, Any]:
    """Return the mean measures of each ranking, and how `after` differs from the other two in nDCG@10."""
    values = {name: evaluate(qrels, dict(zip(query_ids, ranking, strict=True))) for name, ranking in rankings.items()}
    main = {name: by_measure["nDCG@10"] for name, by_measure in values.items()}
    return {
        "n": len(query_ids),
        "means": {
            name: {measure: float(np.mean(list(by_query.values()))) for measure, by_query in by_measure.items()}
            for name, by_measure in values.items()
        },
        "from_light": asdict(paired_difference(main["light"], main["after"])),
        "from_aligned": asdict(paired_difference(main["aligned"], main["after"])),
    }
