"""Read an adapter: from a folder that `adapt` wrote, or as it was taken out of the app, packed or unpacked."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from era.adapter import HELD_OUT, HeldOut, QueryAdapter, held_out_of
from era.encoders.base import EmbedderPair
from era.errors import AdapterDamagedError, IdentityMismatchError
from era.types import Query

QUERY_HASHES = "query_hashes"
_RUN_FILE = "run.json"  # which queries an adapter of the app learned from
_MOST_BYTES: Mapping[str, int] = {"adapter.safetensors": 2 << 30, "adapter.json": 256 << 20, _RUN_FILE: 256 << 20}
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class SavedAdapter:
    """An adapter and what is known of the queries that it learned from.

    Attributes:
        adapter: itself.
        held_out: hash of a query that it learned from -> what ranks it without having seen its judgments.
        is_unclear: whether it learned from queries that cannot be told from others.
    """

    adapter: QueryAdapter
    held_out: Mapping[str, HeldOut]
    is_unclear: bool


def hash_of(query: Query) -> str:
    """Return what is equal for queries of equal text and instruction, whatever their ids."""
    return _hash(query.text, query.instruction)


def load_adapter(path: Path, pair: EmbedderPair) -> SavedAdapter:
    """Read an adapter that was made with these embedders.

    Raises:
        AdapterDamagedError: if there is none, or it is incomplete.
        IdentityMismatchError: if it was made with other embedders.
    """
    if path.is_dir():
        return _load(path, str(path), pair)
    if not (path.is_file() and zipfile.is_zipfile(path)):
        raise AdapterDamagedError(
            f"There is no adapter {str(path)!r}. Give the folder or the zip file of one, or light, aligned or bm25."
        )
    with tempfile.TemporaryDirectory() as scratch:
        _unpack(path, Path(scratch))
        return _load(Path(scratch), str(path), pair)


def _load(folder: Path, name: str, pair: EmbedderPair) -> SavedAdapter:
    adapter, extra = QueryAdapter.load(folder)
    made = adapter.provenance
    for side, embedder in (("strong", pair.strong), ("light", pair.light)):
        made_with = made.get(f"{side}_embedder")
        if made_with and made_with != asdict(embedder.identity):
            raise IdentityMismatchError(
                f"The adapter {name} was made with {made_with.get('name', 'another embedder')} as its {side} embedder, "
                f"but {embedder.identity.name} is loaded. "
                "Choose the embedders it was made with (--embedders), or learn it again."
            )
    hashes = made.get(QUERY_HASHES) or _packed_hashes(folder)
    try:
        found = held_out_of(adapter, {HELD_OUT: np.empty((0, adapter.weight.shape[1]), np.float32), **extra})
    except ValueError as error:
        raise AdapterDamagedError(
            f"The adapter {name} is damaged ({error}). Your judgments are safe; learn it again."
        ) from error
    held_out = {hashes[query_id]: each for query_id, each in found.items() if query_id in hashes}
    return SavedAdapter(adapter, held_out, is_unclear=any(query_id not in hashes for query_id in found))


def _packed_hashes(folder: Path) -> dict[str, str]:
    """Return the hashes of the queries that the app packed with an adapter; empty if it packed none."""
    try:
        packed: Any = json.loads((folder / _RUN_FILE).read_text(encoding="utf-8"))
        return {key: _hash(query["text"], query["instruction"]) for key, query in packed["queries"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _unpack(archive: Path, folder: Path) -> None:
    """Write the files of an adapter into a folder; no name in the zip becomes a path."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for name in set(_MOST_BYTES) & set(opened.namelist()):
                left = _MOST_BYTES[name]
                with opened.open(name) as source, (folder / name).open("wb") as written:
                    while block := source.read(_BLOCK):
                        left -= len(block)
                        if left < 0:
                            raise AdapterDamagedError(f"{name} in {archive} is larger than any adapter.")
                        written.write(block)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise AdapterDamagedError(f"{archive} is damaged ({error}). Take the adapter out again.") from error


def _hash(text: str, instruction: str) -> str:
    return hashlib.sha256(json.dumps([text, instruction]).encode()).hexdigest()
