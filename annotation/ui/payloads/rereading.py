"""What the strong model has to read before it can order a ranking anew, as both screens say it."""

from annotation.ranking.rereading import Unread
from annotation.ui.payloads.wording import Payload


def unread_payload(unread: Unread) -> Payload:
    """Return how many documents are unread, and what reading them takes or costs."""
    return {
        "n": len(unread.doc_ids),
        "n_first": unread.n_first,
        "seconds": unread.seconds,
        "is_paid": unread.costs is not None,
        "n_tokens": unread.costs.n_tokens if unread.costs else 0,
        "dollars": unread.costs.dollars if unread.costs else None,
    }
