"""The Judge tab: search, mark, next query."""

from typing import Any

import gradio as gr

from annotation import judging, searching
from annotation.errors import NotReadyError
from annotation.judging import Mark
from annotation.opening import OpenPage, list_instructions, list_queries, open_page
from annotation.presenting.judging import judge_panel
from annotation.searching import Search
from annotation.ui.feedback import explain
from annotation.ui.panel import Message, make_panel, on
from annotation.ui.people import author_of
from annotation.workspace import Workspace

Payload = dict[str, Any]


class JudgeTab:
    """The judging desk and what it answers."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.panel = make_panel("judge", "judge_results", "judge_marks", "judge_queries")
        self._mailbox = make_panel("mailbox")
        on(self.panel.search, self._search, [self.panel], trigger_mode="always_last")
        on(self.panel.open, self._open, [self.panel], trigger_mode="always_last")
        # One at a time and none dropped: marks of one page must be stored in the order they were made.
        on(self.panel.judge, self._judge, [self._mailbox], concurrency_limit=1, trigger_mode="multiple")

    def show(self, page: OpenPage, author: str | None, message: Message, error: str = "") -> Payload:
        """Return the desk for a query of the address, or else the first one of the collection."""
        queries = list_queries(self._workspace, page)
        wanted = message.optional_number("query")
        first = next((p.query for p in queries if p.query.public_id is not None), queries[0].query if queries else None)
        query = next((p.query for p in queries if p.query.id == wanted), first)
        if wanted is not None and query is not None and query.id != wanted:
            error = error or "The query of this address does not exist in this collection. Here is another one."
        ranker = message.text("by") or self._default_ranker(page)
        if query is None:
            return self._payload(page, author, ranker, self._nothing(page, "", ""), error)
        try:
            return self._find(page, author, query.text, query.instruction, ranker, error)
        except Exception as problem:  # noqa: BLE001 - the page has to open, whatever it was
            if not isinstance(problem, NotReadyError):
                error = error or explain(problem)
            again = searching.show_again(self._workspace, page.collection.id, page.label_set.id, query)
            return self._payload(page, author, again.ranker, again, error)

    def _search(self, request: gr.Request, event: gr.EventData) -> Payload:
        message, author = Message(event._data), author_of(self._workspace.settings, request)
        page = self._page(message)
        try:
            text, instruction, ranker = message.text("text"), message.text("instruction"), message.text("ranker")
            return self._find(page, author, text, instruction, ranker)
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            nothing = self._nothing(page, "", "")
            return self._payload(page, author, self._default_ranker(page), nothing, explain(error))

    def _open(self, request: gr.Request, event: gr.EventData) -> Payload:
        message, author = Message(event._data), author_of(self._workspace.settings, request)
        page = self._page(message)
        try:
            query = searching.open_query(self._workspace, page.collection.id, message.number("query_id"))
            return self._find(page, author, query.text, query.instruction, message.text("ranker"))
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            nothing = self._nothing(page, "", "")
            return self._payload(page, author, self._default_ranker(page), nothing, explain(error))

    def _judge(self, request: gr.Request, event: gr.EventData) -> Payload:
        message = Message(event._data)
        try:
            mark = Mark(
                label_set_id=message.number("label_set_id"),
                query_id=message.number("query_id"),
                doc_id=message.text("doc_id"),
                grade=message.grade("grade"),
                rank_shown=message.optional_number("rank"),
                ranker=message.text("ranker"),
                client_id=message.text("client_id"),
                sequence=message.number("sequence"),
            )
            author = author_of(self._workspace.settings, request)
            saved = judging.judge(self._workspace, author, message.number("collection_id"), mark)
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            reply = {name: event._data.get(name) for name in ("client_id", "doc_id", "sequence")}
            return {**reply, "error": explain(error)}
        return {
            "query_id": saved.query_id,
            "client_id": saved.client_id,
            "sequences": dict(saved.sequences),
            "grades": dict(saved.grades),
        }

    def _page(self, message: Message) -> OpenPage:
        ids = message.optional_number("collection_id"), message.optional_number("label_set_id")
        return open_page(self._workspace, *ids)

    def _default_ranker(self, page: OpenPage) -> str:
        return searching.default_ranker(self._workspace, page.collection.id, page.label_set.id)

    def _find(
        self, page: OpenPage, author: str | None, text: str, instruction: str, ranker: str, error: str = ""
    ) -> Payload:
        search = searching.run_query(
            self._workspace, author, page.collection.id, page.label_set.id, text, instruction, ranker
        )
        return self._payload(page, author, ranker, search, error)

    def _payload(self, page: OpenPage, author: str | None, ranker: str, search: Search, error: str) -> Payload:
        return judge_panel(
            page,
            author,
            list_queries(self._workspace, page),
            list_instructions(self._workspace, page.collection.id),
            searching.rankers(self._workspace, page.collection.id),
            ranker,
            search,
            error or page.remark,
        )

    def _nothing(self, page: OpenPage, text: str, instruction: str) -> Search:
        return Search(text, instruction, None, searching.LIGHT, [], {}, page.collection.n_documents, None)
