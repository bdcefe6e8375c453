"""The Collection tab: all collections, the label sets of the open one, and everything that is made of files."""

from typing import Any

from annotation.collections import embedders as choosing
from annotation.collections import manage, preview
from annotation.collections.catalogue import all_collections, open_if_possible
from annotation.collections.embedders import embedders_of
from annotation.collections.imports import list_changeable, list_jobs
from annotation.collections.page import OpenPage, list_label_sets, open_page
from annotation.collections.uploads import Uploads
from annotation.comparing.measure import coverage
from annotation.errors import InvalidInputError
from annotation.judging.agreement import people_of
from annotation.judging.setup import DeskSetup, Template, set_up, setup_of
from annotation.people.permissions import is_alone, why_not_settle
from annotation.ranking import rankers
from annotation.training import start
from annotation.transfer import judgments
from annotation.ui.answers import Answers, Heard, ids_of
from annotation.ui.downloads import Downloads
from annotation.ui.feedback import explain
from annotation.ui.message import Message
from annotation.ui.payloads.collections import collection_panel, coverage_panel
from annotation.ui.payloads.embedders import embedders_payload, presets_payload
from annotation.ui.payloads.importing import jobs_payload
from annotation.ui.payloads.transfer import runs_payload
from annotation.ui.tabs.collection_answers import CollectionAnswers
from annotation.ui.tabs.take_out_answers import TakeOutAnswers
from annotation.workspace import Workspace

Payload = dict[str, Any]


class CollectionTab:
    """The collection screen; events that change what all tabs show are answered by `app`."""

    def __init__(self, workspace: Workspace, uploads: Uploads, downloads: Downloads) -> None:
        self._workspace = workspace
        self._limits = uploads.limits
        self._answers = CollectionAnswers(workspace, uploads)
        self._out = TakeOutAnswers(workspace, uploads, downloads)
        self.answers: Answers = {
            "collection.show": self.look,
            "collection.refresh": self.refresh,
            "collection.measure": self.measure,
            **self._answers.answers,
            **self._out.answers,
        }

    def show(self, page: OpenPage, author: str | None, error: str = "") -> Payload:
        """Return the screen as things stand now."""
        presets = choosing.presets(self._workspace.settings)
        has_one_person = is_alone(self._workspace.settings)
        panel = collection_panel(
            page,
            author,
            all_collections(self._workspace, author),
            list_label_sets(self._workspace, page.collection.id),
            setup_of(self._workspace, page.collection.id),
            people_of(self._workspace, author, page.collection.id, page.label_set.id),
            error or page.remark,
        )
        ways = rankers.list_rankers(self._workspace, page.collection.id, is_comparing=True)
        return panel | {
            "jobs": jobs_payload(list_jobs(self._workspace), list_changeable(self._workspace, author)),
            "formats": [list(each) for each in preview.formats().items()],
            "encodings": [list(each) for each in preview.encodings().items()],
            "presets": presets_payload(presets),
            "embedders": embedders_payload(embedders_of(self._workspace, page.collection.id), presets),
            "most_bytes": self._limits.bytes_each,
            "may_give_paths": has_one_person,
            "may_use_endpoints": has_one_person,
            "may_settle": not why_not_settle(self._workspace.settings, author, page.collection),
            "may_push": has_one_person and author is not None,
            "out_formats": [list(each) for each in judgments.FORMATS.items()],
            "rankers": [{"key": each.key, "label": each.label} for each in ways],
            "training_runs": runs_payload(start.history(self._workspace, page.collection.id)),
        }

    def manage(self, author: str | None, message: Message) -> None:
        """Rename, describe, archive or delete a collection.

        Raises:
            AnnotationError: if that is not possible; the message says what to do.
        """
        collection_id, act = message.number("managed_id"), message.text("act")
        if act == "describe":
            manage.rename(self._workspace, author, collection_id, message.text("name"))
            manage.describe(self._workspace, author, collection_id, message.text("description"))
        elif act == "archive":
            manage.archive(self._workspace, author, collection_id)
        elif act == "unarchive":
            manage.unarchive(self._workspace, author, collection_id)
        elif act == "delete":
            manage.delete(self._workspace, author, collection_id, message.text("name"))
        else:
            raise InvalidInputError("Choose what to do with the collection.")

    def set_up(self, author: str | None, message: Message) -> None:
        """Keep how judging is to be set up.

        Raises:
            AnnotationError: if that cannot be kept as it is.
        """
        templates = [Message(each) for each in message.list("templates")]
        names = [each for each in message.list("grade_names") if isinstance(each, str)]
        setup = DeskSetup(
            grade_names=tuple(" ".join(name.split()) for name in names),
            guidelines=message.text("guidelines"),
            templates=tuple(
                Template(each.text("name").strip(), each.text("instruction").strip()) for each in templates
            ),
            n_judges=message.number("n_judges"),
            depth=message.number("depth"),
            is_blind=message.flag("is_blind"),
        )
        set_up(self._workspace, author, message.number("collection_id"), setup)

    def look(self, author: str | None, message: Message) -> Heard:
        """Return the screen as things stand now."""
        return {"collection": self.show(open_page(self._workspace, *ids_of(message)), author)}

    def refresh(self, author: str | None, message: Message) -> Heard:
        """Return the screen after documents or embedders may have changed."""
        page = open_page(self._workspace, *ids_of(message))
        open_if_possible(self._workspace, page.collection.id)
        return {"collection": self.show(page, author)}

    def measure(self, author: str | None, message: Message) -> Heard:
        """Return how much of what rankings put first is judged."""
        page = open_page(self._workspace, *ids_of(message))
        try:
            told = coverage_panel(coverage(self._workspace, page.collection.id, page.label_set.id))
        except Exception as error:  # noqa: BLE001 - the page has to be told, whatever it was
            told = {"text": explain(error)}
        return {"coverage": {"label_set_id": page.label_set.id, **told}}
