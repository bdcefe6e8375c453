"""Adaptation where it is large: 1,000 labelled queries over 1,000,000 made-up documents.

The strong vectors are random unit vectors, the light ones a random linear map of them plus noise; a query is a strong
vector seen twice with some noise, and relevant to it are the documents nearest in strong space. The strong vectors of
all documents are never there at once.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, Target
from benchmarks.fresh_processes import peak_memory_bytes
from benchmarks.workload import Workload
from era.adapter import normalise
from era.encoders.base import EmbedderIdentity, EncodedQueries, Vectors
from era.encoders.spec import MAX_ALIGNMENT_TEXTS
from era.index.dense import DenseIndex
from era.method.adaptation import adapt
from era.method.alignment import AlignmentTexts, align_by_decoding
from era.types import Query

N_DOCUMENTS = 1_000_000
N_LABELS = 1_000
_STRONG, _LIGHT = 384, 256
_N_RELEVANT = 10
_CHUNK = 20_000
_NOISE = 0.5  # length of the noise beside a vector of length 1
_SEED = 0
_MEBIBYTE = 2**20


def make_world(folder: Path) -> list[Figure]:
    """Write a `Workload` into an empty folder; in a process of its own, for it needs more memory than `adapt`."""
    world = _make_world()
    figure = _peak("peak of making the index, the vectors it is made from included", world)
    world.save(folder)
    return [figure]


def adapt_in_world(folder: Path) -> list[Figure]:
    """Return how long each phase of `adapt` takes, and the peak of this process."""
    world = Workload.load(folder)
    aligned, labelled, clock = align_by_decoding(world.texts), world.labelled(N_LABELS), _PhaseClock()
    adapt(aligned, labelled, world.texts, world.index, "cpu", _SEED, progress=clock)
    seconds = clock.seconds_by_phase()
    what = f"adapt with {len(labelled):,} labelled queries over {len(world.index):,} documents"
    return [
        Figure("scale", what, "s", sum(seconds.values()), target=Target("ours", "<=", 600)),
        *(Figure("scale", f"of this: {phase}", "s", value) for phase, value in seconds.items()),
        _peak("peak of loading the index and adapting", world, Target("ours", "<=", 6144)),
    ]


def _peak(what: str, world: Workload, target: Target | None = None) -> Figure:
    vectors = world.index.size_bytes / _MEBIBYTE
    return Figure("scale", what, "MiB", peak_memory_bytes() / _MEBIBYTE, "the vectors of the index", vectors, target)


class _PhaseClock:
    """A `Progress` that sums up the time between reports by what the earlier one said, numbers left out."""

    def __init__(self) -> None:
        self._reports: list[tuple[str, float]] = [("starting", time.perf_counter())]

    def __call__(self, stage: str, fraction: float, detail: str = "") -> None:
        self._reports.append((detail.partition(",")[0], time.perf_counter()))

    def seconds_by_phase(self) -> dict[str, float]:
        """Return the phases in the order in which they began."""
        seconds: dict[str, float] = {}
        ends = [*(began for _, began in self._reports[1:]), time.perf_counter()]
        for (phase, began), ended in zip(self._reports, ends, strict=True):
            seconds[phase] = seconds.get(phase, 0.0) + ended - began
        return seconds


def _make_world() -> Workload:
    rng = np.random.default_rng(_SEED)
    to_light = (rng.standard_normal((_STRONG, _LIGHT)) / np.sqrt(_STRONG)).astype(np.float32)
    wanted = normalise(rng.standard_normal((N_LABELS, _STRONG), np.float32))
    light = np.empty((N_DOCUMENTS, _LIGHT), np.float32)
    best_scores = np.full((N_LABELS, _N_RELEVANT), -np.inf, np.float32)
    best_rows = np.zeros((N_LABELS, _N_RELEVANT), np.int64)
    first_strong: list[Vectors] = []  # the documents are drawn alike: the first ones are a random sample
    for first, strong in _strong_vectors(rng):
        light[first : first + len(strong)] = normalise(_noisy(strong @ to_light, rng))
        if first < MAX_ALIGNMENT_TEXTS:
            first_strong.append(strong)
        scores = np.concatenate([best_scores, wanted @ strong.T], axis=1)
        rows = np.concatenate([best_rows, np.tile(np.arange(first, first + len(strong)), (N_LABELS, 1))], axis=1)
        places = np.argpartition(-scores, _N_RELEVANT, axis=1)[:, :_N_RELEVANT]
        best_scores, best_rows = np.take_along_axis(scores, places, 1), np.take_along_axis(rows, places, 1)
    doc_ids = [str(row) for row in range(N_DOCUMENTS)]
    identity = EmbedderIdentity("made up", "0", _LIGHT, None, "", "")
    index = DenseIndex(doc_ids, light, identity)
    strong_texts = np.concatenate(first_strong)[:MAX_ALIGNMENT_TEXTS]
    texts = AlignmentTexts(doc_ids[:MAX_ALIGNMENT_TEXTS], strong_texts, light[:MAX_ALIGNMENT_TEXTS].copy())
    encoded = EncodedQueries(
        instructed=normalise(_noisy(wanted, rng)),
        plain=normalise(_noisy(wanted, rng)),
        light=normalise(_noisy(wanted @ to_light, rng)),
    )
    queries = [Query(f"q{i}", f"made-up query {i}") for i in range(N_LABELS)]
    qrels = {f"q{i}": {doc_ids[row]: 1.0 for row in rows} for i, rows in enumerate(best_rows.tolist())}
    return Workload([], index, texts, queries, encoded, qrels)


def _strong_vectors(rng: np.random.Generator) -> Iterator[tuple[int, Vectors]]:
    """Yield the row of the first document of a chunk, and the strong vectors of the chunk."""
    for first in range(0, N_DOCUMENTS, _CHUNK):
        n = min(_CHUNK, N_DOCUMENTS - first)
        yield first, normalise(rng.standard_normal((n, _STRONG), np.float32))


def _noisy(vectors: Vectors, rng: np.random.Generator) -> Vectors:
    noise = rng.standard_normal(vectors.shape, np.float32) * np.float32(_NOISE / np.sqrt(vectors.shape[1]))
    return vectors + noise
