"""A trained adapter: what was learned, from which labels, with which encoders, and how it did on held-out queries.

It is one folder, or one zip file, of safetensors and JSON; the app, the command line and a notebook write and read the
same. An adapter leads from the query side of a pair of encoders to the vectors of one of them, so it can be used with
every collection of these encoders.
"""

import hashlib
import json
import platform
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from era.adapter import HELD_OUT, HELD_OUT_WORD_WEIGHTS, HeldOut, QueryAdapter, held_out_of
from era.corpus import Corpus
from era.encoders.base import EmbedderIdentity, EmbedderPair, Vectors
from era.errors import AdapterDamagedError, IdentityMismatchError
from era.evaluation.figures import difference, figure, interval
from era.evaluation.measures import MEASURES
from era.index.dense import DenseIndex
from era.intact import require_unit_rows
from era.method.certainty import Certainty
from era.method.influence import Influence
from era.types import Qrels, Query

if TYPE_CHECKING:
    from era.method.recipes import Fit

WEIGHTS_FILE, ABOUT_FILE, RUN_FILE = "adapter.safetensors", "adapter.json", "run.json"
MOST_BYTES: Mapping[str, int] = {WEIGHTS_FILE: 2 << 30, ABOUT_FILE: 256 << 20, RUN_FILE: 256 << 20}
"""What is read of a packed adapter; `run.json`, which the app adds, tells the queries that it learned from."""

SIDES = ("strong_embedder", "light_embedder")
"""In the provenance: the identities of the encoder that reads queries, and of the one that has read the documents."""

_PACKAGES = ("torch", "sentence-transformers", "faiss-cpu", "numpy", "ir-measures")
_QUERIES, _QUERY_HASHES, _GAINS, _INFLUENCE = "queries", "query_hashes", "gains", "influence_"
_DAMAGED = "Your judgments do not lie in it and are not affected; train again."
_BLOCK = 1 << 20


def made_with(pair: EmbedderPair, index: DenseIndex, corpus: Corpus, device: str) -> dict[str, Any]:
    """Return encoders, documents, index, versions and device, as they are kept in the provenance of an adapter."""
    return {
        "strong_embedder": asdict(pair.strong.identity),
        "light_embedder": asdict(pair.light.identity),
        "index_fingerprint": index.fingerprint,
        "corpus_fingerprint": corpus.fingerprint,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "device": device,
    }


