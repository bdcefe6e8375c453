"""The Compare tab: rankings of one query side by side, measured over all labelled ones, and what is asked beside."""

import base64
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from annotation.collections.page import OpenPage, QueryProgress, open_page
from annotation.comparing import blind, export, snapshot
from annotation.comparing.explain import why
from annotation.comparing.measure import OverallComparison, compare_all, extremes, note_look
from annotation.comparing.rank import compare_query, unread_of_comparison
from annotation.comparing.report import report_html
from annotation.comparing.snapshot import kept_comparison
from annotation.comparing.strong import may_stop, read_all, read_none, strong_state
from annotation.comparing.view import ComparisonView, open_shared, read_view, share, side_labels, without_missing
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging import queries
from annotation.judging.queries import list_lines
from annotation.judging.setup import desk_setup, hidden_queries
from annotation.judging.view import said_by
from annotation.ranking import rankers
from annotation.ranking.rankers import BM25, LIGHT, RankingKey, read_keys, read_some
from annotation.ui.answers import Answers, Handler, Heard, ids_of, part
from annotation.ui.feedback import explain
from annotation.ui.message import Message
from annotation.ui.payloads.compare_answers import blind_panel, preferences_panel, preferred_panel, reasons_panel
from annotation.ui.payloads.comparing import (
    compare_panel,
    overall_payload,
    snapshots_panel,
    strong_payload,
    unread_payload,
)
from annotation.ui.payloads.judging import said_payload
from annotation.workspace import Workspace

Payload = dict[str, Any]


