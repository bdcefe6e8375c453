"""Which embedders a person may choose, and the choice that a page sent."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from annotation.errors import InvalidInputError, NotAllowedError
from annotation.people.permissions import is_alone
from annotation.settings import Settings
from era.encoders.spec import BUNDLED, PRESETS, EmbedderSpec, Preset
from era.encoders.spec import PairSpec as PairSpec

_LARGEST_DOWNLOAD_GB = 2.0  # where memory and disk are shared
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def presets(settings: Settings) -> Sequence[Preset]:
    """Return the pairs that are offered by name; only the smaller ones where people share memory and disk."""
    return [each for each in PRESETS if is_alone(settings) or each.download_gb <= _LARGEST_DOWNLOAD_GB]


def bundled() -> PairSpec:
    """Return the pair that needs no network."""
    return BUNDLED


def read_choice(settings: Settings, author: str | None, values: Mapping[str, Any]) -> PairSpec:
    """Return the pair that a page chose.

    Where several people use one app, its folders and its key for endpoints are not theirs to use: a path would reach
    into the machine, and an address of one's own choice would be sent the key.

    Raises:
        NotAllowedError: if nobody is signed in.
        InvalidInputError: if the choice is only for whoever runs the app.
        EmbedderUnavailableError: naming the field that cannot be used.
    """
    if author is None:
        raise NotAllowedError("Sign in to choose embedders.")
    spec = PairSpec.from_json(values)
    if not is_alone(settings):
        for side in (spec.strong, spec.light):
            _require_harmless(side)
        if spec not in (preset.spec for preset in presets(settings)):
            raise InvalidInputError(
                "Memory and disk are shared here, so only the small presets can be chosen. Whoever runs this app can "
                "start it with other embedders."
            )
    return spec


def _require_harmless(spec: EmbedderSpec) -> None:
    if spec.kind == "openai":
        raise InvalidInputError(
            "An endpoint is paid for by whoever runs this app, so it cannot be chosen here. Choose a model by its name."
        )
    if spec.kind == "sentence-transformers" and (spec.is_local or not _HUB_NAME.fullmatch(spec.name)):
        raise InvalidInputError(
            f"{spec.name[:80]!r} is not a name on the Hugging Face Hub. Write it as it stands there, "
            "such as BAAI/bge-small-en-v1.5."
        )