@dataclass(frozen=True, eq=False)
class TrainedAdapter:
    """An adapter with everything that is known of it.

    Attributes:
        adapter: what maps queries; its provenance says what it was made of.
        arrays: kept beside its weights: vectors of held-out queries, their gains, the influence of each label.
    """

    adapter: QueryAdapter
    arrays: Mapping[str, Vectors]

    @classmethod
    def of(
        cls,
        fitted: "Fit",
        made_with: Mapping[str, Any],
        *,
        recipe: str,
        seed: int,
        labels: Qrels,
        measures: Mapping[str, Any],
        queries: Iterable[Query] = (),
        snapshot_hash: str = "",
    ) -> "TrainedAdapter":
        """Put together what a recipe learned and what it was learned from.

        Args:
            fitted: what `era.method.recipes.fit` returned.
            made_with: see the function of this name.
            recipe: its name.
            seed: of everything random.
            labels: the judgments it was given; only those of queries that taught something are kept if there are
                `queries`.
            measures: JSON-ready, on queries held out.
            queries: the words of the queries it learned from, by which other collections recognise them; the app keeps
                them in its database instead.
            snapshot_hash: SHA-256 of the labels; computed if empty.
        """
        taught = set(fitted.query_ids)
        words = {query.query_id: query for query in queries if query.query_id in taught}
        kept = {name: dict(labels[name]) for name in sorted(words or labels) if name in labels}
        provenance = {
            **fitted.adapter.provenance,
            **made_with,
            "recipe": recipe,
            "seed": seed,
            "config": fitted.config,
            "label_snapshot": kept,
            "snapshot_hash": snapshot_hash or hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest(),
            "query_ids": list(fitted.query_ids),
            HELD_OUT_WORD_WEIGHTS: list(fitted.held_out_word_weights),
            "measures": {**measures, "report": dict(fitted.report)},
        }
        if words:
            provenance[_QUERIES] = {
                query_id: {"text": query.text, "instruction": query.instruction} for query_id, query in words.items()
            }
        arrays: dict[str, Vectors] = {
            HELD_OUT: fitted.held_out_vectors,
            _GAINS: np.asarray(fitted.certainty.gains, np.float32),
        }
        if fitted.influence is not None:
            provenance["influence"] = fitted.influence.facts()
            arrays |= {f"{_INFLUENCE}{name}": array for name, array in fitted.influence.arrays().items()}
        return cls(replace(fitted.adapter, provenance=provenance), arrays)

    @classmethod
    def untrained(cls, adapter: QueryAdapter, made_with: Mapping[str, Any], recipe: str, seed: int) -> "TrainedAdapter":
        """Return an adapter that has seen no label, such as the aligned one."""
        about = {**adapter.provenance, **made_with, "recipe": recipe, "seed": seed, "query_ids": []}
        return cls(replace(adapter, provenance=about), {})

    @classmethod
    def load(cls, path: Path | str) -> "TrainedAdapter":
        """Read an adapter from a folder, a zip file, or the Hugging Face Hub (`owner/name`).

        Raises:
            AdapterDamagedError: if there is none, it is incomplete, or not what was saved.
        """
        from era.io.hub import is_hub_name

        if is_hub_name(str(path)):
            return cls._of_folder(_fetched(str(path)), str(path))
        folder = Path(path)
        if folder.is_dir():
            return cls._of_folder(folder, str(path))
        if not (folder.is_file() and zipfile.is_zipfile(folder)):
            raise AdapterDamagedError(f"There is no adapter {str(path)!r}. Give the folder or the zip file of one.")
        with tempfile.TemporaryDirectory() as scratch:
            unpack(folder, Path(scratch))
            return cls._of_folder(Path(scratch), str(path))

    @classmethod
    def _of_folder(cls, folder: Path, name: str) -> "TrainedAdapter":
        adapter, arrays = QueryAdapter.load(folder)
        if not isinstance(adapter.provenance, dict):
            raise AdapterDamagedError(f"The adapter {name} does not say what it was made with. {_DAMAGED}")
        if _QUERIES not in adapter.provenance and (packed := _packed_queries(folder)):
            adapter = replace(adapter, provenance={**adapter.provenance, _QUERIES: packed})
        trained = cls(adapter, arrays)
        try:
            for array in sorted({HELD_OUT, "keys"} & arrays.keys()):
                require_unit_rows(arrays[array], f"its arrays {array!r}")
            _ = trained.held_out
        except ValueError as error:
            raise AdapterDamagedError(f"The saved adapter in {name} is damaged ({error}). {_DAMAGED}") from error
        return trained

    def save(self, path: Path | str) -> Path:
        """Write the adapter into a new folder, or into a zip file if the name ends so.

        Raises:
            FileExistsError: if it exists; adapters are never overwritten.
        """
        path = Path(path)
        if path.suffix.lower() != ".zip":
            self.adapter.save(path, self.arrays)
            return path
        if path.exists():
            raise FileExistsError(f"{path} exists already; a saved adapter is never overwritten.")
        with tempfile.TemporaryDirectory() as scratch:
            folder = self.save(Path(scratch, "adapter"))
            pack(folder, path, {})
        return path

    def push_to_hub(self, repo_id: str, *, private: bool = True, token: str | None = None) -> str:
        """Put the adapter into a model repository of the Hugging Face Hub, which is made if need be.

        What goes out holds the judgments and the words of the queries that it learned from.

        Returns:
            The address of the repository; `TrainedAdapter.load(repo_id)` reads it.

        Raises:
            huggingface_hub.errors.HfHubHTTPError: if the Hub does not take it.
        """
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        with tempfile.TemporaryDirectory() as scratch:
            folder = self.save(Path(scratch, "adapter"))
            (folder / "README.md").write_text(self.card(repo_id), encoding="utf-8")
            made = api.create_repo(repo_id, private=private, exist_ok=True, repo_type="model")
            api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Adapter learned with ERA")
        return str(made)

    def card(self, name: str) -> str:
        """Return the text of the README that lies beside a published adapter."""
        sides = "\n".join(f"- {side.split('_')[0]}: {self._called(side)}" for side in SIDES)
        return (
            f"---\ntags: [era, retrieval, query-adapter]\n---\n\n# {name}\n\nA query adapter, learned with ERA "
            f"(arXiv 2604.03403) from {len(self.query_ids):,} judged queries; the documents are read by the light "
            f"encoder.\n\n{sides}\n\n```\n{self!r}\n```\n\n    from era import TrainedAdapter\n\n    adapter = "
            f'TrainedAdapter.load("{name}")\n'
        )

    def with_provenance(self, **changes: Any) -> "TrainedAdapter":
        """Return the same adapter with other things said of what it was made of; what is None is not said any more."""
        kept = {name: value for name, value in {**self.provenance, **changes}.items() if value is not None}
        return TrainedAdapter(replace(self.adapter, provenance=kept), self.arrays)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Return what it was made of."""
        return self.adapter.provenance

    @property
    def recipe(self) -> str:
        """Return how it was learned."""
        return str(self.provenance.get("recipe", ""))

    @property
    def query_ids(self) -> list[str]:
        """Return the queries that it learned from, by the ids they had there."""
        return [str(query_id) for query_id in self.provenance.get("query_ids", ())]

    @property
    def labels(self) -> Qrels:
        """Return the judgments that it learned from."""
        labels: Qrels = self.provenance.get("label_snapshot", {})
        return labels

    @property
    def measures(self) -> Mapping[str, Any]:
        """Return how it did on queries held out, as it was measured when it was learned."""
        measures: Mapping[str, Any] = self.provenance.get("measures", {})
        return measures

    @property
    def queries(self) -> dict[str, Query]:
        """Return the queries that it learned from, by their ids, as far as their words were kept."""
        known = self.provenance.get(_QUERIES) or {}
        return {
            query_id: Query(query_id, str(each["text"]), str(each.get("instruction", "")))
            for query_id, each in known.items()
        }

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """Return `query_hash` of each query that it learned from, by its id, as far as that is known."""
        known = {query_id: query_hash(query) for query_id, query in self.queries.items()}
        return {**self.provenance.get(_QUERY_HASHES, {}), **known}

    @cached_property
    def held_out(self) -> Mapping[str, HeldOut]:
        """Return query id -> what ranks it without having seen its judgments."""
        nothing = {HELD_OUT: np.empty((0, self.adapter.weight.shape[1]), np.float32)}
        return held_out_of(self.adapter, {**nothing, **self.arrays})

    @cached_property
    def _held_out_by_hash(self) -> Mapping[str, HeldOut]:
        return {self.hashes[query_id]: each for query_id, each in self.held_out.items() if query_id in self.hashes}

    def held_out_for(self, query: Query) -> HeldOut | None:
        """Return what ranks a query that it learned from, told by text and instruction; None for other queries."""
        return self._held_out_by_hash.get(query_hash(query))

    @property
    def is_unclear(self) -> bool:
        """Return whether it learned from queries that cannot be told from others."""
        return any(query_id not in self.hashes for query_id in self.held_out)

    @property
    def certainty(self) -> Certainty | None:
        """Return what it did for queries that were held out; None where that was not kept."""
        return Certainty(self.arrays[_GAINS].astype(np.float64)) if _GAINS in self.arrays else None

    @property
    def influence(self) -> Influence | None:
        """Return what each labelled query contributes to it; None for recipes that do not add up.

        Raises:
            AdapterDamagedError: if it is incomplete.
        """
        facts = self.provenance.get("influence")
        if not facts:
            return None
        arrays = {name.removeprefix(_INFLUENCE): a for name, a in self.arrays.items() if name.startswith(_INFLUENCE)}
        return Influence.from_saved(arrays, facts)

    def require_made_with(self, pair: EmbedderPair, name: str = "This adapter") -> None:
        """Check that it was made with these encoders; what does not say so is believed to fit.

        Raises:
            IdentityMismatchError: naming both.
        """
        for side, encoder in zip(SIDES, (pair.strong, pair.light), strict=True):
            made = self.provenance.get(side)
            if made and made != asdict(encoder.identity):
                called = self._called(side) if made.get("name") == encoder.identity.name else made.get("name")
                raise IdentityMismatchError(
                    f"{name} was made with {called or 'another embedder'} as its {side.replace('_', ' ')}, but "
                    f"{encoder.identity.name} is loaded. Choose the embedders it was made with, or learn it again."
                )

    def _called(self, side: str) -> str:
        try:
            known = EmbedderIdentity(**self.provenance[side])
            return f"{known.name} (revision {known.revision[:12]}, {known.dimension} dimensions)"
        except (KeyError, TypeError):
            return "an embedder that it does not name"

    def __repr__(self) -> str:
        """Return what it learned from, and what that gained for queries held out."""
        measured = self.measures
        if not measured.get("means"):
            return f"TrainedAdapter({self.recipe}, no labels)"
        return f"TrainedAdapter({self.recipe})\n{held_out_in_words(measured)}"


def held_out_in_words(measures: Mapping[str, Any], decimals: int = 3) -> str:
    """Return a table of the means before and after learning, and how sure the difference is."""
    means: Mapping[str, Mapping[str, float]] = measures["means"]
    rows = [("light", "light model alone"), (measures.get("aligned", "aligned"), "aligned, no labels")]
    rows.append((measures.get("after", "after"), "after, held out"))
    names = sorted(means["light"], key=[*MEASURES, *means["light"]].index)  # JSON does not keep their order
    widths = [max(len(name), decimals + 2) for name in names]
    header = f"{'':<20}" + "  ".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
    lines = [header]
    for key, label in rows:
        values = [f"{figure(means[key][name], decimals):>{w}}" for name, w in zip(names, widths, strict=True)]
        lines.append(f"{label:<20}" + "  ".join(values))
    change = measures["from_light"]
    told = f"{names[0]} {difference(change['before'], change['after'], decimals)} against the light model alone"
    if change["low"] is not None:
        told += f" (95 % interval {' to '.join(interval(change['low'], change['high'], decimals))})"
    n = measures["n"]
    return "\n".join([*lines, f"{told}, {n:,} {'query' if n == 1 else 'queries'}"])


def query_hash(query: Query) -> str:
    """Return what is equal for queries of equal text and instruction, whatever their ids: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps([query.text, query.instruction]).encode()).hexdigest()


