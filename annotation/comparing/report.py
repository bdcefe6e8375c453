"""A comparison as one HTML file that opens anywhere without the app: words, tables, pictures, and what it came from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

import storage.queries
from annotation.comparing.rank import rank_queries
from annotation.comparing.snapshot import judgments_then, kept_comparison, side_facts
from annotation.comparing.view import ComparisonView, side_labels, to_json
from annotation.judging.queries import DEPTH
from annotation.retrieval.open_collection import OpenCollection
from annotation.workspace import Workspace
from era.evaluation.figures import Direction, change, difference, direction, figure, interval, signed
from era.evaluation.measures import depth_of
from storage.records import SnapshotRecord

SCATTER_SIZE = 320.0  # of the square in which points lie
BARS_WIDTH, BARS_HEIGHT = 720.0, 220.0
WHISKERS_WIDTH, ROW_HEIGHT = 420.0, 28.0


@dataclass(frozen=True, slots=True)
class Point:
    """A query before and after; `x` and `y` from the upper left corner, `kind` is better, same or worse."""

    x: float
    y: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """How much a query changed."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Whisker:
    """A measure's mean difference with its interval, along one axis."""

    measure: str
    y: float
    low: float
    middle: float
    high: float
    title: str


@dataclass(frozen=True, slots=True)
class WhiskerPlot:
    """All measures of a part on one axis; `zero` is where no difference would lie, `reach` the value at both ends."""

    whiskers: Sequence[Whisker]
    zero: float
    reach: float
    height: float


def scatter(queries: Sequence[Mapping[str, Any]], side: int) -> list[Point]:
    """Return a point for each query, the first side along x and side number `side` along y; measures in [0, 1]."""
    points = []
    for query in queries:
        before, after = query["values"][0], query["values"][side]
        x, y = (min(max(value, 0.0), 1.0) * SCATTER_SIZE for value in (before, after))
        title = f"{query['text'][:80]}: {figure(before)} to {figure(after)}"
        points.append(Point(x, SCATTER_SIZE - y, kind(after - before), title))
    return points


def bars(queries: Sequence[Mapping[str, Any]], side: int) -> list[Bar]:
    """Return a bar for each query, from the largest gain to the largest loss against the first side."""
    ordered = sorted(queries, key=lambda query: query["values"][0] - query["values"][side])
    reach = max((abs(query["values"][side] - query["values"][0]) for query in queries), default=0.0) or 1.0
    step, middle = BARS_WIDTH / max(len(ordered), 1), BARS_HEIGHT / 2
    found = []
    for place, query in enumerate(ordered):
        before, after = query["values"][0], query["values"][side]
        height = abs(after - before) / reach * middle
        top = middle - height if after > before else middle
        title = f"{query['text'][:80]}: {change(before, after)}"
        found.append(Bar(place * step, top, step * 0.85, height, kind(after - before), title))
    return found


def whiskers(rows: Sequence[Mapping[str, Any]]) -> WhiskerPlot:
    """Return the mean difference of each measure that has an interval."""
    given = [row for row in rows if row["low"] is not None]  # none where there are too few queries
    reach = max((max(abs(row["low"]), abs(row["high"])) for row in given), default=0.0) or 1.0

    def place(value: float) -> float:
        return WHISKERS_WIDTH / 2 * (1 + value / reach)

    found = [
        Whisker(
            measure=row["measure"],
            y=(number + 0.5) * ROW_HEIGHT,
            low=place(row["low"]),
            middle=place(row["difference"]),
            high=place(row["high"]),
            title=f"{row['measure']}: {difference(row['before'], row['after'])}, "
            f"likely between {' and '.join(interval(row['low'], row['high']))}",
        )
        for number, row in enumerate(given)
    ]
    return WhiskerPlot(found, place(0.0), reach, max(len(given), 1) * ROW_HEIGHT)


def kind(change: float) -> Direction:
    """Return whether a change is for the better or the worse."""
    return direction(0.0, change)


N_EXTREMES = 10  # of the largest gains, and as many of the largest losses, are laid side by side

_PARTS = {
    "test": "kept for testing",
    "learned": "learned from, held out",
    "unseen": "never learned from",
    "in_sample": "learned from, in sample",
    "plain": "",
}
_SIGNS = {"better": "▲▼", "worse": "△▽", "": "↑↓"}  # of a move up and of one down, by what it does


@dataclass(frozen=True, slots=True)
class _Row:
    """A document of one side.

    Attributes:
        title: of the document.
        grade: empty where it is unjudged.
        is_relevant: whether the grade counts as relevant.
        move: where it was on the first side, or that it fell out of the others, with a sign; empty if it did not move.
        effect: `better` if the move helps, `worse` if it does the opposite; empty for an unjudged document.
    """

    title: str
    grade: str
    is_relevant: bool
    move: str
    effect: str


@dataclass(frozen=True, slots=True)
class _Laid:
    """A query with the first ten of each side."""

    query: Mapping[str, Any]
    lists: Sequence[Sequence[_Row]]


