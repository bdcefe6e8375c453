"""The Collection tab: what is open, and its label sets."""

import json
from typing import Any

from annotation.opening import OpenPage, list_collections, list_label_sets, list_queries
from annotation.presenting.collections import collection_panel
from annotation.ui.panel import make_panel
from annotation.workspace import Workspace

Payload = dict[str, Any]


class CollectionTab:
    """The collection screen; its events change what all tabs show, so `app` answers them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.panel = make_panel("collection")

    def show(self, page: OpenPage, author: str | None, error: str = "") -> Payload:
        """Return the screen as things stand now."""
        return collection_panel(
            page,
            author,
            list_collections(self._workspace),
            len(list_queries(self._workspace, page)),
            list_label_sets(self._workspace, page.collection.id),
            self._index_facts(page),
            error or page.remark,
        )

    def _index_facts(self, page: OpenPage) -> dict[str, str]:
        library = self._workspace.opened(page.collection.id)
        if library is None:
            light = json.loads(page.collection.document_embedder or "{}").get("name", "being prepared")
            return {"Document embedder": light}
        strong, light_identity = library.pair.strong.identity, library.pair.light.identity
        return {
            "Query embedder": f"{strong.name}, {strong.dimension} dimensions",
            "Document embedder": f"{light_identity.name}, {light_identity.dimension} dimensions",
            "Index": f"{library.index.size_bytes / 2**20:.1f} MiB",
            "Fingerprint": library.index.fingerprint[:16],
        }
