"""What an adapter was made with, as it is kept beside its weights; the app reads and writes the same names."""

import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from era.cli.index_folder import IndexFolder

_PACKAGES = ("torch", "sentence-transformers", "faiss-cpu", "numpy", "ir-measures")


def made_with(folder: IndexFolder) -> dict[str, Any]:
    """Return embedders, documents, index and versions."""
    return {
        "strong_embedder": asdict(folder.pair.strong.identity),
        "light_embedder": asdict(folder.pair.light.identity),
        "index_fingerprint": folder.index.fingerprint,
        "corpus_fingerprint": folder.corpus_fingerprint,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "device": folder.device,
    }
