"""Bring documents, queries and judgments in: whole collections, later changes of them, and their deletion."""

from annotation.importing.storing import ensure_demo as ensure_demo
from annotation.importing.storing import store as store
