"""The zip file of an adapter: safetensors and JSON inside, read as if a stranger had packed it.

Only four names are looked at, none of them becomes a path, sizes are limited before anything is unpacked, and what the
pages will show is checked here, so that nothing that comes in can break them. An adapter that was learned on the
command line or in a notebook comes without the row of a training run; what it tells itself takes its place.
"""

import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from annotation.training.train import RANKINGS
from era.errors import FormatError
from era.evaluation.measures import MEASURES
from era.io.limits import most_unpacked, size_in_words
from era.trained_adapter import ABOUT_FILE as ABOUT
from era.trained_adapter import RUN_FILE as RUN
from era.trained_adapter import WEIGHTS_FILE as WEIGHTS
from era.trained_adapter import TrainedAdapter, pack

README = "README.md"
VERSION = 1
MAX_WEIGHTS_BYTES = 512 * 2**20
MAX_JSON_BYTES = 64 * 2**20
_READ_AT_ONCE = 2**20

Labels = dict[str, dict[str, FiniteFloat]]
Count = int


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


def _measured(name: str) -> str:
    if name not in RANKINGS:
        raise ValueError(f"{name[:40]!r} is none of the rankings that are measured: {', '.join(RANKINGS)}")
    return name


_RankingName = Annotated[str, AfterValidator(_measured)]


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
    ranking: _RankingName
    reason: str


class _Measures(_Model):
    n: Count
    means: dict[_RankingName, dict[str, FiniteFloat]]
    from_light: _TestedDifference
    from_aligned: _TestedDifference
    others_from_light: dict[_RankingName, _Difference] = {}
    choice: _Choice | None = None
    report: _Report
    seconds: FiniteFloat | None = None
    cost: _Cost | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> "_Measures":
        rankings: set[str] = {"light", "aligned", "after"}
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
        learned: the adapter, with its provenance as it was packed.
        run: what is checked of its training run.
        raw: the same as plain JSON, complete.
    """

    learned: TrainedAdapter
    run: PackedRun
    raw: Mapping[str, Any]


def write_zip(file: Path, adapter_folder: Path, run: Mapping[str, Any], readme: str) -> None:
    """Pack a saved adapter with its run and a text that says what it is."""
    told = json.dumps(run, indent=1, sort_keys=True, ensure_ascii=False, default=_time)
    pack(adapter_folder, file, {RUN: told, README: readme})


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
            for name, limit in _names_in(archive):
                _unpack(archive, name, scratch / name, limit)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, OSError, KeyError) as error:
        raise FormatError(
            "this is not an adapter that was taken out of this app, or saved by the library (a zip file with "
            f"{WEIGHTS} and {ABOUT} in it): {error}",
            path.name,
        ) from error
    _read_json(scratch / ABOUT)
    if (scratch / RUN).is_file():
        checked_run(_read_json(scratch / RUN))


def checked_run(raw: Any) -> PackedRun:
    """Return what is told of a training run.

    Raises:
        FormatError: naming what the pages could not show.
    """
    try:
        run = PackedRun.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise FormatError(f"{where}: {first['msg']}. Take the adapter out again.", RUN) from error
    if run.version > VERSION:
        raise FormatError("this adapter was taken out of a newer version of the app. Update this one first.", RUN)
    return run


def read_unpacked(scratch: Path) -> tuple[TrainedAdapter, Any]:
    """Read what `unpack_zip` left: the adapter and what is told of its training run, None if nothing is.

    Raises:
        AdapterDamagedError: if its parts do not hold an adapter.
    """
    return TrainedAdapter.load(scratch), _read_json(scratch / RUN) if (scratch / RUN).is_file() else None


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"this is not JSON ({error}). Take the adapter out again.", file.name) from error


def _names_in(archive: zipfile.ZipFile) -> list[tuple[str, int]]:
    """Return the names that are read, with how many bytes each may take; the last one may be absent."""
    names = [(WEIGHTS, MAX_WEIGHTS_BYTES), (ABOUT, MAX_JSON_BYTES)]
    return [*names, (RUN, MAX_JSON_BYTES)] if RUN in archive.namelist() else names


def _check_size(archive: zipfile.ZipFile, path: Path) -> None:
    n_bytes = sum(archive.getinfo(name).file_size for name, _ in _names_in(archive))
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
