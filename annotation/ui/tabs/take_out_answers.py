"""What the Collection tab is asked for to take along, and what is brought in again."""

from typing import Any

from annotation.collections.page import OpenPage
from annotation.collections.uploads import Uploads
from annotation.errors import InvalidInputError
from annotation.ranking.rankers import RankingKey
from annotation.transfer import adapters, collections, judgments, models, runs, triplets
from annotation.transfer.files import ExportFile
from annotation.transfer.run_imports import import_run
from annotation.ui.answers import Answers, part
from annotation.ui.downloads import Downloads
from annotation.ui.message import Message
from annotation.ui.payloads.transfer import brought_in_payload, brought_in_run_payload, push_payload, taken_payload
from annotation.ui.tabs.collection_answers import sent_files
from annotation.workspace import Workspace

Payload = dict[str, Any]


class TakeOutAnswers:
    """Answers to single questions."""

    def __init__(self, workspace: Workspace, uploads: Uploads, downloads: Downloads) -> None:
        self._workspace = workspace
        self._uploads = uploads
        self._downloads = downloads
        answers = {
            "take-out": ("taken-out", self._take_out),
            "push": ("pushed", self._push),
            "bring-in": ("brought-in", self._bring_in),
        }
        self.answers: Answers = {f"collection.{name}": part(workspace, *each) for name, each in answers.items()}

    def _take_out(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        file = self._make(page, author, message)
        url, n_bytes = self._downloads.offer(author, file)
        return taken_payload(file, url, n_bytes)

    def _make(self, page: OpenPage, author: str | None, message: Message) -> ExportFile:
        """Return the file that is asked for.

        Raises:
            AnnotationError: if there is no such thing, or nothing to put into it.
        """
        workspace, what = self._workspace, message.text("what")
        collection_id, label_set_id = page.collection.id, page.label_set.id
        if what == "judgments":
            file_format, who = message.text("format"), message.text("who")
            has_notes = message.flag("with_notes")
            return judgments.export_judgments(workspace, author, label_set_id, file_format, who, has_notes)  # type: ignore[arg-type]
        if what == "run":
            ranker, depth = RankingKey(message.text("ranker")), message.number("depth")
            return runs.export_run(workspace, author, collection_id, label_set_id, ranker, depth)
        if what == "collection":
            return collections.export_collection(workspace, author, collection_id, label_set_id)
        if what == "triplets":
            return triplets.export_triplets(workspace, author, label_set_id)
        if what == "adapter":
            return adapters.export_adapter(workspace, author, message.number("training_run_id"))
        if what == "model":
            return models.export_model(workspace, author, message.number("training_run_id"))
        raise InvalidInputError("Choose what to take out.")

    def _push(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        run_id, repository = message.number("training_run_id"), message.text("repo_id").strip()
        is_private, is_dry_run = message.flag("is_private"), message.flag("is_dry_run")
        return push_payload(models.push_model(self._workspace, author, run_id, repository, is_private, is_dry_run))

    def _bring_in(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        what = message.text("what")
        if what not in ("judgments", "adapter", "run"):
            raise InvalidInputError("Choose what to bring in.")
        files = sent_files(message)
        if len(files) != 1:
            raise InvalidInputError("Choose one file at a time.")
        token = self._uploads.keep(author, files)
        try:
            path = self._uploads.path(author, token)
            if what == "judgments":
                return brought_in_payload(judgments.import_judgments(self._workspace, author, page.label_set.id, path))
            if what == "run":
                return brought_in_run_payload(
                    import_run(self._workspace, author, page.collection.id, page.label_set.id, path)
                )
            run = adapters.import_adapter(self._workspace, author, page.collection.id, page.label_set.id, path)
            return {"said": f"The adapter is here as training run {run.number}. It can be used and compared now."}
        finally:
            self._uploads.forget(author, token)
