"""An index folder: the documents as a collection folder, their vectors, and which embedders made them.

It holds everything that a search needs, so it can be moved and copied; adapters lie elsewhere and only refer to it.
"""

import argparse
import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from era.cli.console import Console
from era.cli.sources import embedders_named
from era.corpus import Corpus
from era.encoders.base import EmbedderPair
from era.encoders.cache import VectorCache
from era.encoders.devices import choose_device
from era.encoders.loading import load_pair
from era.encoders.spec import PairSpec
from era.errors import DamagedFileError, IdentityMismatchError, IndexDamagedError
from era.index.dense import DenseIndex
from era.intact import load_arrays, read_json, require_unit_rows, save_arrays, write_json
from era.io.content import SourceDocument, SourceQuery
from era.io.opening import open_source
from era.io.writing import collection_folder
from era.method.alignment import ALIGNMENT_SEED, AlignmentTexts, read_alignment_texts
from era.progress import Progress
from era.types import Qrels, Query

logger = logging.getLogger(__name__)

_ABOUT_FILE = "era.json"
INDEX = "index"


def load_embedders(arguments: argparse.Namespace, spec: PairSpec) -> tuple[EmbedderPair, str]:
    """Return the embedders of a specification, and the device that they and learning run on.

    Raises:
        EmbedderUnavailableError: if one of them cannot be loaded.
        ValueError: if the device is not there.
    """
    from transformers.utils.logging import disable_progress_bar

    # that of reading weights, which takes a moment and would break into ours
    disable_progress_bar()  # type: ignore[no-untyped-call]
    device = choose_device(arguments.device)
    return load_pair(spec, device, VectorCache(arguments.cache) if arguments.cache else None), device


def write_index_folder(
    folder: Path,
    index: DenseIndex,
    spec: PairSpec,
    corpus: Corpus,
    documents: list[SourceDocument],
    queries: list[SourceQuery],
    qrels: Qrels,
) -> None:
    """Write everything into a folder that is empty."""
    collection_folder(folder, documents, queries, qrels)
    index.save(folder / INDEX)
    about = {"embedders": spec.to_json(), "corpus_fingerprint": corpus.fingerprint, "n_documents": len(corpus)}
    write_json(folder / _ABOUT_FILE, about)


@dataclass(eq=False)
class IndexFolder:
    """An index folder that was opened, with its embedders loaded.

    Attributes:
        folder: where it lies.
        spec: the embedders that are loaded; those of the folder, or others for the query side.
        index: over the documents.
        pair: the embedders.
        device: of torch.
        corpus_fingerprint: of the documents that were indexed.
    """

    folder: Path
    spec: PairSpec
    index: DenseIndex
    pair: EmbedderPair
    device: str
    corpus_fingerprint: str

    @classmethod
    def open(cls, arguments: argparse.Namespace, console: Console) -> "IndexFolder":
        """Open the folder that the arguments name.

        Raises:
            IndexDamagedError: if it is no index folder, or damaged.
            IdentityMismatchError: if its documents were read by another embedder than is loaded.
            EmbedderUnavailableError: if an embedder cannot be loaded.
        """
        folder: Path = arguments.index
        spec, fingerprint = read_about(folder)
        if arguments.embedders:
            spec = embedders_named(arguments.embedders)
        with console.progress() as progress:
            progress("opening", 0.0, "the index")
            index = DenseIndex.load(folder / INDEX)
            progress("opening", 0.5, "the embedders")
            pair, device = load_embedders(arguments, spec)
            progress("opening", 1.0, "")
        pair.light.identity.require(index.embedder, "The document index")
        return cls(folder, spec, index, pair, device, fingerprint)

    @cached_property
    def corpus(self) -> Corpus:
        """Return the documents.

        Raises:
            IdentityMismatchError: if they are not those that were indexed.
        """
        corpus = Corpus(each.document for each in open_source(self.folder, "collection").documents())
        if corpus.fingerprint != self.corpus_fingerprint:
            raise IdentityMismatchError(
                f"The documents in {self.folder} were changed after they were indexed. Index the collection again."
            )
        return corpus

    def queries(self) -> list[Query]:
        """Return the queries that came with the collection."""
        return [each.query for each in open_source(self.folder, "collection").queries()]

    def qrels(self) -> Qrels:
        """Return the judgments that came with the collection."""
        return open_source(self.folder, "collection").qrels()

    def alignment_texts(self, progress: Progress, n: int | None = None) -> AlignmentTexts:
        """Return n texts that both embedders have read; they are embedded once and kept in the folder.

        Without a number it is all that were read before, or if none were, the usual number of them.
        """
        known = self._texts_read()
        if known is None or (n is not None and len(known.doc_ids) < min(n, len(self.index))):
            n = self.spec.strong.n_alignment_texts if n is None else n
            known = read_alignment_texts(self.corpus, self.index, self.pair, progress, n, known)
            save_arrays(self._texts_file, {"strong": known.strong})
        return known if n is None else known.first(n)

    @property
    def _texts_file(self) -> Path:
        identity = self.pair.strong.identity.to_json() + self.index.fingerprint
        return self.folder / f"alignment-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.safetensors"

    def _texts_read(self) -> AlignmentTexts | None:
        """Return the texts that were read before; None if none were, or what was kept is damaged."""
        if not self._texts_file.is_file():
            return None
        try:
            strong = load_arrays(self._texts_file)[0]["strong"]
            require_unit_rows(strong, "The strong vectors")
            return AlignmentTexts.among(self.index, self.index.sample(len(strong), ALIGNMENT_SEED), strong)
        except (DamagedFileError, ValueError, KeyError) as error:
            logger.warning("The alignment texts in %s are damaged and are read again: %s.", self._texts_file, error)
            return None


def read_about(folder: Path) -> tuple[PairSpec, str]:
    """Return the embedders of an index folder and the fingerprint of its documents.

    Raises:
        IndexDamagedError: if it is no index folder.
        EmbedderUnavailableError: if the embedders it names cannot be used.
    """
    try:
        about = read_json(folder / _ABOUT_FILE)
        return PairSpec.from_json(about["embedders"]), str(about["corpus_fingerprint"])
    except (DamagedFileError, ValueError, KeyError, TypeError) as error:
        raise IndexDamagedError(
            f"{folder} is not an index folder, or its {_ABOUT_FILE} is damaged. "
            "Make one with: python -m era index COLLECTION INDEX"
        ) from error
