"""Open a collection: the index on disk is used if it still fits.

It is built again from the stored documents if it is missing, damaged, or of another embedder.
"""

import logging
from pathlib import Path

from annotation.library import Library
from era.corpus import Corpus
from era.embedders import EmbedderPair
from era.errors import IdentityMismatchError, IndexDamagedError
from era.index import DenseIndex
from era.progress import Progress, no_progress

logger = logging.getLogger(__name__)


def open_library(
    corpus: Corpus, indexed_fingerprint: str, pair: EmbedderPair, folder: Path, progress: Progress = no_progress
) -> tuple[Library, bool]:
    """Return the library of a corpus, and whether its index had to be built.

    Args:
        corpus: the stored documents.
        indexed_fingerprint: of the corpus that the index on disk was built from; empty if there is none.
        pair: the embedders.
        folder: of this collection; the index is its subfolder `index`.
        progress: told about embedding.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if indexed_fingerprint == corpus.fingerprint:
        try:
            index = DenseIndex.load(folder / "index")
            pair.light.identity.require(index.embedder, "The document index")
            return Library(corpus, index, pair, folder), False
        except (IndexDamagedError, IdentityMismatchError) as error:
            logger.warning("%s Building it again.", error)
    doc_ids = list(corpus.doc_ids)
    index = DenseIndex(doc_ids, pair.light.encode_documents(corpus.contents(doc_ids), progress), pair.light.identity)
    index.save(folder / "index")
    return Library(corpus, index, pair, folder), True
