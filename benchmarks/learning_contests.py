"""Learning against learning: alignment and adaptation of the default recipe beside the paper's, refit beside adapt."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.contests import Contest
from benchmarks.figures import Target
from benchmarks.timing import Action, time_in_turns
from benchmarks.workload import Workload
from era.method.adaptation import Adaptation, AdaptationConfig, adapt, refit
from era.method.alignment import align_by_decoding
from era.method.paper import align_by_encoding, train_contrastive

_N_ADAPTED = 40
_N_REFITTED = 50
_SEED = 0


def _align(workload: Workload) -> Action:
    return lambda: align_by_decoding(workload.texts)


def _align_as_published(workload: Workload) -> Action:
    return lambda: align_by_encoding(workload.texts, "cpu", _SEED)


def _adapt(workload: Workload) -> Action:
    aligned, labelled = align_by_decoding(workload.texts), workload.labelled(_N_ADAPTED)
    return lambda: adapt(aligned, labelled, workload.texts, workload.index, "cpu", _SEED)


def seconds_of_adaptation(folder: Path, n_rounds: int) -> float:
    """Return the median of adaptation alone over the workload in `folder`, after a first time that is not counted."""
    adapt_once = _adapt(Workload.load(folder))
    return float(np.median(time_in_turns(adapt_once, lambda: None, n_rounds).ours))


def _adapt_as_published(workload: Workload) -> Action:
    aligned, labelled = align_by_encoding(workload.texts, "cpu", _SEED), workload.labelled(_N_ADAPTED)
    return lambda: train_contrastive(aligned, aligned, labelled, workload.index, "cpu", _SEED)


def _learn(workload: Workload) -> Action:
    labelled = workload.labelled(_N_ADAPTED)

    def action() -> object:
        return adapt(align_by_decoding(workload.texts), labelled, workload.texts, workload.index, "cpu", _SEED)

    return action


def _learn_as_published(workload: Workload) -> Action:
    labelled = workload.labelled(_N_ADAPTED)

    def action() -> object:
        aligned = align_by_encoding(workload.texts, "cpu", _SEED)
        return train_contrastive(aligned, aligned, labelled, workload.index, "cpu", _SEED)

    return action


def _refit(workload: Workload) -> Action:
    previous, labelled = _adaptation_before(workload), workload.labelled(_N_REFITTED)
    return lambda: refit(previous, labelled, workload.index, "cpu")


def _adapt_again(workload: Workload) -> Action:
    aligned, labelled = align_by_decoding(workload.texts), workload.labelled(_N_REFITTED)
    return lambda: adapt(aligned, labelled, workload.texts, workload.index, "cpu", _SEED)


def _adaptation_before(workload: Workload) -> Adaptation:
    """Return what was learned before the last query had a label; a closed gate, which would make refit free, opens."""
    aligned, labelled = align_by_decoding(workload.texts), workload.labelled(_N_REFITTED - 1)
    adaptation = adapt(aligned, labelled, workload.texts, workload.index, "cpu", _SEED)
    return replace(adaptation, strength=adaptation.strength or min(AdaptationConfig().strengths))


CONTESTS = (
    Contest(
        measurement="alignment",
        what="align_by_decoding",
        against="the paper's align_by_encoding",
        unit="ms",
        ours=_align,
        baseline=_align_as_published,
    ),
    Contest(
        measurement="adaptation",
        what=f"adapt with {_N_ADAPTED} labelled queries: candidates, cross-validation, all",
        against="the paper's stage 2 alone: one train_contrastive, nothing held out",
        unit="s",
        ours=_adapt,
        baseline=_adapt_as_published,
        target=Target("ours", "<=", 1.0),
    ),
    Contest(
        measurement="adaptation",
        what=f"both stages with {_N_ADAPTED} labelled queries",
        against="both stages of the paper, nothing held out",
        unit="s",
        ours=_learn,
        baseline=_learn_as_published,
    ),
    Contest(
        measurement="refit",
        what=f"refit when query {_N_REFITTED} gets its first labels (the gate open)",
        against=f"adapt with the same {_N_REFITTED} labelled queries",
        unit="ms",
        ours=_refit,
        baseline=_adapt_again,
        target=Target("ours", "<=", 300),
    ),
)