def report_html(
    workspace: Workspace, author: str | None, view: ComparisonView, shown: Mapping[str, Any] | None, collection: str
) -> str:
    """Return the report of a comparison, live or kept.

    Args:
        workspace: of this process.
        author: who asks.
        view: the comparison.
        shown: its numbers in words and tables as the comparison screen shows them to the author; None if nothing is
            judged. Queries whose numbers are hidden there are not laid out either.
        collection: what the collection is called.

    Raises:
        NotFoundError: if there is no such ranker.
        NotReadyError: if the embedders are still being loaded.
    """
    kept = kept_comparison(workspace, view)
    labels = side_labels(workspace, view)
    queries = [query for query in shown["queries"] if not query["hidden"]] if shown else []
    gains, losses = _extremes(queries)
    laid = _lay_out(workspace, view, [*gains, *losses], kept.record if kept else None)
    template = _environment().get_template("report.html")
    made_at = datetime.now(UTC)
    return template.render(
        title=kept.record.name if kept else _listed(labels.values()),
        is_kept=kept is not None,
        note=kept.record.note if kept else "",
        author=kept.record.author if kept else author,
        measured=kept.words if kept else f"As measured on {made_at.day} {made_at:%b %Y}.",
        collection=collection,
        labels=list(labels.values()),
        view=view,
        shown=shown,
        part_names=_PARTS,
        whisker_plot=whiskers,
        sizes={"scatter": SCATTER_SIZE, "bars": (BARS_WIDTH, BARS_HEIGHT), "whiskers": WHISKERS_WIDTH},
        pictures=[
            {"side": side, "label": label, "points": scatter(queries, side), "bars": bars(queries, side)}
            for side, label in enumerate(labels.values())
            if side > 0 and queries
        ],
        gains=laid[: len(gains)],
        losses=laid[len(gains) :],
        provenance=_provenance(workspace, view, labels, kept.record if kept else None),
    )


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = figure
    environment.filters["signed"] = signed
    environment.filters["at"] = lambda value: f"{value:.1f}"
    return environment


def _extremes(
    queries: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the queries that gained most and those that lost most, of the last side against the first."""
    ordered = sorted(queries, key=lambda query: -query["change"])
    gains = [query for query in ordered if kind(query["change"]) == "better"][:N_EXTREMES]
    losses = [query for query in reversed(ordered) if kind(query["change"]) == "worse"][:N_EXTREMES]
    return gains, losses


def _lay_out(
    workspace: Workspace,
    view: ComparisonView,
    queries: Sequence[Mapping[str, Any]],
    kept: SnapshotRecord | None,
) -> list[_Laid]:
    opened = workspace.open(view.collection_id)
    wanted = {query["id"] for query in queries}
    with workspace.reading() as session:
        records = [each for each in storage.queries.list_all(session, view.collection_id) if each.id in wanted]
    ranked = [
        rank_queries(workspace, opened, key, records, depth_of(view.measures), view.is_in_sample) if records else {}
        for key in view.sides
    ]
    qrels: Mapping[int, Mapping[str, float]]
    qrels = judgments_then(workspace, kept) if kept else workspace.standings(view.label_set_id).qrels()
    laid = []
    for query in queries:
        grades = qrels.get(query["id"], {})
        tops = [
            [doc.doc_id for doc in by_query[query["id"]].ranking[:DEPTH]] if query["id"] in by_query else []
            for by_query in ranked
        ]
        lists = [
            [
                _row(opened, view, doc_id, grades.get(doc_id), _move(tops, side, place))
                for place, doc_id in enumerate(top)
            ]
            for side, top in enumerate(tops)
        ]
        laid.append(_Laid(query, lists))
    return laid


def _row(opened: OpenCollection, view: ComparisonView, doc_id: str, grade: float | None, move: tuple[int, str]) -> _Row:
    title = opened.corpus[doc_id].title if doc_id in opened.corpus else ""
    is_relevant = grade is not None and (grade > 0 if view.threshold is None else grade >= view.threshold)
    by, where = move
    effect = "" if grade is None else "better" if is_relevant == (by > 0) else "worse"
    sign = _SIGNS[effect][0 if by > 0 else 1]
    return _Row(
        title or doc_id, "" if grade is None else f"{grade:g}", is_relevant, f"{sign} {where}" if by else "", effect
    )


def _move(tops: Sequence[Sequence[str]], side: int, place: int) -> tuple[int, str]:
    """Return how far a document rose among the first ten against the first side, 0 if it did not move, and from where.

    On the first side only those moved that none of the others shows.
    """
    doc_id = tops[side][place]
    if side == 0:
        others = [top for top in tops[1:] if top]
        is_gone = bool(others) and not any(doc_id in top for top in others)
        return (-1, "out of the first ten") if is_gone else (0, "")
    if not tops[0]:
        return 0, ""
    if doc_id not in tops[0]:
        return 1, "new in the first ten"
    before = tops[0].index(doc_id)
    return before - place, f"was {before + 1}" if before != place else ""


def _provenance(
    workspace: Workspace, view: ComparisonView, labels: Mapping[str, str], kept: SnapshotRecord | None
) -> list[tuple[str, str]]:
    """Return (heading, JSON text) of what the comparison came from."""
    if kept is not None:
        sides, rest = kept.about["sides"], {name: kept.about[name] for name in ("view", "judgments", "depth")}
    else:
        sides, rest = [side_facts(workspace, view, key, labels[key]) for key in view.sides], {}
    about = [(side["label"], _json({"key": side["key"], **side["provenance"]})) for side in sides]
    return [*about, ("Comparison", _json(rest or {"view": to_json(view)}))]


def _listed(labels: Iterable[str]) -> str:
    *others, last = (f"“{label}”" for label in labels)
    return f"{', '.join(others)} and {last}"


def _json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, indent=1, ensure_ascii=False, sort_keys=True)
