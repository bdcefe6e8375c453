"""Datasets of the Hugging Face Hub in the layouts of BEIR and mteb, and of MAIR-Bench, streamed and never run.

Of a dataset only the files of its own repository are read, and only as JSON, CSV, Parquet or Arrow: a dataset can
otherwise name any file of this machine, or a format that executes what it holds.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from era.errors import FormatError, SourceUnreachable
from era.extras import require
from era.io.columns import ChosenColumns, id_text
from era.io.files import Meter
from era.io.judgments import judgments_of_table, labels_of_table
from era.io.queries import queries_of_table
from era.io.rows import ColumnStats, PlacedRow, Row, is_nested, within_limits
from era.io.sources import FileSource, Tables

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_N_SAMPLED = 50
_SAFE_READERS = ("json", "csv", "parquet", "arrow")
_MAIR_QUERIES, _MAIR_DOCS = "MAIR-Queries", "MAIR-Docs"
_EXPECTED = 'expected parts named "corpus", "queries" and "default" (the judgments), as BEIR and mteb have them'


class HubRows:
    """The rows of one part and split of a dataset; `others` are added to each row by its id."""

    unit = "row"
    encoding = ""
    n_bytes = 0

    def __init__(self, name: str, builder: Any, split: str, added: "tuple[str, dict[str, str]] | None" = None) -> None:
        """Keep the builder.

        Args:
            name: what a person calls these rows.
            builder: of `datasets`, not run yet.
            split: one of its splits.
            added: a column, and its values by the id of the row.
        """
        self.name = name
        self.remarks: list[str] = []
        self._builder = builder
        self._split = split
        self._added = added
        self._sample: list[Row] | None = None
        known = (builder.info.splits or {}).get(split)
        self.n_rows: int | None = known.num_examples if known is not None else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns; a dataset has the same in every row."""
        return tuple(dict.fromkeys(name for row in self._first_rows() for name in row))

    @property
    def nested(self) -> tuple[str, ...]:
        """Return the columns that hold lists or objects."""
        return tuple(name for name in self.columns if any(is_nested(row.get(name)) for row in self._first_rows()))

    def stats(self) -> Mapping[str, ColumnStats]:
        """Return what each column holds over the first rows: what is streamed is not read twice."""
        stats = {name: ColumnStats() for name in self.columns if name not in self.nested}
        for name, each in stats.items():
            each.add([str(row.get(name) or "").strip() for row in self._first_rows()])
        return stats

    def _first_rows(self) -> list[Row]:
        if self._sample is None:
            self._sample = [row for _, row in islice(self.rows(Meter()), _N_SAMPLED)]
        return self._sample

    def rows(self, meter: Meter) -> Iterator[PlacedRow]:
        """Yield the rows in order.

        Raises:
            SourceUnreachable: if the hub stops answering.
            FormatError: if a file of the dataset is damaged, or there are more rows than a table could have.
        """
        return within_limits(self._rows(), self.name, self.unit)

    def _rows(self) -> Iterator[PlacedRow]:
        import pyarrow
        from datasets.exceptions import DatasetsError

        number = 0
        try:
            for number, row in enumerate(self._builder.as_streaming_dataset(split=self._split), start=1):
                yield number, row if self._added is None else self._with_added(row)
        except (*_network_errors(), ValueError, KeyError, DatasetsError, pyarrow.ArrowException) as error:
            problem = f"could not be read on ({_short(error)}). Check the connection and try again."
            raise _kind_of(error)(problem, self.name, number + 1, unit=self.unit) from error

    def _with_added(self, row: dict[str, Any]) -> dict[str, Any]:
        column, values = self._added or ("", {})
        row_id = next((str(row[name]) for name in ("_id", "id", "query-id", "query_id") if name in row), "")
        return row if row.get(column) else {**row, column: values.get(row_id, "")}


def is_hub_name(name: str) -> bool:
    """Return whether a name is one of the hub, `owner/name`, and no path of this machine."""
    return _HUB_NAME.fullmatch(name) is not None and ".." not in name and not Path(name).exists()


