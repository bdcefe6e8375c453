"""What the judging desk asks beside its list: the query list, a document in full, help from the model, imports."""

import base64
import binascii
from typing import Any

from annotation.collections.page import OpenPage
from annotation.errors import InvalidInputError
from annotation.judging import assist, queries, review, setup
from annotation.judging.view import look_into
from annotation.ranking import rankers
from annotation.ranking.rankers import LIGHT, RankingKey
from annotation.ui.answers import Answers, part
from annotation.ui.message import Message
from annotation.ui.payloads.comparing import unread_payload
from annotation.ui.payloads.judging import card_payload, import_panel, query_list
from annotation.ui.payloads.markdown import markdown_tree
from annotation.workspace import Workspace

Payload = dict[str, Any]


class JudgeAnswers:
    """Answers that change a part of the desk."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        answers = {
            "list": ("queries", self._list),
            "looks": ("looks", self._looks),
            "need": ("need", self._need),
            "read": ("document", self._read),
            "useful": ("useful", self._useful),
            "live": ("live", self._live),
            "reread": ("reread", self._reread),
            "import": ("import", self._import),
            "acknowledge": ("acknowledged", self._acknowledge),
        }
        self.answers: Answers = {f"judge.{name}": part(workspace, *each) for name, each in answers.items()}

    def _list(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        return query_list(*queries.list_as_of(self._workspace, page, author))

    def _looks(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        places = page.collection.id, page.label_set.id
        return {"n": len(review.marks_to_look_at(self._workspace, author, *places))}

    def _need(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        query_id, need = message.number("query_id"), message.text("need")
        query = queries.set_need(self._workspace, author, page.collection.id, query_id, need)
        return {"need": query.need, "need_tree": markdown_tree(query.need)}

    def _read(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        query = queries.open_query(self._workspace, page.collection.id, message.number("query_id"))
        view = look_into(self._workspace, query, message.text("doc_id"), RankingKey(message.text("ranker")) or LIGHT)
        closest = list(view.closest) if view.closest else None
        return {"doc_id": view.doc_id, "closest": closest, "metadata": dict(view.metadata)}

    def _useful(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        found = self._found(page, author, message)
        card = assist.most_useful_card(self._workspace, found)
        return {"card": card_payload(card, found.query) if card else None}

    def _live(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        found, ranker = self._found(page, author, message), RankingKey(message.text("ranker")) or LIGHT
        followed = assist.follow(self._workspace, found, ranker)
        cards = [card_payload(card, found.query) for card in followed.cards]
        return {"cards": cards, "state": followed.state, "ranker": ranker}

    def _found(self, page: OpenPage, author: str | None, message: Message) -> queries.OpenQuery:
        ids = page.collection.id, page.label_set.id
        return queries.open_in(self._workspace, author, *ids, message.number("query_id"))

    def _reread(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        query = queries.open_query(self._workspace, page.collection.id, message.number("query_id"))
        ranker = RankingKey(message.text("ranker")) or LIGHT
        unread = rankers.unread_of_query(self._workspace, query, ranker)
        if unread.doc_ids and message.flag("is_sure"):
            rankers.read_some(self._workspace, author, page.collection.id, unread)
            unread = rankers.unread_of_query(self._workspace, query, ranker)
        return {"ranker": ranker, **unread_payload(unread)}

    def _import(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        try:
            content = base64.b64decode(message.text("content"), validate=True)
        except binascii.Error as error:
            raise InvalidInputError("The file did not arrive whole. Choose it again.") from error
        name, collection_id = message.text("name"), page.collection.id
        if message.flag("is_sure"):
            return import_panel(queries.import_queries(self._workspace, author, collection_id, name, content), True)
        return import_panel(queries.look_through(self._workspace, author, collection_id, name, content), False)

    def _acknowledge(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        setup.acknowledge(self._workspace, author, page.collection.id, message.text("text_hash"))
        return {}
