"""How often has been looked: of many comparisons over the same labels some look proven by chance alone."""

import hashlib
import json
import logging

import storage.comparison_looks
from annotation.comparing.view import ComparisonView
from annotation.judging.queries import CANNOT_WRITE_NOW
from annotation.workspace import Workspace
from era.evaluation.measures import main_of

logger = logging.getLogger(__name__)


def note_look(workspace: Workspace, author: str | None, view: ComparisonView) -> int:
    """Note that somebody looks at a comparison, and return how many different ones over its labels were looked at.

    Visitors are not counted, nor is anybody while the disk is full or the database locked: looking only reads.
    """
    digest = look_digest(view)
    with workspace.reading() as session:
        is_known = storage.comparison_looks.is_noted(session, view.label_set_id, digest)
        n_noted = storage.comparison_looks.count(session, view.label_set_id)
    if is_known or author is None:
        return n_noted
    try:
        with workspace.writing() as session:
            storage.comparison_looks.note(session, view.label_set_id, digest)
            return storage.comparison_looks.count(session, view.label_set_id)
    except CANNOT_WRITE_NOW as error:
        logger.warning("A look at a comparison is not counted: %s", error)
        return n_noted


def look_digest(view: ComparisonView) -> str:
    """Return 64 hexadecimal digits that stand for what is tested: which pairs of sides, by which measure and threshold.

    Which of two sides comes first changes nothing but the sign.
    """
    first, *others = view.sides
    pairs = sorted(sorted((first, other)) for other in others)
    return hashlib.sha256(json.dumps([pairs, main_of(view.measures), view.threshold]).encode()).hexdigest()
