"""The Compare tab: before and after of one query, then of all labelled ones."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from annotation import comparing, rankers, searching
from annotation.opening import OpenPage, list_queries, open_page
from annotation.presenting.comparing import compare_panel
from annotation.ui.feedback import explain
from annotation.ui.panel import Message, make_panel, on
from annotation.ui.people import author_of
from annotation.workspace import Workspace

Payload = dict[str, Any]


class CompareTab:
    """The comparison screen: the one query comes first, the overall measures follow."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.panel = make_panel("compare")
        on(self.panel.choose, self._choose, [self.panel], trigger_mode="always_last")
        on(getattr(self.panel, "try"), self._try, [self.panel])

    def show(self, page: OpenPage, author: str | None, message: Message) -> Iterator[Payload]:
        """Yield the screen for what the message names, choosing what it leaves open."""
        before = message.text("before") or rankers.LIGHT
        after = message.text("after") or rankers.default_ranker(self._workspace, page.collection.id, page.label_set.id)
        query_id = message.optional_number("query_id")
        if query_id is None:
            query_id = message.optional_number("query")
        yield from self._compare(page, author, before, after, query_id)

    def _choose(self, request: gr.Request, event: gr.EventData) -> Iterator[Payload]:
        message = Message(event._data)
        yield from self.show(self._page(message), author_of(self._workspace.settings, request), message)

    def _try(self, request: gr.Request, event: gr.EventData) -> Iterator[Payload]:
        message = Message(event._data)
        page, author = self._page(message), author_of(self._workspace.settings, request)
        before, after, tried = message.text("before"), message.text("after"), message.text("text")
        try:
            query = searching.ask(self._workspace, author, page.collection.id, tried, message.text("instruction"))
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            yield self._payload(page, before, after, None, error=explain(error), tried=tried)
            return
        if query.id == searching.NOT_STORED:
            yield self._payload(page, before, after, None, error="Sign in to compare queries of your own.", tried=tried)
            return
        yield from self._compare(page, author, before, after, query.id)

    def _compare(
        self, page: OpenPage, author: str | None, before: str, after: str, query_id: int | None
    ) -> Iterator[Payload]:
        ids = page.collection.id, page.label_set.id
        try:
            if query_id is None:
                queries = list_queries(self._workspace, page)
                query_id = next(
                    (p.query.id for p in queries if p.standing.n_relevant), queries[0].query.id if queries else None
                )
            one = None
            if query_id is not None:
                one = comparing.compare_query(self._workspace, author, *ids, before, after, query_id)
            yield self._payload(page, before, after, query_id, comparison=one, is_pending=True)
            overall = comparing.compare_all(self._workspace, *ids, before, after)
            yield self._payload(page, before, after, query_id, comparison=one, overall=overall)
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            yield self._payload(page, before, after, query_id, error=explain(error))

    def _payload(self, page: OpenPage, before: str, after: str, query_id: int | None, **parts: Any) -> Payload:
        return compare_panel(
            page,
            rankers.list_rankers(self._workspace, page.collection.id),
            list_queries(self._workspace, page),
            before,
            after,
            query_id,
            **parts,
        )

    def _page(self, message: Message) -> OpenPage:
        ids = message.optional_number("collection_id"), message.optional_number("label_set_id")
        return open_page(self._workspace, *ids)