def pack(folder: Path, file: Path, texts: Mapping[str, str]) -> None:
    """Write the zip file of a saved adapter, with further texts by name; weights are stored as they are."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / WEIGHTS_FILE, WEIGHTS_FILE, zipfile.ZIP_STORED)
        archive.write(folder / ABOUT_FILE, ABOUT_FILE)
        for name, text in texts.items():
            archive.writestr(name, text)


def unpack(archive: Path, folder: Path, names: Sequence[str] = tuple(MOST_BYTES)) -> None:
    """Write the files of a packed adapter into a folder; no name in the zip becomes a path.

    Raises:
        AdapterDamagedError: if it is no zip file, damaged, or a file is larger than any adapter.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for name in set(names) & set(opened.namelist()):
                left = MOST_BYTES[name]
                with opened.open(name) as source, (folder / name).open("wb") as written:
                    while block := source.read(_BLOCK):
                        left -= len(block)
                        if left < 0:
                            raise AdapterDamagedError(f"{name} in {archive.name} is larger than any adapter.")
                        written.write(block)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, KeyError) as error:
        raise AdapterDamagedError(f"{archive.name} is damaged ({error}). Take the adapter out again.") from error


def _packed_queries(folder: Path) -> dict[str, dict[str, str]]:
    """Return the words of the queries that the app packed with an adapter; empty if it packed none."""
    try:
        packed: Any = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        return {
            str(query_id): {"text": str(query["text"]), "instruction": str(query["instruction"])}
            for query_id, query in packed["queries"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _fetched(repo_id: str) -> Path:
    """Return the folder that holds an adapter of the Hub; nothing but its two files is fetched."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo_id, allow_patterns=[WEIGHTS_FILE, ABOUT_FILE]))
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise AdapterDamagedError(
            f"{repo_id} is no folder here, and could not be fetched from the Hugging Face Hub ({first}). Check the "
            "name and the connection."
        ) from error
