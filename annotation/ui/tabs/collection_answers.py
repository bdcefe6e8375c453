"""What the Collection tab asks beside its panel: previews, imports and how far they are, documents, embedders."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from annotation.collections import embedders as choosing
from annotation.collections import imports, preview, update
from annotation.collections.catalogue import open_if_possible
from annotation.collections.embedders import change_plan, change_query_embedder, embedders_of
from annotation.collections.imports import ImportRequest
from annotation.collections.page import OpenPage
from annotation.collections.uploads import SentFile, Uploads
from annotation.errors import InvalidInputError
from annotation.ui.answers import Answers, part
from annotation.ui.feedback import explain
from annotation.ui.message import Message
from annotation.ui.payloads.embedders import change_payload, costs_payload, pair_words
from annotation.ui.payloads.importing import jobs_payload, preview_payload, update_payload
from annotation.ui.payloads.wording import count
from annotation.workspace import Workspace

Payload = dict[str, Any]


class CollectionAnswers:
    """Answers to single questions."""

    def __init__(self, workspace: Workspace, uploads: Uploads) -> None:
        self._workspace = workspace
        self._uploads = uploads
        answers = {
            "preview": ("new-preview", self._preview),
            "preview-documents": ("documents-preview", self._preview),
            "forget": ("forgotten", self._forget),
            "plan-documents": ("documents-plan", self._plan_documents),
            "count-costs": ("import-costs", self._count_costs),
            "import": ("import-started", self._import),
            "take-away": ("documents-taken", self._take_away),
            "jobs": ("import-jobs", self._jobs),
            "act": ("import-jobs", self._act),
            "plan-embedders": ("embedders-plan", self._plan_embedders),
            "change-embedders": ("embedders-changed", self._change_embedders),
        }
        self.answers: Answers = {f"collection.{name}": part(workspace, *each) for name, each in answers.items()}

    def _preview(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        hub, reading, mapping = message.name("hub").strip(), reading_of(message), mapping_of(message)
        if hub:
            config = message.text("config").strip()
            found = preview.preview_hub(self._workspace, author, reading, hub, config, mapping)
            return {"preview": preview_payload(found, preview.formats())}
        token = message.name("token") or self._uploads.keep(author, sent_files(message))
        try:
            path = self._uploads.path(author, token)
            format = message.text("format")
            choices = self._choices_of(message)
            found = preview.preview_files(self._workspace, author, reading, path, format, mapping, choices)
            return {"token": token, "preview": preview_payload(found, preview.formats())}
        except Exception as error:  # noqa: BLE001 - what was sent is kept, so that other columns can be tried
            wanted = {"needs_encoding": True} if preview.needs_encoding(error) else {}
            return {"token": token, "error": explain(error), **wanted}

    def _forget(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        given_up = message.name("given_up")
        if given_up:
            self._workspace.reading_places.end(author, reading_of(message, given_up))
        self._uploads.forget(author, message.name("token"))
        if author is not None:
            self._uploads.discard(author, sent_files(message))
        return {}

    def _plan_documents(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        mode = message.text("kind")
        if mode not in ("add", "replace"):
            raise InvalidInputError("Choose whether to add the documents or to replace those that are here.")
        path = self._uploads.path(author, message.text("token"))
        with self._source_of(author, message, path) as source:
            plan = update.plan_update(self._workspace, page.collection.id, source, mode)  # type: ignore[arg-type]
        return {"plan": update_payload(plan, mode)}

    def _count_costs(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        spec, hub = self._choice(author, message), message.name("hub").strip()
        path = None if hub else self._uploads.path(author, message.name("token"))
        with self._source_of(author, message, path) as source:
            return {"costs": costs_payload(*preview.costs_of_reading(self._workspace.settings, author, source, spec))}

    def _import(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        kind, hub, token = message.text("kind"), message.name("hub").strip(), message.name("token")
        if kind not in ("new", "add", "replace"):
            raise InvalidInputError("Choose whether to import a new collection or to change this one.")
        if hub:
            preview.require_hub_name(hub)
        embedders: Mapping[str, Any] | None = None
        if kind == "new":
            spec = self._choice(author, message)
            embedders = None if spec == choosing.bundled() else spec.to_json()
        with nullcontext() if hub else self._uploads.lend(author, token) as path:
            request = ImportRequest(
                kind=kind,  # type: ignore[arg-type]
                name=message.name("name"),
                description=message.name("description"),
                path=str(path or ""),
                hub=hub,
                config=message.name("config").strip(),
                format="" if hub else message.text("format"),
                mapping=mapping_of(message),
                choices=self._choices_of(message),
                embedders=embedders,
                collection_id=None if kind == "new" else page.collection.id,
            )
            imports.start_import(self._workspace, author, request)
        self._uploads.forget(author, token)
        return {"import_kind": kind, **self._jobs(page, author, message)}

    def _take_away(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        doc_ids = [each for each in message.list("doc_ids") if isinstance(each, str)]
        n_removed = update.remove_documents(self._workspace, author, page.collection.id, doc_ids)
        return {"said": f"{count(n_removed, 'document was', 'documents were')} taken away."}

    def _jobs(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        changeable = imports.list_changeable(self._workspace, author)
        return {"jobs": jobs_payload(imports.list_jobs(self._workspace), changeable)}

    def _act(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        acts = {"cancel": imports.cancel_import, "resume": imports.resume_import, "dismiss": imports.dismiss_import}
        act = acts.get(message.text("act"))
        if act is None:
            raise InvalidInputError("Choose what to do with the import.")
        act(self._workspace, author, message.number("job_id"))
        return self._jobs(page, author, message)

    def _plan_embedders(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        spec, collection_id = self._choice(author, message), page.collection.id
        is_change = spec != embedders_of(self._workspace, collection_id)
        open_if_possible(self._workspace, collection_id)
        return {"plan": change_payload(change_plan(self._workspace, collection_id, spec), is_change)}

    def _change_embedders(self, page: OpenPage, author: str | None, message: Message) -> Payload:
        spec, collection_id = self._choice(author, message), page.collection.id
        if not change_plan(self._workspace, collection_id, spec).needs_new_index:
            change_query_embedder(self._workspace, author, collection_id, spec)
            fingerprint = open_if_possible(self._workspace, collection_id)
            return {"said": f"Done: {pair_words(spec)} The index is the same, fingerprint {fingerprint[:16]}."}
        request = ImportRequest("embedders", embedders=spec.to_json(), collection_id=collection_id)
        imports.start_import(self._workspace, author, request)
        said = "The new index is being built; the old one is used until it is ready."
        return {"said": said, **self._jobs(page, author, message)}

    def _source_of(self, author: str | None, message: Message, path: Path | None) -> Any:
        """Return the source of files, or without a path of the data set that a page names, once it is entered."""
        about = self._workspace, author, reading_of(message)
        if path is None:
            hub, config = message.name("hub").strip(), message.name("config").strip()
            return preview.open_dataset(*about, hub, config, mapping_of(message))
        return preview.open_files(*about, path, message.text("format"), mapping_of(message), self._choices_of(message))

    def _choices_of(self, message: Message) -> preview.Choices:
        return preview.choices_of(message.text("header"), message.text("encoding"))

    def _choice(self, author: str | None, message: Message) -> choosing.PairSpec:
        values = message.values("embedders")
        if values is None:
            raise InvalidInputError("Choose the embedders. If that is what you did, reload the page and try again.")
        return choosing.read_choice(self._workspace.settings, author, values)


def reading_of(message: Message, kind: str = "") -> str:
    """Return the name of what is read for a page's question; of each kind it wants the answer to the latest alone."""
    number = "" if kind else f"#{message.optional_number('ask') or 0}"
    return f"{message.page} {kind or message.kind}{number}" if message.page else ""


def sent_files(message: Message) -> list[SentFile]:
    """Return the files that a page says it has sent."""
    files = [Message(each) for each in message.list("files")]
    return [SentFile(each.text("path"), each.text("name")) for each in files]


def mapping_of(message: Message) -> dict[str, list[str]]:
    """Return role -> columns as a page chose them; a role without any is left out."""
    found: dict[str, list[str]] = {}
    for role, columns in (message.values("mapping") or {}).items():
        several = columns if isinstance(columns, list) else [columns]
        named = [each for each in several if isinstance(each, str) and each]
        if isinstance(role, str) and named:
            found[role] = named
    return found
