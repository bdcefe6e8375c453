"""The Judge tab: what lies on the desk. The marks that people make come by a route of their own (`server.marks`)."""

from dataclasses import replace
from typing import Any

from annotation.collections.page import OpenPage, list_instructions, list_queries, open_page
from annotation.comparing.measure import lay_out_coverage
from annotation.errors import InvalidInputError, NotReadyError
from annotation.judging import queries
from annotation.judging.queries import OpenQuery
from annotation.judging.review import lay_out_again, lay_out_conflicts
from annotation.judging.setup import Place, clean_text, has_acknowledged, place_at
from annotation.judging.view import Desk, lay_out_pool, lay_out_ranking, lay_out_similar
from annotation.people.permissions import why_not_arrange, why_not_settle
from annotation.ranking import rankers
from annotation.ranking.rankers import RankingKey, ready_key
from annotation.ui.answers import Answers, Heard, ids_of
from annotation.ui.feedback import explain
from annotation.ui.message import Message
from annotation.ui.payloads.judging import judge_panel, settings_panel
from annotation.ui.tabs.compare import read_message
from annotation.ui.tabs.judge_answers import JudgeAnswers
from annotation.workspace import Workspace

Payload = dict[str, Any]


class JudgeTab:
    """The judging desk and what it answers."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._answers = JudgeAnswers(workspace)
        self.answers: Answers = {
            "judge.search": self.search,
            "judge.open": self.open,
            **self._answers.answers,
        }

    def show(self, page: OpenPage, author: str | None, message: Message, error: str = "") -> Payload:
        """Return the desk for a query of the address, or else the first one of the collection."""
        place, listed = place_at(self._workspace, author, page), list_queries(self._workspace, page)
        wanted = message.optional_number("query")
        first = next((p.query for p in listed if p.query.public_id is not None), listed[0].query if listed else None)
        query = next((p.query for p in listed if p.query.id == wanted), first)
        if wanted is not None and query is not None and query.id != wanted:
            error = error or "The query of this address does not exist in this collection. Here is another one."
        ranker = RankingKey(message.text("by")) or self._in_use(place)
        view = message.text("view") or ("ranking" if message.text("by") else "pool")
        if query is None:
            if view in ("again", "conflicts"):
                try:
                    return self._lay_out(place, None, view, ranker, Message({}), error)
                except Exception as problem:  # noqa: BLE001 - the page has to open, whatever it was
                    error = error or explain(problem)
            return self._payload(place, Desk("pool", None, ()), ranker, error=error)
        found = queries.look_at(self._workspace, place, query)
        try:
            return self._lay_out(place, found, view, ranker, Message({}), error)
        except Exception as problem:  # noqa: BLE001 - the page has to open, whatever it was
            if not isinstance(problem, NotReadyError):
                error = error or explain(problem)
        by, shown = queries.shown_last(self._workspace, query)
        desk = Desk("pool", query, ())  # nothing to judge yet: the documents come when the embedders are there
        if view == "ranking":
            desk = lay_out_ranking(self._workspace, found, shown)
        return self._payload(place, desk, RankingKey(by), error=error)

    def search(self, author: str | None, message: Message) -> Heard:
        """Return the desk for a query that the person typed."""
        try:
            asked = message.text("text"), message.text("instruction")
            found = queries.look_for(self._workspace, author, *ids_of(message), *asked)
            with queries.storing_drafts(self._workspace, found.query):
                desk = self._lay_out(
                    found.place, found, message.text("view"), RankingKey(message.text("ranker")), message
                )
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            desk = self._failed(message, author, error)
        return {"judge": {**desk, "ask": message.optional_number("ask")}}

    def open(self, author: str | None, message: Message) -> Heard:
        """Return the desk for a stored query or a list over several."""
        ids = ids_of(message)
        try:
            query_id, found = message.optional_number("query_id"), None
            if query_id is not None:
                found = queries.open_in(self._workspace, author, *ids, query_id)
            place = found.place if found else place_at(self._workspace, author, open_page(self._workspace, *ids))
            desk = self._lay_out(place, found, message.text("view"), RankingKey(message.text("ranker")), message)
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            desk = self._failed(message, author, error)
        return {"judge": {**desk, "ask": message.optional_number("ask")}}

    def _failed(self, message: Message, author: str | None, error: Exception) -> Payload:
        place = place_at(self._workspace, author, open_page(self._workspace, *ids_of(message)))
        told = {"known": message.name("settings"), "error": explain(error)}
        return self._payload(place, Desk("pool", None, ()), self._in_use(place), **told)

    def _lay_out(
        self, place: Place, found: OpenQuery | None, view: str, ranker: RankingKey, message: Message, error: str = ""
    ) -> Payload:
        """Return the list that was asked for."""
        workspace, about = self._workspace, (place.author, place.page.collection.id, place.page.label_set.id)
        ranker = ranker or self._in_use(place)
        more: Payload = {"known": message.name("settings"), "error": error}
        if view == "again":
            return self._payload(place, lay_out_again(workspace, *about), ranker, **more)
        if view == "conflicts":
            return self._payload(place, lay_out_conflicts(workspace, *about), ranker, **more)
        if view == "coverage":
            comparison = read_message(workspace, place.page, message)
            return self._payload(place, lay_out_coverage(workspace, place.author, comparison), ranker, **more)
        if found is None:
            raise InvalidInputError("Choose a query from the list, or write a new one.")
        if view == "similar":
            doc_id = message.text("doc_id")
            desk = lay_out_similar(workspace, found, doc_id)
            title = queries.find_documents(workspace, found.query.collection_id, [doc_id])[doc_id].title
            more["like"] = doc_id, title or doc_id
        elif view == "ranking":
            ranker = ready_key(workspace, found.query, ranker)
            more["phrase"] = clean_text(message.text("phrase"), "phrase")
            shown = queries.run_query(workspace, place.author, found.query, ranker, more["phrase"])
            desk = lay_out_ranking(workspace, replace(found, query=shown.query), shown.ranking, took_ms=shown.took_ms)
        else:
            desk = lay_out_pool(workspace, found)
        return self._payload(place, desk, ranker, **more)

    def _in_use(self, place: Place) -> RankingKey:
        return rankers.ranker_in_use(self._workspace, place.page.label_set, place.runs)

    def _payload(
        self, place: Place, desk: Desk, ranker: RankingKey, known: str = "", error: str = "", **more: Any
    ) -> Payload:
        """Return the desk, with the settings unless they are `known`: the version that the page has."""
        if place.author is not None and desk.query is not None and desk.query.id == queries.NOT_STORED:
            error = error or queries.NOT_STORED_REMARK
        settings = None if known == place.version else self._settings(place)
        return judge_panel(place, desk, ranker, settings, error=error or place.page.remark, **more)

    def _settings(self, place: Place) -> Payload:
        """Return what a page is told once, and again when it has changed."""
        workspace, collection, author = self._workspace, place.page.collection, place.author

        def may_describe(made_by: str) -> bool:
            return not why_not_arrange(workspace.settings, author, collection, "describe a query", made_by)

        return settings_panel(
            place,
            in_use=self._in_use(place),
            must_acknowledge=not has_acknowledged(workspace, author, collection.id, place.setup),
            instructions=list_instructions(workspace, collection.id),
            rankers=rankers.rankers_of(place.runs),
            may_describe=("all",) if may_describe("") else ("own",) if may_describe(author or "") else (),
            may_settle=not why_not_settle(workspace.settings, author, collection),
        )
