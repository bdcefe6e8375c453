"""The Judge tab: what lies on the desk, and the marks that people make."""

from dataclasses import replace
from typing import Any

import gradio as gr

from annotation.collections.page import OpenPage, list_instructions, list_queries, open_page
from annotation.comparing.coverage import lay_out_coverage
from annotation.errors import InvalidInputError, NotAllowedError, NotReadyError
from annotation.judging import search
from annotation.judging import setup as desk_setup
from annotation.judging.marks import Delivery, Mark, Saved, judge, pace
from annotation.judging.queries import progress_of
from annotation.judging.review import lay_out_again, lay_out_conflicts
from annotation.judging.view import Desk, lay_out_pool, lay_out_ranking, lay_out_similar, look_now, setup_of
from annotation.people.permissions import why_not_describe, why_not_settle
from annotation.ranking import rankers
from annotation.ranking.rereading import ready_key
from annotation.retrieval.ranking import RankingKey
from annotation.ui.author import author_of
from annotation.ui.feedback import explain
from annotation.ui.panel import Message, make_panel, on
from annotation.ui.payloads.judging import judge_panel, saved_panel
from annotation.ui.tabs.compare_answers import read_message
from annotation.ui.tabs.judge_answers import JudgeAnswers
from annotation.workspace import Workspace

Payload = dict[str, Any]

MAX_PEOPLE_AT_ONCE = 16
_SCRIPTS = ("marks", "drafts", "cards", "reader", "live", "reread", "keys", "queries")


