"""The zip file of an adapter: safetensors and JSON inside, read as if a stranger had packed it.

Only four names are looked at, none of them becomes a path, sizes are limited before anything is unpacked, and what the
pages will show is checked here, so that nothing that comes in can break them.
"""

import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from annotation.training.choice import Ranking
from era.adapter import QueryAdapter
from era.encoders.base import Vectors
from era.errors import AdapterDamagedError, FormatError
from era.evaluation.measures import MEASURES
from era.io.limits import most_unpacked, size_in_words

WEIGHTS, ABOUT, RUN, README = "adapter.safetensors", "adapter.json", "run.json", "README.md"
VERSION = 1
MAX_WEIGHTS_BYTES = 512 * 2**20
MAX_JSON_BYTES = 64 * 2**20
_READ_AT_ONCE = 2**20

Labels = dict[str, dict[str, FiniteFloat]]
Count = int


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _Difference(_Model):
    before: FiniteFloat
    after: FiniteFloat
    low: FiniteFloat | None
    high: FiniteFloat | None
    n_better: Count
    n_same: Count
    n_worse: Count


class _TestedDifference(_Difference):
    p_value: FiniteFloat


class _Trial(_Model):
    strength: FiniteFloat
    gain: FiniteFloat
    standard_error: FiniteFloat


class _Fold(_Model):
    n: Count
    before: FiniteFloat
    after: FiniteFloat


class _Alignment(_Model):
    explained_variance: FiniteFloat | None
    mean_cosine: FiniteFloat | None
    n: Count


class _Report(_Model):
    reason: str
    is_changed: bool
    blend: dict[str, FiniteFloat] = {}
    strength: FiniteFloat | None = None
    strengths: list[_Trial] | None = None
    folds: list[_Fold] | None = None
    alignment_fit: _Alignment | None = None
    note: str | None = None


class _Cost(_Model):
    stage_seconds: dict[str, FiniteFloat] = {}
    memory_bytes: int | None = None
    gpu_memory_bytes: int | None = None


class _Choice(_Model):
    ranking: Ranking
    reason: str


class _Measures(_Model):
    n: Count
    means: dict[Ranking, dict[str, FiniteFloat]]
    from_light: _TestedDifference
    from_aligned: _TestedDifference
    others_from_light: dict[Ranking, _Difference] = {}
    choice: _Choice | None = None
    report: _Report
    seconds: FiniteFloat | None = None
    cost: _Cost | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> "_Measures":
        rankings: set[Ranking] = {"light", "aligned", "after"}
        rankings |= {self.choice.ranking} if self.choice else set()
        for ranking in rankings | self.others_from_light.keys() | self.means.keys():
            lacking = set(MEASURES) - self.means.get(ranking, {}).keys()
            if lacking:
                raise ValueError(f"means: {ranking} lacks {', '.join(sorted(lacking))}")
        return self


class _Point(_Model):
    n_queries: FiniteFloat
    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class _Curve(_Model):
    points: list[_Point]
    baseline: FiniteFloat
    n: Count
    advice: str


class _FailedCurve(_Model):
    error: str


class _Identity(_Model):
    name: str
    revision: str


class _Config(_Model):
    versions: dict[str, str] = {}
    strong_embedder: _Identity | None = None
    light_embedder: _Identity | None = None


class PackedQuery(_Model):
    """A query that an adapter learned from, by its words."""

    query_id: str = ""
    text: str = Field(min_length=1)
    instruction: str = ""
    need: str = ""


class PackedRun(_Model):
    """What the row of a training run tells beside its adapter; `queries` are by the ids that the adapter uses."""

    version: int
    collection: str
    label_set: str
    number: int
    name: str
    note: str
    author: str
    recipe: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    seed: int = Field(ge=0, lt=2**31)
    snapshot_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    n_queries: int = Field(ge=0)
    n_relevant: int = Field(ge=0)
    n_not_relevant: int = Field(ge=0)
    device: str
    message: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    measures: _Measures
    config: _Config
    curve: _Curve | _FailedCurve | None
    queries: dict[str, PackedQuery]


