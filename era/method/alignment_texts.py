"""The texts that both embedders have read: kept beside the index, and still used when a few documents change."""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from era.corpus import Corpus, content_hash
from era.encoders.base import EmbedderPair, Vectors
from era.encoders.spec import N_ALIGNMENT_TEXTS
from era.errors import DamagedFileError
from era.index.dense import DenseIndex
from era.intact import load_arrays, require_unit_rows, save_arrays
from era.method.alignment import ALIGNMENT_SEED, AlignmentTexts, read_alignment_texts
from era.progress import Progress

logger = logging.getLogger(__name__)

_ENOUGH = 0.9  # of the texts that were read, or would be now; with so many of them nothing is read again


def alignment_texts(
    corpus: Corpus,
    index: DenseIndex,
    pair: EmbedderPair,
    folder: Path,
    progress: Progress,
    n: int | None = None,
    usual: int = N_ALIGNMENT_TEXTS,
) -> tuple[AlignmentTexts, float | None]:
    """Return texts that both embedders have read, and seconds a text took the strong one, None where that is unknown.

    Where fewer are kept, the strong embedder reads the rest; what it reads later is added by `keep_alignment_texts`.
    Texts that were read for an earlier state of the collection count as long as nearly all of them are still in it.

    Args:
        corpus: the documents.
        index: of the same documents.
        pair: the embedders.
        folder: of the collection; read from and written to.
        progress: told about embedding.
        n: how many are wanted, all documents if there are no more; None for those that were read before.
        usual: how many are read if there is no n and none were read before.
    """
    found = _find(corpus, index, pair, folder)
    known = None if found is None else found[0]
    n_known = 0 if known is None else len(known.doc_ids)
    if found is not None and n_known >= _ENOUGH * min(n or 1, len(index)):
        return found
    started = time.perf_counter()
    texts = read_alignment_texts(corpus, index, pair, progress, n or usual, known)
    seconds_each = (time.perf_counter() - started) / (len(texts.doc_ids) - n_known)
    keep_alignment_texts(corpus, index, pair, folder, texts, seconds_each)
    return texts, seconds_each


def keep_alignment_texts(
    corpus: Corpus, index: DenseIndex, pair: EmbedderPair, folder: Path, texts: AlignmentTexts, seconds: float | None
) -> None:
    """Write down what the strong embedder has read, and forget what it read before; `seconds` are those of a text."""
    strong = pair.strong.identity.to_json()
    _keep(_file_of(folder, strong, index), strong, corpus, texts.doc_ids, texts.strong, seconds)


def find_alignment_texts(
    corpus: Corpus, index: DenseIndex, pair: EmbedderPair, folder: Path
) -> tuple[AlignmentTexts, float | None] | None:
    """Return the same if both embedders have read the usual number of texts, else None; nothing is read for this."""
    found = _find(corpus, index, pair, folder)
    is_enough = found is not None and len(found[0].doc_ids) >= _ENOUGH * min(N_ALIGNMENT_TEXTS, len(corpus))
    return found if is_enough else None


def _find(
    corpus: Corpus, index: DenseIndex, pair: EmbedderPair, folder: Path
) -> tuple[AlignmentTexts, float | None] | None:
    """Return however many texts were read, as long as nearly all of them are still in the collection."""
    strong = pair.strong.identity.to_json()
    file = _file_of(folder, strong, index)
    others = [each for each in folder.glob("alignment-*.safetensors") if each != file]
    for each in (file, *sorted(others, key=lambda other: other.stat().st_mtime, reverse=True)):
        found = _still_there(each, strong, corpus, index) if each.is_file() else None
        if found is not None:
            doc_ids, vectors, seconds = found
            if each != file:
                _keep(file, strong, corpus, doc_ids, vectors, seconds)
            return AlignmentTexts.among(index, doc_ids, vectors), seconds
    return None


def _file_of(folder: Path, strong: str, index: DenseIndex) -> Path:
    name = hashlib.sha256((strong + index.fingerprint).encode()).hexdigest()[:16]
    return folder / f"alignment-{name}.safetensors"


def _still_there(
    file: Path, strong: str, corpus: Corpus, index: DenseIndex
) -> tuple[list[str], Vectors, float | None] | None:
    """Return ids, strong vectors and seconds a text of what the corpus still has, if that is enough."""
    try:
        arrays, about = load_arrays(file)
        vectors, seconds = arrays["strong"], float(arrays["seconds"][0]) if "seconds" in arrays else None
        require_unit_rows(vectors, "The strong vectors")
        if "texts" not in about:  # written by an earlier version, for the file's own index
            doc_ids = list(index.sample(len(vectors), ALIGNMENT_SEED))
            is_own = file.stem.endswith(hashlib.sha256((strong + index.fingerprint).encode()).hexdigest()[:16])
            seconds = None if seconds is None else seconds / len(doc_ids)
            return (doc_ids, vectors, seconds) if is_own and len(vectors) == len(doc_ids) else None
        texts = json.loads(about["texts"])
        if about["strong"] != strong or len(texts) != len(vectors):
            return None
        rows = [row for row, (doc_id, text) in enumerate(texts) if _has(corpus, doc_id, text)]
    except (DamagedFileError, ValueError, KeyError, TypeError, IndexError) as error:
        logger.warning("The alignment texts in %s are damaged and are read again: %s.", file.name, error)
        return None
    if not rows or len(rows) < _ENOUGH * len(texts):
        return None
    return [texts[row][0] for row in rows], vectors[rows], seconds


def _has(corpus: Corpus, doc_id: str, text_hash: str) -> bool:
    return doc_id in corpus and content_hash(corpus[doc_id]) == text_hash


def _keep(
    file: Path, strong: str, corpus: Corpus, doc_ids: Sequence[str], vectors: Vectors, seconds: float | None
) -> None:
    """Write the texts down, and remove what the same embedder read for earlier states."""
    texts = [[doc_id, content_hash(corpus[doc_id])] for doc_id in doc_ids]
    arrays = {"strong": np.ascontiguousarray(vectors, np.float32)}
    if seconds is not None:
        arrays["seconds"] = np.array([seconds], np.float32)
    save_arrays(file, arrays, {"texts": json.dumps(texts), "strong": strong})
    for other in file.parent.glob("alignment-*.safetensors"):
        if other != file and _is_of(other, strong):
            other.unlink(missing_ok=True)


def _is_of(file: Path, strong: str) -> bool:
    try:
        with safe_open(file, "np") as kept:
            return (kept.metadata() or {}).get("strong") == strong
    except (OSError, ValueError, SafetensorError):
        return False