def hub_source(name: str, config: str, revision: str, mapping: ChosenColumns | None) -> FileSource:
    """Return the source of a dataset; `era.io.opening.open_hub` says what it takes."""
    if not is_hub_name(name) and not (Path(name).is_absolute() and Path(name).is_dir()):
        raise FormatError(
            "this is no dataset of the Hugging Face Hub. Write its name as owner/name, such as mteb/scifact.", name
        )
    repository = name.rstrip("/").rpartition("/")[2]
    if repository in (_MAIR_QUERIES, _MAIR_DOCS) or Path(name, _MAIR_QUERIES).is_dir() or name == "MAIR-Bench/MAIR":
        return _mair(name, repository, config, revision, mapping)
    configs = _configs(name, revision)
    corpus = _part(configs, config, ("corpus",))
    queries = _part(configs, config, ("queries",))
    qrels = _part(configs, config, ("qrels", "default"))
    instructions = _part(configs, config, ("instruction", "instructions"))
    if not corpus:
        raise FormatError(f"{_EXPECTED}. {_choice(configs, config)}", name)
    remarks = []
    documents = _rows(name, corpus, revision)
    added = _instructions(name, instructions, revision) if instructions else None
    asked = _rows(name, queries, revision, added) if queries else []
    judged = _rows(name, qrels, revision) if qrels else _separate_qrels(name, revision)
    if len(judged) > 1:
        listed = ", ".join(rows.name for rows in judged)
        remarks.append(f"The judgments of several splits were put together: {listed}.")
    if not judged:
        remarks.append("This dataset has no judgments.")
    title = f"{repository} {config}".strip()
    return _source(title, documents, asked, judged, mapping, remarks)


def _mair(name: str, repository: str, config: str, revision: str, mapping: ChosenColumns | None) -> FileSource:
    """Return a task of MAIR-Bench; tasks with several splits are several collections, named as `task/split`."""
    base = name if Path(name, _MAIR_QUERIES).is_dir() else name.rstrip("/").rpartition("/")[0]
    task, _, wanted = config.partition("/")
    queries_name, docs_name = f"{base}/{_MAIR_QUERIES}", f"{base}/{_MAIR_DOCS}"
    if not task:
        tasks = ", ".join(_configs(queries_name, revision)[:200])
        raise FormatError(f"name the task of MAIR, one of: {tasks}.", name)
    queries = _rows(queries_name, task, revision)
    if len(queries) > 1:
        splits = [rows.name.rpartition("/")[2].removesuffix("_queries") for rows in queries]
        if wanted not in splits:
            raise FormatError(f"{task} is several collections. Name one, such as {task}/{splits[0]}.", name)
        queries = [queries[splits.index(wanted)]]
    split = queries[0].name.rpartition("/")[2]
    doc_split = "docs" if split == "queries" else split.replace("_queries", "_docs")
    documents = [rows for rows in _rows(docs_name, task, revision) if rows.name.endswith(f"/{doc_split}")]
    if not documents:
        raise FormatError(f"there is no split {doc_split!r} of {task}.", docs_name)
    return _source(f"MAIR {config}", documents, queries, [], mapping, [])


def _source(
    title: str,
    documents: Sequence[HubRows],
    queries: Sequence[HubRows],
    judged: Sequence[HubRows],
    mapping: ChosenColumns | None,
    remarks: Sequence[str],
) -> FileSource:
    tables = Tables(documents, mapping)
    tables.roles  # noqa: B018 - asks the hub now, so that a dataset that cannot be read is refused when it is opened
    return FileSource(
        title,
        "hub",
        tables.documents(),
        [partial(queries_of_table, rows) for rows in queries],
        [
            *(partial(judgments_of_table, rows) for rows in judged),
            *(partial(labels_of_table, rows) for rows in queries),
        ],
        files=[rows.name for rows in (*documents, *queries, *judged)],
        tables=tables,
        remarks=remarks,
    )