class CompareAnswers:
    """Answers to single questions."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        answers = {
            "own": ("own", self._own),
            "why": ("why", self._why),
            "link": ("link", self._link),
            "blind": ("blind", self._blind),
            "prefer": ("prefer", self._prefer),
            "preferences": ("preferences", self._preferences),
            "snapshots": ("snapshots", self._snapshots),
            "keep": ("snapshots", self._keep),
            "drop": ("snapshots", self._drop),
            "export": ("file", self._export),
            "reread": ("reread-sides", self._reread),
            "strong": ("strong", self._strong),
            "read-all": ("strong", self._read_all),
            "read-none": ("strong", self._read_none),
        }
        self.answers: Answers = {f"compare.{name}": part(workspace, *each) for name, each in answers.items()}

    def _view(self, page: OpenPage, message: Message) -> ComparisonView:
        return read_message(self._workspace, page, message)

    def _own(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        ids = page.collection.id, page.label_set.id
        found = queries.open_in(self._workspace, author, *ids, message.number("query_id"))
        return {"said": said_payload(said_by(found.marks, author))}

    def _link(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        return {"slug": share(self._workspace, author, self._view(page, message))}

    def _why(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        view = self._view(page, message)
        reasons = why(self._workspace, author, view, message.text("doc_id"))
        return reasons_panel(reasons, side_labels(self._workspace, view))

    def _blind(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        skip = {each for each in message.list("skip") if isinstance(each, int)}
        return blind_panel(blind.next_pair(self._workspace, author, self._view(page, message), skip))

    def _prefer(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        view, token, choice = self._view(page, message), message.text("token"), message.text("choice")
        answered = blind.prefer(self._workspace, author, view, token, choice, message.decimal("seconds"))
        return preferred_panel(answered)

    def _preferences(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        view = self._view(page, message)
        found = blind.preferences(self._workspace, view)
        table = export.preferences_csv(self._workspace, view, found)
        return preferences_panel(found, list(side_labels(self._workspace, view).values()), table)

    def _snapshots(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        records = snapshot.list_snapshots(self._workspace, page.collection.id)
        droppable = snapshot.list_droppable(self._workspace, author, page.collection.id)
        return snapshots_panel(records, droppable)

    def _keep(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        view, name = self._view(page, message), message.text("name")
        snapshot.take(self._workspace, author, view, name, message.text("note"))
        return self._snapshots(page, author, message)

    def _drop(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        snapshot.drop(self._workspace, author, message.text("slug"))
        return self._snapshots(page, author, message)

    def _export(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        with self._workspace.holding_alignments():  # numbers and rankings are of one adapter
            return self._file(page, author, message)

    def _file(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        slug, file_format = message.name("slug"), message.text("format")
        view = open_snapshot(self._workspace, page, slug) if slug else self._view(page, message)
        if file_format == "trec":
            packed = base64.b64encode(export.trec_zip(self._workspace, author, view)).decode()
            return {"name": "comparison-runs.zip", "mime": "application/zip", "content": packed, "is_base64": True}
        kept = snapshot.kept_comparison(self._workspace, view)
        overall = kept.overall if kept else compare_all(self._workspace, view)
        labels, hidden = side_labels(self._workspace, view), hidden_from(self._workspace, author, view, overall)
        if file_format == "html":
            shown = overall_payload(overall, view, labels, hidden) if overall else None
            content = report_html(self._workspace, author, view, shown, page.collection.name)
            return {"name": "comparison.html", "mime": "text/html", "content": content, "is_base64": False}
        if file_format != "csv":
            raise InvalidInputError("Choose a report, a table or runs to take along.")
        if overall is None:
            raise InvalidInputError("Mark relevant documents for a query first; there is nothing to put into a table.")
        content = export.queries_csv(overall, list(labels.values()), hidden)
        return {"name": "comparison.csv", "mime": "text/csv", "content": content, "is_base64": False}

    def _reread(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        view = self._view(page, message)
        read_some(self._workspace, author, page.collection.id, unread_of_comparison(self._workspace, view))
        return {"sides": list(view.sides), **unread_payload(unread_of_comparison(self._workspace, view))}

    def _read_all(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        read_all(self._workspace, author, page.collection.id)
        return self._strong(page, author, message)

    def _read_none(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        read_none(self._workspace, author, page.collection.id)
        return self._strong(page, author, message)

    def _strong(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        strong = strong_state(self._workspace, page.collection.id)
        return strong_payload(strong, may_stop(self._workspace, author, page.collection.id))


def open_snapshot(workspace: Workspace, page: OpenPage, slug: str) -> ComparisonView:
    """Return the comparison of a snapshot's stored sides; an imported run is measured by the open label set.

    Raises:
        NotFoundError: if there is no such snapshot, or it is of another collection.
    """
    record = snapshot.find_snapshot(workspace, slug)
    if record.collection_id != page.collection.id:
        raise NotFoundError("This kept comparison belongs to another collection. Choose one from the list.")
    view = snapshot.snapshot_view(record)
    return replace(view, label_set_id=page.label_set.id) if rankers.is_imported(record) else view


def hidden_from(
    workspace: Workspace, author: str | None, view: ComparisonView, overall: OverallComparison | None
) -> frozenset[int]:
    """Return the measured queries whose numbers a person may not see yet."""
    query_ids = [change.query.id for change in overall.queries] if overall else []
    return hidden_queries(workspace, author, view.collection_id, view.label_set_id, query_ids)


def sides_of(message: Message) -> list[RankingKey]:
    """Return the rankings that a page or an address names, also as addresses did when there were two of them."""
    named = message.name("sides")
    if named:
        return read_keys(named)
    try:
        sides = [RankingKey(each) for each in message.list("sides") if isinstance(each, str)]
    except InvalidInputError:
        sides = []
    old = [RankingKey(message.name("before")), RankingKey(message.name("after"))]
    return sides or (old if any(old) else [])


def query_of(message: Message) -> int | None:
    """Return the query that a page or an address names."""
    query_id = message.optional_number("query_id")
    return message.optional_number("query") if query_id is None else query_id


def _usual_sides(workspace: Workspace, page: OpenPage) -> list[RankingKey]:
    """Return what is compared where nothing is chosen: the light model with what is in use, or what comes next."""
    best = rankers.default_ranker(workspace, page.collection.id, page.label_set.id)
    if best == LIGHT:
        trained = (each.key for each in rankers.list_usable(workspace, page.collection.id) if each.run)
        best = next(trained, BM25)
    return [LIGHT, best]


def read_message(workspace: Workspace, page: OpenPage, message: Message) -> ComparisonView:
    """Return the comparison that a page or an address asks for, choosing what it leaves open.

    Raises:
        InvalidInputError: if something of it cannot be used.
    """
    sides = sides_of(message)
    if len(sides) < 2 or not all(sides[:2]):
        usual = _usual_sides(workspace, page)
        sides = [key or usual[i] for i, key in enumerate(sides[:2])] + sides[2:] if sides else usual
    try:
        threshold: float | str | None = message.text("threshold")  # as addresses have it
    except InvalidInputError:
        threshold = message.decimal("threshold")
    is_in_sample = message.flag("is_in_sample") or message.name("insample").lower() in ("1", "true")
    return read_view(workspace, page, sides, query_of(message), message.name("measures"), threshold, is_in_sample)


class CompareTab:
    """The comparison screen: the one query comes first, the overall measures follow."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._answers = CompareAnswers(workspace)
        self.answers: Answers = {
            "compare.show": self._showing(self.show),
            "compare.choose": self._showing(self.choose),
            "compare.try": self._showing(self.try_query),
            **self._answers.answers,
        }

    def _showing(self, show: Callable[[OpenPage, str | None, Message], Iterator[Payload]]) -> Handler:
        def answer(author: str | None, message: Message) -> Iterator[Heard]:
            for shown in show(open_page(self._workspace, *ids_of(message)), author, message):
                yield {"compare": shown}

        return answer

    def show(self, page: OpenPage, author: str | None, message: Message) -> Iterator[Payload]:
        """Yield the screen for what the address names, choosing what it leaves open."""
        slug, error = message.name("v"), ""
        shared = open_shared(self._workspace, slug) if slug else None
        if slug and shared is None:
            error = (
                "This link leads to no comparison that is known here. Ask for a new one; this is another comparison."
            )
        if shared is not None:
            named = {"measures": ", ".join(shared["measures"]), "insample": str(shared["in_sample"])}
            message = Message({**shared, **named, "ask": message.optional_number("ask")})
        view, problem = self._read(page, message)
        yield from self._compare(page, author, view, message, error or problem)

    def choose(self, page: OpenPage, author: str | None, message: Message) -> Iterator[Payload]:
        """Yield the screen for what the person chose."""
        view, problem = self._read(page, message)
        try:
            if message.name("snapshot"):
                kept = open_snapshot(self._workspace, page, message.name("snapshot"))
                view = replace(kept, query_id=view.query_id)
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            problem = explain(error)
        for payload in self._compare(page, author, view, message, problem):
            if message.flag("is_query_only") and payload["overall"] == "pending":
                yield {**payload, "overall": "same"}  # what all queries measure does not depend on the open one
                return
            yield payload

    def try_query(self, page: OpenPage, author: str | None, message: Message) -> Iterator[Payload]:
        """Yield the screen for a query of the person's own."""
        tried = message.name("text")
        view, problem = self._read(page, message)
        try:
            collection_id = page.as_asked().collection.id
            query = queries.ask(self._workspace, author, collection_id, tried, message.text("instruction"))
            if query.id == queries.NOT_STORED:
                problem = "Sign in to compare queries of your own."
            else:
                view, tried = replace(view, query_id=query.id), ""
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            problem = explain(error)
        yield from self._compare(page, author, view, message, problem, tried)

    def _read(self, page: OpenPage, message: Message) -> tuple[ComparisonView, str]:
        """Return the comparison that is asked for, or what comes nearest to it and what was wrong."""
        problem = ""
        plain = Message({"sides": sides_of(message), "query_id": query_of(message)})
        with self._workspace.reading_at_once():
            for asked in (message, plain):
                try:
                    return read_message(self._workspace, page, asked), problem
                except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
                    problem = problem or explain(error)
            return read_message(self._workspace, page, Message({})), problem

    def _compare(
        self,
        page: OpenPage,
        author: str | None,
        view: ComparisonView,
        message: Message,
        problem: str,
        tried: str = "",
    ) -> Iterator[Payload]:
        """Yield the one query first, then all of them; what is not there any more is left out and said.

        Where no query is named, all of them decide which one that is.
        """
        frame = self._frame(page, author)
        try:
            with self._workspace.reading_at_once():
                view, missing = without_missing(self._workspace, view)
                problem = " ".join(filter(None, (problem, missing)))
                kept = kept_comparison(self._workspace, view)
                unread = unread_of_comparison(self._workspace, view)
                about: Payload = {"tried": tried, "intro": kept.words if kept else "", "unread": unread}
                opened = self._workspace.opened(view.collection_id)
                if view.query_id is not None and not unread.n_first:
                    about["one"] = compare_query(self._workspace, author, view)
            yield self._payload(frame, view, message, **about, error=problem, is_pending=True)
            with self._workspace.holding_alignments(), self._workspace.reading_at_once():
                overall = kept.overall if kept else None if unread.doc_ids else compare_all(self._workspace, view)
                if "one" in about and self._workspace.opened(view.collection_id) is not opened:  # aligned anew
                    about["one"] = compare_query(self._workspace, author, view)
                hidden = hidden_from(self._workspace, author, view, overall)
                if view.query_id is None:
                    view = replace(view, query_id=_query_to_open(frame.queries, overall, hidden))
                if view.query_id is not None and "one" not in about and not unread.doc_ids:
                    about["one"] = compare_query(self._workspace, author, view)
                if overall and overall.parts and not kept:  # what was measured then is not looked for anew
                    about["n_looks"] = note_look(self._workspace, author, view)
            yield self._payload(frame, view, message, **about, error=problem, overall=overall, hidden=hidden)
        except NotFoundError as error:
            problem = " ".join(filter(None, (problem, explain(error))))
            yield self._payload(frame, view, message, error=problem, tried=tried)
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            yield self._payload(frame, view, message, error=explain(error), tried=tried)

    def _frame(self, page: OpenPage, author: str | None) -> "_Frame":
        with self._workspace.reading_at_once():
            offered = rankers.list_rankers(self._workspace, page.collection.id, is_comparing=True)
            listed = [line.progress for line in list_lines(self._workspace, page, author)]
            may_stop_strong = may_stop(self._workspace, author, page.collection.id)
        return _Frame(page, author, offered, listed, may_stop_strong)

    def _payload(self, frame: "_Frame", view: ComparisonView, message: Message, **parts: Any) -> Payload:
        panel = compare_panel(
            frame.page,
            frame.author,
            frame.rankers,
            frame.queries,
            view,
            desk_setup(frame.page.collection.desk).grade_names,
            strong_state(self._workspace, frame.page.collection.id),
            may_stop_strong=frame.may_stop_strong,
            **parts,
        )
        return {**panel, "ask": message.optional_number("ask")}


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a comparison stands in, read once for all that is shown of it: who looks where, and what can be chosen."""

    page: OpenPage
    author: str | None
    rankers: Sequence[rankers.Ranker]
    queries: Sequence[QueryProgress]
    may_stop_strong: bool


def _query_to_open(
    queries: Sequence[QueryProgress], overall: OverallComparison | None, hidden: Collection[int]
) -> int | None:
    """Return the query that tells most of the difference; where nothing can be measured, the likeliest one."""
    telling = extremes(overall, hidden).telling if overall else None
    if telling is not None:
        return telling.query.id
    relevant = (each.query.id for each in queries if each.standing.n_relevant)
    return next(relevant, queries[0].query.id if queries else None)
