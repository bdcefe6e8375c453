"""What a JSON column of the database holds."""

from collections.abc import Mapping
from typing import Any

JsonObject = Mapping[str, Any]
"""Text keys, and values that JSON can write (no NaN, no infinity)."""