@dataclass(frozen=True, slots=True)
class PackedAdapter:
    """Everything of an adapter's zip file.

    Attributes:
        adapter: with its provenance as it was packed.
        extra: further arrays, such as cross-fitted query vectors.
        run: what is checked of its training run.
        raw: the same as plain JSON, complete.
    """

    adapter: QueryAdapter
    extra: Mapping[str, Vectors]
    run: PackedRun
    raw: Mapping[str, Any]


def write_zip(file: Path, adapter_folder: Path, run: Mapping[str, Any], readme: str) -> None:
    """Pack a saved adapter with its run and a text that says what it is; weights are stored as they are."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(adapter_folder / WEIGHTS, WEIGHTS, zipfile.ZIP_STORED)
        archive.write(adapter_folder / ABOUT, ABOUT)
        archive.writestr(RUN, json.dumps(run, indent=1, sort_keys=True, ensure_ascii=False, default=_time))
        archive.writestr(README, readme)


def unpack_zip(path: Path, scratch: Path) -> None:
    """Unpack what `write_zip` wrote, so far as it is an adapter.

    Args:
        path: of the zip file.
        scratch: an empty folder; removing it is up to the caller.

    Raises:
        FormatError: if it is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(archive, path)
            for name, limit in ((WEIGHTS, MAX_WEIGHTS_BYTES), (ABOUT, MAX_JSON_BYTES), (RUN, MAX_JSON_BYTES)):
                _unpack(archive, name, scratch / name, limit)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, OSError, KeyError) as error:
        raise FormatError(
            "this is not an adapter that was taken out of this app (a zip file with "
            f"{WEIGHTS}, {ABOUT} and {RUN} in it): {error}",
            path.name,
        ) from error
    raw = _read_json(scratch / RUN)
    _read_json(scratch / ABOUT)
    try:
        run = PackedRun.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise FormatError(f"{where}: {first['msg']}. Take the adapter out again.", RUN) from error
    if run.version > VERSION:
        raise FormatError("this adapter was taken out of a newer version of the app. Update this one first.", RUN)


def read_unpacked(scratch: Path) -> PackedAdapter:
    """Read what `unpack_zip` left.

    Raises:
        AdapterDamagedError: if its parts do not hold an adapter.
    """
    raw = _read_json(scratch / RUN)
    adapter, extra = QueryAdapter.load(scratch)
    if not isinstance(adapter.provenance, dict):
        raise AdapterDamagedError(f"{ABOUT} does not say what the adapter was made with. Take it out again.")
    return PackedAdapter(adapter, extra, PackedRun.model_validate(raw), raw)


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"this is not JSON ({error}). Take the adapter out again.", file.name) from error


def _check_size(archive: zipfile.ZipFile, path: Path) -> None:
    n_bytes = sum(archive.getinfo(name).file_size for name in (WEIGHTS, ABOUT, RUN))
    if n_bytes > most_unpacked(path.stat().st_size):
        raise FormatError(
            f"unpacks to {size_in_words(n_bytes)}, which no adapter of its size does. Take it out again.", path.name
        )


def _unpack(archive: zipfile.ZipFile, name: str, target: Path, limit: int) -> None:
    info = archive.getinfo(name)
    if info.file_size > limit:
        raise FormatError(f"{name} is larger than {limit / 2**20:,.0f} MB, which no adapter is.", name)
    n_read = 0
    with archive.open(info) as source, target.open("wb") as unpacked:
        while part := source.read(_READ_AT_ONCE):
            n_read += len(part)
            if n_read > limit:  # whatever the zip file claims
                raise FormatError(f"{name} is larger than {limit / 2**20:,.0f} MB, which no adapter is.", name)
            unpacked.write(part)


def _time(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"expected something that JSON can hold, got {type(value).__name__}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
