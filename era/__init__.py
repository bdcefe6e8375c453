"""ERA: adapt retrieval to an expert's intent from a handful of labels, without rebuilding the document index.

A strong encoder reads the query, a light one has read the documents; stage 1 aligns the two spaces without labels,
stage 2 adapts the query side from a few labelled queries (arXiv 2604.03403). This package knows no user interface and
no database. The names below are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from era.collection import Collection as Collection
    from era.encoders.loading import load_encoders as load_encoders
    from era.evaluation.report import compare as compare
    from era.evaluation.report import evaluate as evaluate
    from era.trained_adapter import TrainedAdapter as TrainedAdapter
    from era.types import Document as Document
    from era.types import Query as Query

__version__ = "0.10.0"

_HOMES = {
    "Collection": "era.collection",
    "TrainedAdapter": "era.trained_adapter",
    "Document": "era.types",
    "Query": "era.types",
    "load_encoders": "era.encoders.loading",
    "evaluate": "era.evaluation.report",
    "compare": "era.evaluation.report",
}

__all__ = ["Collection", "Document", "Query", "TrainedAdapter", "__version__", "compare", "evaluate", "load_encoders"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
