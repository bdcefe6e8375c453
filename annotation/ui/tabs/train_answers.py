"""What the Train tab asks beside its list: a training run in full, its marks, what changed since, what needs it."""

from typing import Any

import gradio as gr

from annotation.collections.page import OpenPage
from annotation.judging.setup import setup_of
from annotation.training import explain, manage
from annotation.ui.panel import Handler, Message, answer_events
from annotation.ui.payloads.training_run import changes_payload, dependents_payload, details_panel, marks_payload
from annotation.workspace import Workspace

Payload = dict[str, Any]


class TrainAnswers:
    """Answers about one training run; each kind has a mailbox of its own, so that none displaces another."""

    def __init__(self, workspace: Workspace, panel: gr.HTML) -> None:
        self._workspace = workspace
        answers: list[tuple[str, str, Handler]] = [
            ("details", "run-details", self._details),
            ("marks", "run-marks", self._marks),
            ("changes", "run-changes", self._changes),
            ("dependents", "run-dependents", self._dependents),
        ]
        answer_events(workspace, panel, "train", answers)

    def _details(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        return details_panel(explain.details(self._workspace, author, message.number("training_run_id")))

    def _marks(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        query_id = message.number("query_id")
        marks = explain.snapshot_marks(self._workspace, author, message.number("training_run_id"), query_id)
        return {"query_id": query_id, "marks": marks_payload(marks, self._grades(page))}

    def _changes(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        run_id, other_id = message.number("training_run_id"), message.optional_number("other_id")
        changes = explain.changes_between(self._workspace, author, run_id, other_id)
        return {"other_id": other_id, **changes_payload(changes, self._grades(page), message.text("since"))}

    def _dependents(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        return dependents_payload(*manage.dependents(self._workspace, message.number("training_run_id")))

    def _grades(self, page: OpenPage) -> tuple[str, ...]:
        return setup_of(self._workspace, page.collection.id).grade_names
