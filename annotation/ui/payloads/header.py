"""The header: what is open, who you are, and how far the preparation is."""

from collections.abc import Sequence

from annotation.collections.page import OpenPage
from annotation.ui.payloads.wording import Payload, page_ids
from annotation.workspace import Readiness


def header(
    page: OpenPage, author: str | None, readiness: Readiness, can_sign_out: bool, notices: Sequence[str] = ()
) -> Payload:
    """Return the header: collection, label set, person, preparation while it lasts, and what everybody should know."""
    preparing = None
    if readiness.state == "failed":
        preparing = {"state": "failed", "fraction": 0, "text": f"Search is not available. {readiness.message}"}
    elif readiness.fraction < 1:
        note = "" if readiness.state == "ready" else " Searching works as soon as this is done; marks are safe."
        preparing = {
            "state": readiness.state,
            "fraction": round(readiness.fraction, 2),
            "text": f"{readiness.message}.{note}",
        }
    return {
        "page": page_ids(page),
        "collection": page.collection.name,
        "label_set": page.label_set.name,
        "person": author,
        "can_sign_out": can_sign_out,
        "preparing": preparing,
        "notices": list(notices),
        "is_ready": readiness.state == "ready",
    }
