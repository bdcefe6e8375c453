"""What the Train tab asks beside its list: a training run in full, its marks, what changed since, what needs it."""

from typing import Any

from annotation.collections.page import OpenPage
from annotation.judging.setup import setup_of
from annotation.training import explain, manage
from annotation.ui.answers import Answers, part
from annotation.ui.message import Message
from annotation.ui.payloads.training_run import changes_payload, dependents_payload, details_panel, marks_payload
from annotation.workspace import Workspace

Payload = dict[str, Any]


class TrainAnswers:
    """Answers about one training run."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        answers = {
            "details": ("run-details", self._details),
            "marks": ("run-marks", self._marks),
            "changes": ("run-changes", self._changes),
            "dependents": ("run-dependents", self._dependents),
        }
        self.answers: Answers = {f"train.{name}": part(workspace, *each) for name, each in answers.items()}

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