def _part(configs: Sequence[str], config: str, names: Sequence[str]) -> str:
    """Return the part of a dataset with one of the names, of the given language or kind; empty if there is none."""
    wanted = [each for name in names for each in ((f"{config}-{name}", f"{name}-{config}") if config else (name,))]
    return next((each for each in wanted if each in configs), "")


def _choice(configs: Sequence[str], config: str) -> str:
    parts = sorted({re.sub(r"-?corpus-?", "", each) for each in configs if "corpus" in each} - {""})
    if parts:
        return f"This dataset has several; choose one of: {', '.join(parts)}."
    return f"This dataset has: {', '.join(configs[:20])}."


def _instructions(name: str, config: str, revision: str) -> tuple[str, dict[str, str]]:
    """Return the instructions by query id, which some datasets keep apart from the queries."""
    found: dict[str, str] = {}
    for rows in _rows(name, config, revision):
        for number, row in rows.rows(Meter()):
            try:
                found[id_text(row.get("query-id", row.get("_id")))] = str(row.get("instruction") or "")
            except ValueError as error:
                raise FormatError("expected a query id.", rows.name, number, "query-id", rows.unit) from error
    return "instruction", found


def _separate_qrels(name: str, revision: str) -> list[HubRows]:
    """Return the judgments that the datasets of BeIR keep in a repository of their own."""
    return _rows(f"{name}-qrels", "", revision) if name.lower().startswith("beir/") else []


def _configs(name: str, revision: str) -> list[str]:
    require("datasets", "hub")
    from datasets import get_dataset_config_names
    from datasets.exceptions import DatasetsError

    try:
        return list(get_dataset_config_names(name, revision=revision or None))
    except (*_network_errors(), ValueError, RuntimeError, DatasetsError) as error:
        raise _unreachable(name, error) from error


def _rows(name: str, config: str, revision: str, added: "tuple[str, dict[str, str]] | None" = None) -> list[HubRows]:
    """Return the rows of each split of a part of a dataset."""
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    try:
        builder = load_dataset_builder(name, config or None, revision=revision or None)
        files = builder.config.data_files or {}
        _check_safe(name, builder, [str(file) for each in files.values() for file in each])
    except (*_network_errors(), ValueError, RuntimeError, DatasetsError) as error:
        raise _unreachable(name, error) from error
    label = "/".join(part for part in (name.rpartition("/")[2], config) if part)
    return [HubRows(f"{label}/{split}", builder, str(split), added) for split in files]


def _check_safe(name: str, builder: Any, files: Sequence[str]) -> None:
    reader = type(builder).__module__.rpartition(".")[2]
    if reader not in _SAFE_READERS:
        raise FormatError(f"this dataset is kept as {reader!r}; JSON, CSV, Parquet and Arrow can be read.", name)
    if Path(name).is_dir():
        home = Path(name).resolve()
        is_own = all("::" not in file and Path(file).resolve().is_relative_to(home) for file in files)
    else:
        is_own = all(file.startswith(f"hf://datasets/{name}@") and "::" not in file for file in files)
    if not files or not is_own:
        raise FormatError("this dataset names files outside of its repository, which are not read.", name)


def _kind_of(error: Exception) -> type[FormatError]:
    """Return whether trying again may help: not where a dataset, or a part of it, is not there or makes no sense."""
    from datasets.exceptions import DatasetsError

    is_of_network = isinstance(error, _network_errors()) and not isinstance(error, ValueError | DatasetsError)
    return SourceUnreachable if is_of_network else FormatError


def _network_errors() -> tuple[type[Exception], ...]:
    """Return what is raised where the hub does not answer; the errors of its client are not all of the system's."""
    from huggingface_hub import errors

    return OSError, errors.HTTPError  # type: ignore[attr-defined]


def _unreachable(name: str, error: Exception) -> FormatError:
    return _kind_of(error)(
        f"could not be opened ({_short(error)}). Check the name and the connection. Without a connection, download "
        "the dataset elsewhere and import its folder.",
        name,
    )


def _short(error: Exception) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:200].rstrip(".")