class JudgeTab:
    """The judging desk and what it answers."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.panel = make_panel("judge", "outbox", *(f"judge_{name}" for name in _SCRIPTS))
        self._mailbox = make_panel("mailbox")
        self._answers = JudgeAnswers(workspace, self.panel)
        on(self.panel.search, self._search, [self.panel], trigger_mode="multiple")
        on(self.panel.open, self._open, [self.panel], trigger_mode="multiple")
        # A page has one delivery under way at a time, so its marks are stored in order whoever else is judging.
        on(
            self.panel.judge,
            self._judge,
            [self._mailbox],
            concurrency_limit=MAX_PEOPLE_AT_ONCE,
            trigger_mode="multiple",
        )

    def show(self, page: OpenPage, author: str | None, message: Message, error: str = "") -> Payload:
        """Return the desk for a query of the address, or else the first one of the collection."""
        queries = list_queries(self._workspace, page)
        wanted = message.optional_number("query")
        first = next((p.query for p in queries if p.query.public_id is not None), queries[0].query if queries else None)
        query = next((p.query for p in queries if p.query.id == wanted), first)
        if wanted is not None and query is not None and query.id != wanted:
            error = error or "The query of this address does not exist in this collection. Here is another one."
        ranker = message.text("by") or self._default_ranker(page)
        view = message.text("view") or ("ranking" if message.text("by") else "pool")
        try:
            if query is None and view not in ("again", "conflicts"):
                return self._payload(page, author, Desk("pool", None, ()), ranker, error=error)
            return self._lay_out(page, author, query, view, ranker, Message({}), error)
        except Exception as problem:  # noqa: BLE001 - the page has to open, whatever it was
            if not isinstance(problem, NotReadyError):
                error = error or explain(problem)
        if query is None:
            return self._payload(page, author, Desk("pool", None, ()), ranker, error=error)
        by, shown = search.shown_last(self._workspace, query)
        again = lay_out_ranking(self._workspace, page.label_set.id, query, author, shown)
        if view != "ranking":  # nothing to judge yet: the documents come when the embedders are there
            again = Desk("pool", query, ())
        return self._payload(page, author, again, by, error=error)

    def _search(self, request: gr.Request, event: gr.EventData) -> Payload:
        message, author = Message(event._data), author_of(self._workspace.settings, request)
        page = self._page(message)
        try:
            collection_id = page.as_asked().collection.id
            query = search.ask(
                self._workspace, author, collection_id, message.text("text"), message.text("instruction")
            )
            is_unstored = author is not None and query.id == search.NOT_STORED
            remark = search.NOT_STORED_REMARK if is_unstored else ""
            writer = None if is_unstored else author  # nothing can be marked that belongs to no query
            desk = self._lay_out(page, writer, query, message.text("view"), message.text("ranker"), message, remark)
            desk["person"] = author
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            desk = self._failed(page, author, error)
        return {**desk, "ask": message.optional_number("ask")}

    def _open(self, request: gr.Request, event: gr.EventData) -> Payload:
        message, author = Message(event._data), author_of(self._workspace.settings, request)
        page = self._page(message)
        try:
            query_id, query = message.optional_number("query_id"), None
            if query_id is not None:
                query = search.open_query(self._workspace, page.collection.id, query_id)
            desk = self._lay_out(page, author, query, message.text("view"), message.text("ranker"), message)
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            desk = self._failed(page, author, error)
        return {**desk, "ask": message.optional_number("ask")}

    def _failed(self, page: OpenPage, author: str | None, error: Exception) -> Payload:
        return self._payload(page, author, Desk("pool", None, ()), self._default_ranker(page), error=explain(error))

    def _lay_out(
        self,
        page: OpenPage,
        author: str | None,
        query: Any,
        view: str,
        ranker: str,
        message: Message,
        error: str = "",
    ) -> Payload:
        """Return the list that was asked for."""
        places = page.collection.id, page.label_set.id
        ranker = ranker or self._default_ranker(page)
        if view == "again":
            return self._payload(page, author, lay_out_again(self._workspace, author, *places), ranker, error=error)
        if view == "conflicts":
            return self._payload(page, author, lay_out_conflicts(self._workspace, author, *places), ranker, error=error)
        if view == "coverage":
            comparison = read_message(self._workspace, page, message)
            desk = lay_out_coverage(self._workspace, author, comparison)
            return self._payload(page, author, desk, ranker, error=error)
        if query is None:
            raise InvalidInputError("Choose a query from the list, or write a new one.")
        if view == "similar":
            doc_id = message.text("doc_id")
            desk = lay_out_similar(self._workspace, page.label_set.id, query, author, doc_id)
            title = search.find_documents(self._workspace, page.collection.id, [doc_id])[doc_id].title
            return self._payload(page, author, desk, ranker, like=(doc_id, title or doc_id), error=error)
        if view == "ranking":
            ranker = ready_key(self._workspace, query, ranker)
            phrase = search.clean_text(message.text("phrase"), "phrase")
            found = search.run_query(self._workspace, author, query, ranker, phrase)
            desk = lay_out_ranking(
                self._workspace, page.label_set.id, query, author, found.ranking, took_ms=found.took_ms
            )
            return self._payload(page, author, desk, ranker, phrase=phrase, error=error)
        desk = lay_out_pool(self._workspace, author, page.label_set.id, query)
        return self._payload(page, author, desk, ranker, error=error)

    def _judge(self, request: gr.Request, event: gr.EventData) -> Payload:
        message, author = Message(event._data), author_of(self._workspace.settings, request)
        reply: Payload = {"kind": "saved", "batch": message.name("batch")}
        try:
            if message.text("person") != author:
                raise NotAllowedError(
                    f"These marks were made by {message.text('person')}, but {author or 'nobody'} is signed in now."
                )
            marks, unreadable = read_marks(message)
            collection_id = message.number("collection_id")
            saved = judge(self._workspace, author, collection_id, marks)
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            return {**reply, "error": explain(error)}
        saved = replace(saved, refused={**saved.refused, **unreadable})
        places = {mark.query_id: mark.label_set_id for mark in marks if mark.query_id in saved.said}
        try:
            return {**reply, **self._after(author, collection_id, saved, places)}
        except Exception as error:  # noqa: BLE001 - the marks are stored; what else may be seen comes with a reload
            explain(error)  # which logs it
            return {**reply, **saved_panel(replace(saved, said={}, settled={}), {}, {}, 0)}

    def _after(self, author: str | None, collection_id: int, saved: Saved, places: dict[int, int]) -> Payload:
        """Return what is stored and what may be seen now, of query id -> label set id."""
        looks, progress, as_of = {}, {}, 0
        for query_id, label_set_id in places.items():
            as_of = self._workspace.standings(label_set_id).as_of
            looks[query_id] = look_now(self._workspace, author, collection_id, label_set_id, query_id)
            progress[query_id] = progress_of(self._workspace, author, collection_id, label_set_id, query_id)
        return saved_panel(saved, looks, progress, as_of)

    def _page(self, message: Message) -> OpenPage:
        ids = message.optional_number("collection_id"), message.optional_number("label_set_id")
        return open_page(self._workspace, *ids)

    def _default_ranker(self, page: OpenPage) -> str:
        return rankers.default_ranker(self._workspace, page.collection.id, page.label_set.id)

    def _offered(self, page: OpenPage, ranker: str) -> list[rankers.Ranker]:
        """Return the usual rankings, and of the others those that are in use or being looked at."""
        used = {str(RankingKey.parse(key).without_rereading()) for key in (ranker, self._default_ranker(page))}
        offered = rankers.list_rankers(self._workspace, page.collection.id)
        return [each for each in offered if not each.group or each.key in used]

    def _payload(self, page: OpenPage, author: str | None, desk: Desk, ranker: str, **more: Any) -> Payload:
        setup, settings = setup_of(self._workspace, page.collection.id), self._workspace.settings
        stored = desk.query if desk.query is not None and desk.query.id != search.NOT_STORED else None
        has_read = desk_setup.has_acknowledged(self._workspace, author, page.collection.id, setup)
        more["error"] = more.get("error") or page.remark
        return judge_panel(
            page,
            author,
            setup,
            desk,
            must_acknowledge=not has_read,
            instructions=list_instructions(self._workspace, page.collection.id),
            rankers=self._offered(page, ranker),
            ranker=ranker,
            pace=pace(self._workspace, author, page.label_set.id),
            may_describe=stored is not None and not why_not_describe(settings, author, page.collection, stored),
            may_settle=not why_not_settle(settings, author, page.collection),
            **more,
        )


def read_marks(message: Message) -> tuple[list[Mark], dict[Delivery, str]]:
    """Return the marks of a delivery, and what is wrong with those that cannot be read."""
    marks: list[Mark] = []
    unreadable: dict[Delivery, str] = {}
    for each in map(Message, message.list("marks")):
        try:
            marks.append(mark_of(each))
        except InvalidInputError as error:
            delivery = each.name("client_id"), each.optional_number("sequence") or 0
            unreadable[delivery] = str(error)
    return marks, unreadable


def mark_of(message: Message) -> Mark:
    """Return the mark that a page sent.

    Raises:
        InvalidInputError: if something of it is missing or of another kind.
    """
    undoes = message.list("undoes")
    if undoes and not (len(undoes) == 2 and isinstance(undoes[0], str) and type(undoes[1]) is int):
        raise InvalidInputError("This undo came without the mark it is for. Reload the page and try again.")
    return Mark(
        label_set_id=message.number("label_set_id"),
        query_id=message.number("query_id"),
        doc_id=message.text("doc_id"),
        grade=message.decimal("grade"),
        rank_shown=message.optional_number("rank"),
        ranker=message.text("ranker"),
        client_id=message.text("client_id"),
        sequence=message.number("sequence"),
        is_unsure=message.flag("unsure"),
        note=message.text("note"),
        seconds=message.decimal("seconds"),
        together_with=message.text("together_with") or None,
        undoes=(undoes[0], undoes[1]) if undoes else None,
        is_adjudication=message.flag("is_adjudication"),
        content_hash=message.name("content_hash"),  # marks that an earlier page left in its outbox have no hashes
        query_hash=message.name("query_hash"),
    )
