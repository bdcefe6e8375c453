"""The Train tab: what there is to learn from, start, watch, cancel."""

from typing import Any

import gradio as gr

from annotation import training
from annotation.errors import InvalidInputError
from annotation.opening import OpenPage, open_page
from annotation.presenting.training import train_panel
from annotation.training import TrainingWorker
from annotation.ui.feedback import explain
from annotation.ui.panel import Message, make_panel, on
from annotation.ui.people import author_of
from annotation.workspace import Workspace

Payload = dict[str, Any]

BUSY_SECONDS = 0.7  # between two looks at a training run


class TrainTab:
    """The training screen; it only watches rows, the worker does the work."""

    def __init__(self, workspace: Workspace, worker: TrainingWorker, timer: gr.Timer) -> None:
        self._workspace = workspace
        self._worker = worker
        self.panel = make_panel("train")
        on(self.panel.start, self._start, [self.panel, timer])
        on(self.panel.cancel, self._cancel, [self.panel])

    def show(self, page: OpenPage, author: str | None, error: str = "", is_answer: bool = False) -> Payload:
        """Return the screen as things stand now."""
        return train_panel(
            page,
            author,
            training.outlook(self._workspace, page.collection.id, page.label_set.id),
            training.history(self._workspace, page.collection.id),
            self._workspace.device_name,
            error,
            is_answer,
        )

    def _start(self, request: gr.Request, event: gr.EventData) -> tuple[Payload, gr.Timer]:
        message, author, error = Message(event._data), author_of(self._workspace.settings, request), ""
        page = open_page(
            self._workspace, message.optional_number("collection_id"), message.optional_number("label_set_id")
        )
        try:
            seed = message.optional_number("seed")
            if seed is None:
                raise InvalidInputError("The seed is a whole number from 0 to 2,147,483,647.")
            training.start(self._workspace, author, page.collection.id, page.label_set.id, message.text("recipe"), seed)
            self._worker.poke()
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        return self.show(page, author, error, is_answer=True), gr.Timer(BUSY_SECONDS)

    def _cancel(self, request: gr.Request, event: gr.EventData) -> Payload:
        message, author, error = Message(event._data), author_of(self._workspace.settings, request), ""
        page = open_page(
            self._workspace, message.optional_number("collection_id"), message.optional_number("label_set_id")
        )
        try:
            training.cancel(self._workspace, author, message.number("training_run_id"))
        except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
            error = explain(problem)
        return self.show(page, author, error, is_answer=True)
