"""What the Compare tab asks beside its panel: reasons, links, blind preferences, kept comparisons, files."""

import base64
from dataclasses import replace
from typing import Any

import gradio as gr

from annotation.collections.page import OpenPage
from annotation.comparing import blind, export, snapshots
from annotation.comparing.all_queries import OverallComparison, compare_all
from annotation.comparing.explain import why
from annotation.comparing.facts import side_labels
from annotation.comparing.report import report_html
from annotation.comparing.rereading import unread_of_comparison
from annotation.comparing.strong import may_stop, read_all, read_none, strong_state
from annotation.comparing.view import ComparisonView, read_view, share
from annotation.errors import InvalidInputError, NotFoundError
from annotation.judging import queries
from annotation.judging.setup import hidden_queries
from annotation.judging.view import said_by
from annotation.ranking import rankers
from annotation.ranking.rankers import BM25, LIGHT, RankingKey, read_keys
from annotation.ranking.rereading import read_some
from annotation.ui.panel import Handler, Message, answer_events
from annotation.ui.payloads.blind import blind_panel, preferences_panel, preferred_panel
from annotation.ui.payloads.comparing import overall_payload, strong_payload
from annotation.ui.payloads.explain import reasons_panel
from annotation.ui.payloads.judging import said_payload
from annotation.ui.payloads.rereading import unread_payload
from annotation.ui.payloads.snapshots import snapshots_panel
from annotation.workspace import Workspace

Payload = dict[str, Any]


class CompareAnswers:
    """Answers to single questions; each has a mailbox of its own, so that none displaces another."""

    def __init__(self, workspace: Workspace, panel: gr.HTML) -> None:
        self._workspace = workspace
        answers: list[tuple[str, str, Handler]] = [
            ("own", "own", self._own),
            ("why", "why", self._why),
            ("link", "link", self._link),
            ("blind", "blind", self._blind),
            ("prefer", "prefer", self._prefer),
            ("preferences", "preferences", self._preferences),
            ("snapshots", "snapshots", self._snapshots),
            ("keep", "snapshots", self._keep),
            ("drop", "snapshots", self._drop),
            ("export", "file", self._export),
            ("reread", "reread-sides", self._reread),
            ("strong", "strong", self._strong),
            ("read-all", "strong", self._read_all),
            ("read-none", "strong", self._read_none),
        ]
        answer_events(workspace, panel, "compare", answers)

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
        records = snapshots.list_snapshots(self._workspace, page.collection.id)
        droppable = snapshots.list_droppable(self._workspace, author, page.collection.id)
        return snapshots_panel(records, droppable)

    def _keep(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        view, name = self._view(page, message), message.text("name")
        snapshots.take(self._workspace, author, view, name, message.text("note"))
        return self._snapshots(page, author, message)

    def _drop(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        snapshots.drop(self._workspace, author, message.text("slug"))
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
        kept = snapshots.kept_comparison(self._workspace, view)
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
    record = snapshots.find_snapshot(workspace, slug)
    if record.collection_id != page.collection.id:
        raise NotFoundError("This kept comparison belongs to another collection. Choose one from the list.")
    view = snapshots.snapshot_view(record)
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


def read_message(workspace: Workspace, page: OpenPage, message: Message) -> ComparisonView:
    """Return the comparison that a page or an address asks for, choosing what it leaves open.

    Raises:
        InvalidInputError: if something of it cannot be used.
    """
    usual = [LIGHT, rankers.default_ranker(workspace, page.collection.id, page.label_set.id)]
    if usual[1] == LIGHT:
        trained = (each.key for each in rankers.list_usable(workspace, page.collection.id) if each.run)
        usual[1] = next(trained, BM25)
    sides = [key or usual[i] for i, key in enumerate(sides_of(message)[:2])] + sides_of(message)[2:]
    try:
        threshold: float | str | None = message.text("threshold")  # as addresses have it
    except InvalidInputError:
        threshold = message.decimal("threshold")
    is_in_sample = message.flag("is_in_sample") or message.name("insample").lower() in ("1", "true")
    return read_view(
        workspace, page, sides or usual, query_of(message), message.name("measures"), threshold, is_in_sample
    )
