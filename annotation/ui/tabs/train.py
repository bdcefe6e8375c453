"""The Train tab: what there is to learn from, start, watch, cancel, and keeping order among the training runs."""

from collections.abc import Callable
from typing import Any

from annotation.collections.page import OpenPage, open_page
from annotation.errors import InvalidInputError
from annotation.jobs.worker import Worker
from annotation.judging import test_queries
from annotation.people.permissions import why_not_change_run, why_not_choose_ranking, why_not_keep_for_testing
from annotation.ranking import rankers
from annotation.training import manage, start
from annotation.ui.answers import Answers, Handler, Heard, ids_of
from annotation.ui.feedback import explain
from annotation.ui.message import Message
from annotation.ui.payloads.training import train_panel
from annotation.ui.tabs.train_answers import TrainAnswers
from annotation.workspace import Workspace

Payload = dict[str, Any]
_Action = Callable[[OpenPage, str | None, Message], None]

BUSY_SECONDS = 0.7  # between two looks at a training run


class TrainTab:
    """The training screen; it only watches rows, the worker does the work."""

    def __init__(self, workspace: Workspace, worker: Worker) -> None:
        self._workspace = workspace
        self._worker = worker
        self._answers = TrainAnswers(workspace)
        self.answers: Answers = {
            "train.show": self.look,
            "train.start": self._setting_to_work(self._start),
            "train.rerun": self._setting_to_work(self._rerun),
            "train.resume": self._setting_to_work(self._resume),
            "train.curve": self._setting_to_work(self._ask_for_curve),
            "train.cancel": self._doing(self._cancel),
            "train.withdraw": self._doing(self._withdraw_curve),
            "train.use": self._doing(self._use),
            "train.describe": self._doing(self._describe),
            "train.pin": self._doing(self._pin),
            "train.archive": self._doing(self._archive),
            "train.remove": self._doing(self._remove),
            "train.keep": self._doing(self._keep_some),
            "train.release": self._doing(self._release),
            **self._answers.answers,
        }

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

    def look(self, author: str | None, message: Message) -> Heard:
        """Return the screen as things stand now."""
        return {"train": self.show(open_page(self._workspace, *ids_of(message)), author)}

    def _doing(self, action: _Action) -> Callable[[str | None, Message], Heard]:
        def answer(author: str | None, message: Message) -> Heard:
            error = ""
            try:
                action(open_page(self._workspace, *ids_of(message)).as_asked(), author, message)
            except Exception as problem:  # noqa: BLE001 - the page has to be told, whatever it was
                error = explain(problem)
            page = open_page(self._workspace, *ids_of(message))
            return {"train": self.show(page, author, error, is_answer=True)}

        return answer

    def _setting_to_work(self, action: _Action) -> Handler:
        do = self._doing(action)

        def answer(author: str | None, message: Message) -> Heard:
            heard = do(author, message)
            self._worker.poke()
            return {**heard, "look": {"seconds": BUSY_SECONDS}}

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
