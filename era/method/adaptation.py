"""Stage 2 of the default recipe: adapt the aligned query side from few labels, and know whether it helped.

First the halves of the aligned query are weighed (`era.method.fusion`), which a handful of labels can decide. Then a
change of the adapter is learned; it is paid for by the share of score variance over the corpus that it moves, so that a
few labels leave alone what they say nothing about. Its strength is chosen by cross-validation over queries, and it is
kept only if it helped queries it had not seen. What that is worth is measured by doing all of it again without some
queries and ranking these. The fits themselves are the business of `era.method.fitting`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from era.adapter import QueryAdapter, normalise
from era.encoders.base import Vectors
from era.index.dense import DenseIndex
from era.index.lexical import WORD_WEIGHT, LexicalIndex
from era.method.alignment import AlignmentTexts
from era.method.candidates import LabelledQueries, MiningConfig, Shortlists, shortlist, unjudged_candidates
from era.method.fitting import SHARE_BEFORE_FITS, Choice, Problem, Solved
from era.method.folds import Fits, FoldOutcome, Folds, Trial, assign_folds, best_strength, trials_of
from era.method.function_space import ScoreMetric
from era.method.fusion import Blend, BlendGains
from era.method.influence import Influence
from era.method.label_measure import LabelMeasure
from era.method.query_groups import Groups, group_queries
from era.progress import Progress, no_progress


@dataclass(frozen=True, slots=True)
class AdaptationConfig:
    """Settings of `adapt`.

    Attributes:
        temperature: of the softmax over candidates, in standard deviations of a query's aligned scores; > 0.
        strengths: weights of the penalty to choose from, in nats of one query per unit share of score variance moved.
        n_folds: of the cross-validation; with fewer queries each is its own fold.
        ridge: added to both second-moment matrices, as a share of their mean eigenvalue; > 0.
        n_iterations: of the optimiser, at most.
        minimum_gain: mean held-out gain in nDCG@100 that must be exceeded, or nothing learned is kept.
        mining: which unjudged documents a query is contrasted with.
    """

    temperature: float = 1.0
    strengths: tuple[float, ...] = (12000.0, 3000.0, 800.0, 200.0)
    n_folds: int = 5
    ridge: float = 0.1
    n_iterations: int = 60
    minimum_gain: float = 0.0
    mining: MiningConfig = field(default_factory=MiningConfig)

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.ridge <= 0 or not self.strengths or min(self.strengths) <= 0:
            raise ValueError("Temperature, ridge and strengths must be greater than 0.")


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """What stage 2 learned, and what `refit` needs to learn a little more.

    Attributes:
        adapter: to deploy; the aligned adapter itself where nothing helped.
        blend: how the halves are weighed.
        strength: the chosen one; None where the gate is closed.
        share_moved: share of score variance over the corpus that the change moves.
        held_out_vectors: (n, m); row i is the vector of labelled query i by what would have been deployed had its fold
            not been there, last gate included; the aligned one where nothing is deployed.
        held_out_word_weights: (n,) what matching words weigh for each of these, chosen likewise.
        gains: (n,) change of nDCG@100 from the aligned adapter to what is held out, see `LabelMeasure`.
        gate_gain: mean gain that opened or closed the last gate. Being what was chosen by, it flatters: show `gains`.
        groups: (n,) which queries are near-copies of each other; they share a fold and are one case, not several.
        start_losses: (n,) in nats; the blend that the fits started from on each query.
        held_out_losses: (S, n) in nats; each strength on each query, by the fit that did not see its fold; (S, 0) if
            nothing could be held out.
        trials: how each strength did, as the gate saw it.
        folds: what was learned without each fold and did for it, also where the last gate kept nothing of it.
        influence: what each labelled query contributes to what was kept.
        reason: one sentence for a person, why the change was kept or not.
        metric: what changes of the aligned adapter cost.
        shortlists: what the aligned adapter ranks highest for each query.
        config: the settings it was learned with.
        seed: of the folds and of the random documents.
    """

    adapter: QueryAdapter
    blend: Blend
    strength: float | None
    share_moved: float
    held_out_vectors: Vectors
    held_out_word_weights: Sequence[float]
    gains: NDArray[np.float64]
    gate_gain: float
    groups: Groups
    start_losses: Vectors
    held_out_losses: Vectors
    trials: Sequence[Trial]
    folds: Sequence[FoldOutcome]
    influence: Influence
    reason: str
    metric: ScoreMetric
    shortlists: Shortlists
    config: AdaptationConfig
    seed: int

    @property
    def is_changed(self) -> bool:
        """Return whether the adapter differs from the aligned one."""
        is_own = self.strength is not None or self.blend.n_steps > 0
        return is_own or self.adapter.word_weight != self.metric.aligned.word_weight


def adapt(
    aligned: QueryAdapter,
    labelled: LabelledQueries,
    texts: AlignmentTexts,
    index: DenseIndex,
    device: str,
    seed: int,
    config: AdaptationConfig | None = None,
    progress: Progress = no_progress,
    lexical: LexicalIndex | None = None,
) -> Adaptation:
    """Learn from the labelled queries how to blend and change the aligned adapter.

    With `lexical`, matching words count in all that is decided by rankings, and how much they count is learned as well.

    Every query is ranked by what the same procedure, gate included, makes of the queries outside its fold (nested
    cross-validation), so `held_out_vectors` owe nothing to the labels of their own query or of its near-copies. One bit
    is decided on all queries together: if they gain nothing on average, the aligned adapter stays, for all of them.

    Raises:
        Cancelled: if `progress` raises it, which is asked at every step.
    """
    config = config or AdaptationConfig()
    groups = group_queries(
        [query.text for query in labelled.queries], labelled.encoded.plain, texts.strong, labelled.relevant
    )
    folds = assign_folds(groups, config.n_folds, seed)
    measure = LabelMeasure.of(labelled, index, lexical)
    blends = BlendGains.measure(aligned, measure, progress)

    progress("adaptation", SHARE_BEFORE_FITS, "choosing documents to contrast")
    metric = ScoreMetric.build(aligned, texts, config.ridge)
    shortlists = shortlist(labelled, aligned, index, config.mining.n_top, {})
    problem = _problem(metric, labelled, shortlists, blends.vectors, index, device, seed, config)
    fits = Fits.plan(int(folds.max()) + 1, lambda without: _blend_without(blends, folds, without))
    procedure = _Procedure(measure, config, folds, blends, fits, problem, problem.solve(fits.names, folds, progress))

    is_measurable = fits.n_folds > 2  # with two folds, nothing could be learned and checked without one of them
    learned = procedure.learn(frozenset()) if is_measurable else procedure.nothing(frozenset())
    by_fold = [procedure.learn(frozenset({fold})) for fold in range(fits.n_folds)]
    values = measure.values(procedure.cross_fitted(by_fold), procedure.word_weights(by_fold))
    outcomes = [
        FoldOutcome(
            n=int((folds == fold).sum()),
            before=float(blends.values[0][folds == fold].mean()),
            after=float(values[folds == fold].mean()),
            strength=each.choice.strength_of(config.strengths),
            blend=blends.blends[each.choice.blend].factors,
        )
        for fold, each in enumerate(by_fold)
    ]
    deployed = learned.choice
    full = procedure.solved.of(deployed)
    is_changed = deployed.blend > 0 or full is not None
    is_reweighed = learned.word_weight != WORD_WEIGHT
    if not is_changed and not is_reweighed:
        by_fold = [procedure.nothing(frozenset({fold})) for fold in range(fits.n_folds)]
        values = blends.values[0]
    adapter, share = blends.blends[deployed.blend].apply(aligned) if deployed.blend else aligned, 0.0
    if is_reweighed:
        adapter = replace(adapter, word_weight=learned.word_weight)
    if full is not None:
        adapter, share = problem.space.changed_adapter(adapter, full), float((full**2).sum())
    choices = [deployed, *(each.choice for each in by_fold)]
    influence = Influence(
        query_ids=[query.query_id for query in labelled.queries],
        views=metric.views,
        keys=problem.space.keys,
        centre=metric.centre,
        moves=np.stack([problem.contributions(choice, procedure.solved, folds) for choice in choices]),
        blends=[blends.blends[choice.blend].factors for choice in choices],
        folds=folds.tolist(),
    )
    start = _blend_without(blends, folds, frozenset())
    held_out_losses, start_losses, shares_moved = procedure.losses_without(start, frozenset())
    progress("adaptation", 1.0, "done")
    return Adaptation(
        adapter=adapter,
        blend=blends.blends[deployed.blend],
        strength=deployed.strength_of(config.strengths),
        share_moved=share,
        held_out_vectors=procedure.cross_fitted(by_fold),
        held_out_word_weights=procedure.word_weights(by_fold),
        gains=values - blends.values[0],
        gate_gain=learned.gain,
        groups=groups,
        start_losses=procedure.solved.start_losses[start],
        held_out_losses=held_out_losses,
        trials=trials_of(config.strengths, held_out_losses, start_losses, shares_moved),
        folds=outcomes,
        influence=influence,
        reason=_reason(fits.n_folds, is_changed, learned.gain > config.minimum_gain, is_reweighed),
        metric=metric,
        shortlists=shortlists,
        config=config,
        seed=seed,
    )


@dataclass(frozen=True, slots=True)
class _Learned:
    """What the procedure makes of some of the folds, and the mean held-out gain by which its last gate decided."""

    choice: Choice
    gain: float
    word_weight: float


@dataclass(frozen=True, slots=True, eq=False)
class _Procedure:
    """All that is decided by labels, on any set of folds, by fits that were made beforehand."""

    measure: LabelMeasure
    config: AdaptationConfig
    folds: Folds
    blends: BlendGains
    fits: Fits
    problem: Problem
    solved: Solved

    def learn(self, without: frozenset[int]) -> _Learned:
        """Choose blend and strength on the folds that are not left out, and keep them only if they help there."""
        kept = np.flatnonzero(~np.isin(self.folds, list(without)))
        others = [fold for fold in range(self.fits.n_folds) if fold not in without]
        if len(others) < 2:  # what one fold teaches cannot be checked
            return self.nothing(without)
        vectors = self.blends.vectors[0].copy()
        for fold in others:
            rows = self.folds == fold
            vectors[rows] = self._vectors(self._choose(without | {fold}))[rows]
        vectors = normalise(vectors)
        gain = float((self.measure.values(vectors) - self.blends.values[0])[kept].mean())
        choice = self._choose(without)
        if gain <= self.config.minimum_gain:
            choice, vectors = Choice((0, without), None), normalise(self.blends.vectors[0])
        return _Learned(choice, gain, self.measure.choose_word_weight(kept, vectors[kept]))

    def nothing(self, without: frozenset[int]) -> _Learned:
        """Return the aligned adapter as it is."""
        return _Learned(Choice((0, without), None), 0.0, WORD_WEIGHT)

    def word_weights(self, by_fold: Sequence[_Learned]) -> list[float]:
        """Return (n,): what words weigh for each query by what was learned without its fold."""
        return [by_fold[fold].word_weight for fold in self.folds]

    def cross_fitted(self, by_fold: Sequence[_Learned]) -> Vectors:
        """Return (n, m) of length 1: each query by what was learned without its fold."""
        vectors = np.empty_like(self.blends.vectors[0])
        for fold, learned in enumerate(by_fold):
            rows = self.folds == fold
            vectors[rows] = self._vectors(learned.choice)[rows]
        return normalise(vectors)

    def losses_without(self, start: int, without: frozenset[int]) -> tuple[Vectors, Vectors, Vectors]:
        """Return (S, k) held-out losses, (k,) losses at the start, (S,) shares that the fit on all k queries moves."""
        rows, places = self.fits.held_out(self.folds, start, without)
        shares = self.solved.shares_moved(self.fits.names.index((start, without)))
        return self.solved.losses[:, places, rows], self.solved.start_losses[start, rows], shares

    def _choose(self, without: frozenset[int]) -> Choice:
        start = _blend_without(self.blends, self.folds, without)
        rows, places = self.fits.held_out(self.folds, start, without)
        losses, before = self.solved.losses[:, places, rows], self.solved.start_losses[start, rows]
        return Choice((start, without), best_strength(losses, before))

    def _vectors(self, choice: Choice) -> Vectors:
        """Return (n, m), of any length: the labelled queries by one fit."""
        vectors: Vectors = self.blends.vectors[choice.blend]
        coefficients = self.solved.of(choice)
        return vectors if coefficients is None else vectors + self.problem.space.vector_changes(coefficients)


def _blend_without(blends: BlendGains, folds: Folds, without: frozenset[int]) -> int:
    return blends.choose(np.flatnonzero(~np.isin(folds, list(without))))


def refit(previous: Adaptation, labelled: LabelledQueries, index: DenseIndex, device: str) -> QueryAdapter:
    """Return the adapter that `previous` becomes with today's labels; for re-ranking while somebody judges.

    Blend, strength and weight of words stay as they were chosen, so nothing is held out and no evidence of the gain
    comes with it; `adapt` decides anew. Queries that `previous` knew are not searched for again.
    """
    metric, config = previous.metric, previous.config
    start = replace(previous.blend.apply(metric.aligned), word_weight=previous.adapter.word_weight)
    if previous.strength is None:
        return start
    shortlists = shortlist(labelled, metric.aligned, index, config.mining.n_top, previous.shortlists)
    starts = [adapter.features(labelled.encoded) @ adapter.weight + adapter.bias for adapter in (metric.aligned, start)]
    only = replace(config, strengths=(previous.strength,))
    problem = _problem(metric, labelled, shortlists, np.stack(starts), index, device, previous.seed, only)
    solved = problem.solve([(1, frozenset())], np.zeros(len(labelled), np.int64), no_progress)
    return problem.space.changed_adapter(start, solved.coefficients[0, 0])


def _problem(
    metric: ScoreMetric,
    labelled: LabelledQueries,
    shortlists: Shortlists,
    starts: Vectors,
    index: DenseIndex,
    device: str,
    seed: int,
    config: AdaptationConfig,
) -> Problem:
    return Problem.build(
        metric=metric,
        labelled=labelled,
        unjudged=unjudged_candidates(labelled, shortlists, index, config.mining, seed),
        starts=starts,
        index=index,
        device=device,
        temperature=config.temperature,
        strengths=config.strengths,
        n_iterations=config.n_iterations,
    )


def _reason(n_folds: int, is_changed: bool, has_helped: bool, is_reweighed: bool) -> str:
    """Return in words what the last gate decided; it counts no queries, since what is shown may measure otherwise."""
    if n_folds < 3:
        one_more = ("one query teaches", "two more queries") if n_folds < 2 else ("two queries teach", "a third query")
        return (
            f"What {one_more[0]} cannot be checked on others yet, so the aligned ranking stays as it was. "
            f"Mark relevant documents for {one_more[1]} asking for something else."
        )
    if not is_changed and is_reweighed:
        return (
            "Your marks say how much matching words should count, and that is kept. Where the vector of a query should "
            "move, they do not say surely yet; more marked queries usually change that."
        )
    if not is_changed and has_helped:
        return (
            "What was learned without one part of the queries helped that part on average, but all marks together "
            "point to no sure change, so the aligned ranking stays as it was. More marked queries usually change that."
        )
    if not is_changed:
        return (
            "On queries it had not seen, what could be learned from these marks did not help, "
            "so the aligned ranking stays as it was. More marked queries usually change that."
        )
    return (
        "What was learned is kept: with it, the first hundred documents of queries held out in turn were ranked better "
        "on average than by the aligned model."
    )
