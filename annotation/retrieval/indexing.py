"""Open a collection, and build its index: what is on disk is used if it fits, and what is missing is embedded.

An index lies in a folder named after the documents and the embedder it was made of, so that another one can be built
beside it, and which of them counts follows from what the database says of the collection.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from annotation.retrieval.open_collection import OpenCollection
from era.collection import ABOUT_FILE, INDEX
from era.corpus import Corpus, content_hash
from era.encoders.base import EmbedderIdentity, EmbedderPair
from era.errors import DamagedFileError, IdentityMismatchError, IndexDamagedError
from era.index.building import IndexBuilding, Texts, embed_rest
from era.index.dense import DenseIndex
from era.intact import read_json
from era.progress import Progress, no_progress

logger = logging.getLogger(__name__)

BATCH = 2048
"""How many documents are read and stored at once."""

_BUILDING = "building"
_OLD_FOLDER = "index"  # of the versions that knew one index of a collection only


def index_folder(folder: Path, corpus_fingerprint: str, embedder: EmbedderIdentity) -> Path:
    """Return where, in the folder of a collection, the index of these documents by this embedder is kept."""
    made_of = f"{corpus_fingerprint} {embedder.to_json()}".encode()
    return folder / f"index-{hashlib.sha256(made_of).hexdigest()[:16]}"


def open_indexed(
    corpus: Corpus, indexed_fingerprint: str, pair: EmbedderPair, folder: Path, progress: Progress = no_progress
) -> tuple[OpenCollection, bool]:
    """Return the open collection of a corpus, and whether its index had to be built.

    Args:
        corpus: the stored documents.
        indexed_fingerprint: of the corpus that the index on disk was built from; empty if there is none.
        pair: the embedders.
        folder: of this collection.
        progress: told about embedding.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = index_folder(folder, corpus.fingerprint, pair.light.identity)
    if indexed_fingerprint == corpus.fingerprint:
        _move_old_index(folder, corpus.fingerprint)
    index = find_index(place, pair.light.identity) if indexed_fingerprint == corpus.fingerprint else None
    if index is not None:
        return OpenCollection(corpus, index, pair, folder), False
    with IndexBuilding(folder / _BUILDING, pair.light.identity, corpus.fingerprint) as building:
        doc_ids = list(corpus.doc_ids)
        embed_rest(building, _batches_of(corpus, doc_ids[len(building) :]), pair.light, len(doc_ids), progress)
        index = building.finish(doc_ids)
        index.save(place)
        building.discard()
    drop_other_indexes(folder, place)
    return OpenCollection(corpus, index, pair, folder), True


def find_index(place: Path, embedder: EmbedderIdentity) -> DenseIndex | None:
    """Return the index in that folder, or None if there is none or it is damaged."""
    if not place.is_dir():
        return None
    try:
        index = DenseIndex.load(place)
        embedder.require(index.embedder, "The document index")
    except (IndexDamagedError, IdentityMismatchError) as error:
        logger.warning("%s Building it again.", error)
        return None
    return index


def adopt_index(made: Path, folder: Path, corpus_fingerprint: str) -> None:
    """Copy the index that the library or the command line keeps in a folder, if it is of these documents.

    What the strong embedder has read comes along. A damaged index is found when it is opened, and built again.

    Args:
        made: where that collection is kept; anything else is left alone.
        folder: of the collection of the app.
        corpus_fingerprint: of its documents.
    """
    try:
        if read_json(made / ABOUT_FILE)["corpus_fingerprint"] != corpus_fingerprint:
            return
        about = json.loads((made / INDEX / "index.json").read_text(encoding="utf-8"))
        place = index_folder(folder, corpus_fingerprint, EmbedderIdentity(**about["embedder"]))
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made / INDEX, place, dirs_exist_ok=True)
        for texts in made.glob("alignment-*.safetensors"):
            shutil.copy(texts, folder / texts.name)
    except (DamagedFileError, OSError, ValueError, KeyError, TypeError):
        logger.info("Nothing that was indexed before could be used of %s.", made)


def drop_other_indexes(folder: Path, kept: Path) -> None:
    """Remove the indexes of a collection that do not count any more, and what was read along with them."""
    for left in [*folder.glob("index-*"), folder / _OLD_FOLDER]:
        if left.is_dir() and left != kept:
            shutil.rmtree(left, ignore_errors=True)


def _batches_of(corpus: Corpus, doc_ids: Sequence[str]) -> Iterator[Texts]:
    for start in range(0, len(doc_ids), BATCH):
        documents = [corpus[doc_id] for doc_id in doc_ids[start : start + BATCH]]
        yield [(content_hash(document), document.content) for document in documents]


def _move_old_index(folder: Path, corpus_fingerprint: str) -> None:
    """Give the index that an earlier version made the name that it would have now."""
    old = folder / _OLD_FOLDER
    if not old.is_dir():
        return
    try:
        identity = EmbedderIdentity(**json.loads((old / "index.json").read_text(encoding="utf-8"))["embedder"])
        old.rename(index_folder(folder, corpus_fingerprint, identity))
    except (OSError, ValueError, KeyError, TypeError):
        logger.warning("The index in %s cannot be used and is built again.", old)
