"""The query adapter: one affine map from what the query side knows to a vector in document space.

Every recipe, and every baseline over the same index, ends up as one of these; how it was learned is recorded in
`provenance`, not in the type. Reads and writes safetensors and JSON only.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from era.encoders.base import EncodedQueries, Vectors
from era.errors import AdapterDamagedError, DamagedFileError
from era.index.lexical import WORD_WEIGHT
from era.intact import read_json, write_json
from era.method.expansion import Neighbourhood

QueryView = Literal["instructed", "mean", "light", "neighbours"]
"""`instructed` (p): strong embedder on instruction and text. `mean` (p): mean of that and of the text alone. `light`
(m): light embedder on the text alone. `neighbours` (m): what a `Neighbourhood` says of the `mean` view."""

HELD_OUT = "held_out"
"""Of the extra arrays of a saved adapter: (n, m), the vectors of the queries it learned from, held out."""

HELD_OUT_WORD_WEIGHTS = "held_out_word_weights"
"""In its provenance: what words weigh for each of these."""

_WEIGHTS_FILE = "adapter.safetensors"
_ABOUT_FILE = "adapter.json"
_NEIGHBOURHOOD_ARRAYS = {
    "keys": "neighbourhood.keys",
    "values": "neighbourhood.values",
    "centre": "neighbourhood.centre",
}
_EXTRA_PREFIX = "extra."
_WORD_WEIGHT_BEFORE_0_7 = 0.25  # which did not say so
_LIGHT_VIEWS = ("light", "neighbours")


@dataclass(frozen=True, slots=True, eq=False)
class QueryAdapter:
    """Maps features x (d,) of a query to the unit vector of `x @ weight + bias` (m,).

    The features are the `views` side by side; `neighbourhood` is there if, and only if, `neighbours` is one of them.
    `word_weight` is what matching words weigh where they count beside the vector; see `era.index.lexical`.
    """

    views: tuple[QueryView, ...]
    weight: Vectors  # (d, m)
    bias: Vectors  # (m,)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    neighbourhood: Neighbourhood | None = None
    word_weight: float = WORD_WEIGHT

    def __post_init__(self) -> None:
        if not 0 <= self.word_weight < np.inf:
            raise ValueError(f"Expected a weight of words >= 0, got {self.word_weight}.")
        if ("neighbours" in self.views) != (self.neighbourhood is not None):
            raise ValueError(f"Views {self.views} need a neighbourhood exactly if `neighbours` is one of them.")
        if not self.views or any(view not in get_args(QueryView) for view in self.views):
            raise ValueError(f"Expected views out of {get_args(QueryView)}, got {self.views}.")
        if self.weight.ndim != 2 or self.bias.shape != (self.weight.shape[1],):
            raise ValueError(f"Weight {self.weight.shape} and bias {self.bias.shape} do not fit together.")
        if self.neighbourhood is not None and self.neighbourhood.values.shape[1] != self.weight.shape[1]:
            raise ValueError(f"Neighbours of {self.neighbourhood.values.shape[1]} dimensions do not fit the weight.")

    def transform(self, queries: EncodedQueries) -> Vectors:
        """Return (n, m), L2-normalised, ready to search the document index."""
        return normalise(self.features(queries) @ self.weight + self.bias)

    def features(self, queries: EncodedQueries) -> Vectors:
        """Return (n, d): the views of each query side by side."""
        return np.concatenate([self._view(queries, view) for view in self.views], axis=1)

    def rows(self, view: QueryView) -> slice:
        """Return the rows of `weight` that read a view."""
        m = self.weight.shape[1]
        n_light = sum(v in _LIGHT_VIEWS for v in self.views)
        n_strong = len(self.views) - n_light
        sizes = [m if v in _LIGHT_VIEWS else (len(self.weight) - m * n_light) // n_strong for v in self.views]
        place = self.views.index(view)
        start = sum(sizes[:place])
        return slice(start, start + sizes[place])

    def _view(self, queries: EncodedQueries, view: QueryView) -> Vectors:
        if view == "instructed":
            return queries.instructed
        if view == "light":
            return queries.light
        mean = np.asarray((queries.instructed + queries.plain) / 2, np.float32)
        return mean if self.neighbourhood is None or view == "mean" else self.neighbourhood.vectors(mean)

    def _require_numbers(self, extra: Mapping[str, Vectors]) -> None:
        near = self.neighbourhood
        parts = () if near is None else (near.keys, near.values, near.centre)
        if not all(np.isfinite(array).all() for array in (self.weight, self.bias, *parts, *extra.values())):
            raise ValueError("it holds something that is no number")

    def save(self, folder: Path, extra: Mapping[str, Vectors] | None = None) -> None:
        """Write weights and provenance into a folder that appears only when complete.

        Args:
            folder: must not exist yet.
            extra: further named arrays to keep beside the weights (cross-fitted query vectors).

        Raises:
            FileExistsError: if the folder exists; adapters are never overwritten.
        """
        if folder.exists():
            raise FileExistsError(f"{folder} exists already; a saved adapter is never overwritten.")
        scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
        scratch.mkdir(parents=True, exist_ok=True)
        arrays = {"weight": self.weight, "bias": self.bias}
        arrays |= {_EXTRA_PREFIX + name: array for name, array in (extra or {}).items()}
        about: dict[str, Any] = {"views": list(self.views), "provenance": dict(self.provenance)}
        about["word_weight"] = self.word_weight
        if self.neighbourhood is not None:
            arrays |= {name: getattr(self.neighbourhood, part) for part, name in _NEIGHBOURHOOD_ARRAYS.items()}
            about["neighbourhood_temperature"] = self.neighbourhood.temperature
        save_file({name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}, scratch / _WEIGHTS_FILE)
        write_json(scratch / _ABOUT_FILE, about, [scratch / _WEIGHTS_FILE])
        scratch.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> "tuple[QueryAdapter, dict[str, Vectors]]":
        """Read an adapter and the extra arrays saved with it.

        Raises:
            AdapterDamagedError: if a file is missing, is not what was saved, or does not hold an adapter.
        """
        try:
            about = read_json(folder / _ABOUT_FILE)
            arrays: dict[str, Vectors] = load_file(folder / _WEIGHTS_FILE)
            neighbourhood = None
            if "neighbourhood_temperature" in about:
                parts = {part: arrays.pop(name) for part, name in _NEIGHBOURHOOD_ARRAYS.items()}
                neighbourhood = Neighbourhood(**parts, temperature=about["neighbourhood_temperature"])
            weight, bias = arrays.pop("weight"), arrays.pop("bias")
            word_weight = float(about.get("word_weight", _WORD_WEIGHT_BEFORE_0_7))
            adapter = cls(tuple(about["views"]), weight, bias, about["provenance"], neighbourhood, word_weight)
            adapter._require_numbers(arrays)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, DamagedFileError) as error:
            raise AdapterDamagedError(
                f"The saved adapter in {folder} is missing or damaged ({error}). Your marks do not lie in it and are "
                "not affected; train again."
            ) from error
        return adapter, {name.removeprefix(_EXTRA_PREFIX): array for name, array in arrays.items()}


class HeldOut(NamedTuple):
    """What a labelled query is searched with by an adapter that never saw its labels.

    Attributes:
        vector: (m,) of length 1.
        word_weight: of matching words, where they count.
    """

    vector: Vectors
    word_weight: float


def held_out_of(adapter: QueryAdapter, extra: Mapping[str, Vectors]) -> dict[str, HeldOut]:
    """Return query id -> what ranks it honestly, of the queries that a saved adapter learned from.

    Raises:
        ValueError: if it is incomplete.
    """
    query_ids = list(adapter.provenance.get("query_ids", ()))
    vectors = extra.get(HELD_OUT)
    weights = adapter.provenance.get(HELD_OUT_WORD_WEIGHTS, [_WORD_WEIGHT_BEFORE_0_7] * len(query_ids))
    if vectors is None or not len(vectors) == len(query_ids) == len(weights):
        raise ValueError("it is incomplete")
    if not all(isinstance(weight, int | float) and 0 <= weight < np.inf for weight in weights):
        raise ValueError("it does not say what matching words weigh")
    return {name: HeldOut(*each) for name, *each in zip(query_ids, vectors, weights, strict=True)}


def normalise(vectors: Vectors) -> Vectors:
    """Return the rows scaled to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def light_only(dimension: int) -> QueryAdapter:
    """Return the baseline that searches with the light embedder's own query vector."""
    return QueryAdapter(
        ("light",), np.eye(dimension, dtype=np.float32), np.zeros(dimension, np.float32), {"recipe": "light"}
    )


def strong_only(dimension: int) -> QueryAdapter:
    """Return what searches an index of the strong embedder with the mean of a query with and without instruction."""
    return QueryAdapter(
        ("mean",), np.eye(dimension, dtype=np.float32), np.zeros(dimension, np.float32), {"recipe": "strong"}
    )
