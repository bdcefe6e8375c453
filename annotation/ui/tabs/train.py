"""The Train tab: what there is to learn from, start, watch, cancel, and keeping order among the training runs."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from annotation.collections.page import OpenPage, open_page
from annotation.errors import InvalidInputError
from annotation.jobs.worker import Worker
from annotation.judging import test_queries
from annotation.people.permissions import why_not_change_run, why_not_choose_ranking, why_not_keep_for_testing
from annotation.ranking import rankers
from annotation.training import manage, start
from annotation.ui.feedback import explain
from annotation.ui.panel import Message, author_of, make_panel, on
from annotation.ui.payloads.training import train_panel
from annotation.ui.tabs.train_answers import TrainAnswers
from annotation.workspace import Workspace

Payload = dict[str, Any]
_Action = Callable[[OpenPage, str | None, Message], None]

BUSY_SECONDS = 0.7  # between two looks at a training run


class TrainTab:
    """The training screen; it only watches rows, the worker does the work."""

    def __init__(self, workspace: Workspace, worker: Worker, timer: gr.Timer) -> None:
        self._workspace = workspace
        self._worker = worker
        self.panel = make_panel("train", "train_plots", "train_runs", "train_details")
        self._answers = TrainAnswers(workspace, self.panel)
        for event, action in (
            ("start", self._start),
            ("rerun", self._rerun),
            ("resume", self._resume),
            ("curve", self._ask_for_curve),
        ):
            on(getattr(self.panel, event), self._setting_to_work(action), [self.panel, timer])
        on(self.panel.look, self._look, [self.panel], trigger_mode="multiple")
        for event, action in (
            ("cancel", self._cancel),
            ("withdraw", self._withdraw_curve),
            ("use", self._use),
            ("describe", self._describe),
            ("pin", self._pin),
            ("archive", self._archive),
            ("remove", self._remove),
            ("keep", self._keep_some),
            ("release", self._release),
        ):
            on(getattr(self.panel, event), self._doing(action), [self.panel])

    def show(self, page: OpenPage, author: str | None, error: str = "", is_answer: bool = False) -> Payload:
        """Return the screen as things stand now."""
        settings, runs = self._workspace.settings, start.history(self._workspace, page.collection.id)
        return train_panel(
            page,
            author,
            start.outlook(self._workspace, page.collection.id, page.label_set.id),
            runs,
            self._workspace.device_name,
            rankers.default_ranker(self._workspace, page.collection.id, page.label_set.id),
            rankers.list_usable(self._workspace, page.collection.id),
            start.places_in_line(self._workspace),
            start.curve_under_way(self._workspace),
            error,
            is_answer,
            fixed={run.id: why_not_change_run(settings, author, page.collection, run, "change") for run in runs},
            why_no_choice=why_not_choose_ranking(settings, author, page.collection, page.label_set),
            why_no_testing=why_not_keep_for_testing(settings, author, page.collection, page.label_set),
            damaged=rankers.damaged_runs(self._workspace, page.collection.id),
        )

    def _look(self, request: gr.Request, event: gr.EventData) -> Payload:
        message = Message(event._data)
        ids = message.optional_number("collection_id"), message.optional_number("label_set_id")
        return self.show(open_page(self._workspace, *ids), author_of(self._workspace.settings, request))

    def _doing(self, action: _Action) -> Callable[..., Payload]:
        def answer(request: gr.Request, event: gr.EventData) -> Payload:
            message, author, error = Message(event._data), author_of(self._workspace.settings, request), ""
            ids = message.optional_number("collection_id"), message.optional_number("label_set_id")
            try:
                action(open_page(self._workspace, *ids).as_asked(), author, message)
            except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
                error = explain(problem)
            return self.show(open_page(self._workspace, *ids), author, error, is_answer=True)

        return answer

    def _setting_to_work(self, action: _Action) -> Callable[..., tuple[Payload, gr.Timer]]:
        do = self._doing(action)

        def answer(request: gr.Request, event: gr.EventData) -> tuple[Payload, gr.Timer]:
            shown = do(request, event)
            self._worker.poke()
            return shown, gr.Timer(BUSY_SECONDS)

        return answer

    def _start(self, page: OpenPage, author: str | None, message: Message) -> None:
        seed = message.optional_number("seed")
        if seed is None:
            raise InvalidInputError("The seed is a whole number from 0 to 2,147,483,647.")
        start.start(self._workspace, author, page.collection.id, page.label_set.id, message.text("recipe"), seed)

    def _rerun(self, page: OpenPage, author: str | None, message: Message) -> None:
        again = start.rerun_with_same_labels if message.flag("is_same") else start.rerun_with_todays_labels
        again(self._workspace, author, message.number("training_run_id"))

    def _resume(self, page: OpenPage, author: str | None, message: Message) -> None:
        start.resume(self._workspace, author, message.number("training_run_id"))

    def _cancel(self, page: OpenPage, author: str | None, message: Message) -> None:
        start.cancel(self._workspace, author, message.number("training_run_id"))

    def _ask_for_curve(self, page: OpenPage, author: str | None, message: Message) -> None:
        start.ask_for_curve(self._workspace, author, message.number("training_run_id"))

    def _withdraw_curve(self, page: OpenPage, author: str | None, message: Message) -> None:
        start.withdraw_curve(self._workspace, author, message.number("training_run_id"))

    def _use(self, page: OpenPage, author: str | None, message: Message) -> None:
        manage.use(self._workspace, author, page.collection.id, page.label_set.id, message.text("key"))

    def _describe(self, page: OpenPage, author: str | None, message: Message) -> None:
        run_id = message.number("training_run_id")
        manage.describe(self._workspace, author, run_id, message.text("name"), message.text("note"))

    def _pin(self, page: OpenPage, author: str | None, message: Message) -> None:
        manage.pin(self._workspace, author, message.number("training_run_id"), message.flag("is_pinned"))

    def _archive(self, page: OpenPage, author: str | None, message: Message) -> None:
        manage.archive(self._workspace, author, message.number("training_run_id"), message.flag("is_archived"))

    def _keep_some(self, page: OpenPage, author: str | None, message: Message) -> None:
        test_queries.keep_some(self._workspace, author, page.collection.id, page.label_set.id)

    def _release(self, page: OpenPage, author: str | None, message: Message) -> None:
        test_queries.release(self._workspace, author, page.collection.id, page.label_set.id)

    def _remove(self, page: OpenPage, author: str | None, message: Message) -> None:
        manage.delete(self._workspace, author, message.number("training_run_id"))
