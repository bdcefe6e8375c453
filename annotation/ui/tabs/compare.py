"""The Compare tab: rankings of one query side by side, then measured over all labelled ones."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from annotation.collections.page import OpenPage, QueryProgress, open_page
from annotation.comparing.all_queries import OverallComparison, compare_all, extremes
from annotation.comparing.looks import note_look
from annotation.comparing.one_query import compare_query
from annotation.comparing.rereading import unread_of_comparison
from annotation.comparing.snapshots import kept_comparison
from annotation.comparing.strong import may_stop, strong_state
from annotation.comparing.view import ComparisonView, open_shared, without_missing
from annotation.errors import NotFoundError
from annotation.judging import queries
from annotation.judging.queries import list_lines
from annotation.judging.setup import setup_of
from annotation.ranking import rankers
from annotation.ui.feedback import explain
from annotation.ui.panel import Message, author_of, make_panel, on
from annotation.ui.payloads.comparing import compare_panel
from annotation.ui.tabs.compare_answers import (
    CompareAnswers,
    hidden_from,
    open_snapshot,
    query_of,
    read_message,
    sides_of,
)
from annotation.workspace import Workspace

Payload = dict[str, Any]

_SCRIPTS = ("query", "marks", "reasons", "reread", "keys", "plots", "overall", "blind", "snapshots")


class CompareTab:
    """The comparison screen: the one query comes first, the overall measures follow."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.panel = make_panel("compare", *(f"compare_{name}" for name in _SCRIPTS))
        self._answers = CompareAnswers(workspace, self.panel)
        on(self.panel.choose, self._choose, [self.panel], trigger_mode="multiple")
        on(getattr(self.panel, "try"), self._try, [self.panel], trigger_mode="multiple")

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

    def _choose(self, request: gr.Request, event: gr.EventData) -> Iterator[Payload]:
        message, author = Message(event._data), author_of(self._workspace.settings, request)
        page = self._page(message)
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

    def _try(self, request: gr.Request, event: gr.EventData) -> Iterator[Payload]:
        message, author = Message(event._data), author_of(self._workspace.settings, request)
        page, tried = self._page(message), message.name("text")
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
        try:
            view, missing = without_missing(self._workspace, view)
            problem = " ".join(filter(None, (problem, missing)))
            kept = kept_comparison(self._workspace, view)
            unread = unread_of_comparison(self._workspace, view)
            about: Payload = {"error": problem, "tried": tried, "intro": kept.words if kept else "", "unread": unread}
            opened = self._workspace.opened(view.collection_id)
            if view.query_id is not None and not unread.n_first:
                about["one"] = compare_query(self._workspace, author, view)
            yield self._payload(page, author, view, message, **about, is_pending=True)
            with self._workspace.holding_alignments():
                overall = kept.overall if kept else None if unread.doc_ids else compare_all(self._workspace, view)
                if "one" in about and self._workspace.opened(view.collection_id) is not opened:  # aligned anew
                    about["one"] = compare_query(self._workspace, author, view)
            hidden = hidden_from(self._workspace, author, view, overall)
            if overall and overall.parts and not kept:  # what was measured then is not looked for anew
                about["n_looks"] = note_look(self._workspace, author, view)
            if view.query_id is None:
                view = replace(view, query_id=self._query_to_open(page, author, overall, hidden))
            if view.query_id is not None and "one" not in about and not unread.doc_ids:
                about["one"] = compare_query(self._workspace, author, view)
            yield self._payload(page, author, view, message, **about, overall=overall, hidden=hidden)
        except NotFoundError as error:
            problem = " ".join(filter(None, (problem, explain(error))))
            yield self._payload(page, author, view, message, error=problem, tried=tried)
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            yield self._payload(page, author, view, message, error=explain(error), tried=tried)

    def _payload(
        self, page: OpenPage, author: str | None, view: ComparisonView, message: Message, **parts: Any
    ) -> Payload:
        panel = compare_panel(
            page,
            author,
            rankers.list_rankers(self._workspace, page.collection.id, is_comparing=True),
            self._queries(page, author),
            view,
            setup_of(self._workspace, page.collection.id).grade_names,
            strong_state(self._workspace, page.collection.id),
            may_stop_strong=may_stop(self._workspace, author, page.collection.id),
            **parts,
        )
        return {**panel, "ask": message.optional_number("ask")}

    def _query_to_open(
        self, page: OpenPage, author: str | None, overall: OverallComparison | None, hidden: Collection[int]
    ) -> int | None:
        """Return the query that tells most of the difference; where nothing can be measured, the likeliest one."""
        telling = extremes(overall, hidden).telling if overall else None
        if telling is not None:
            return telling.query.id
        listed = self._queries(page, author)
        relevant = (each.query.id for each in listed if each.standing.n_relevant)
        return next(relevant, listed[0].query.id if listed else None)

    def _queries(self, page: OpenPage, author: str | None) -> list[QueryProgress]:
        return [line.progress for line in list_lines(self._workspace, page, author)]

    def _page(self, message: Message) -> OpenPage:
        ids = message.optional_number("collection_id"), message.optional_number("label_set_id")
        return open_page(self._workspace, *ids)
