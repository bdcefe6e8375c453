"""The embedders of a collection: which may be chosen, what a change would mean, and the change itself.

Another query embedder counts at once and leaves the index as it is. Another document embedder needs a new index, which
an import job builds.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import storage.collections
import storage.documents
import storage.training_runs
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.people.permissions import is_alone, require, why_not_arrange
from annotation.retrieval.endpoint_costs import EndpointCosts, endpoint_costs
from annotation.retrieval.strong_index import in_words
from annotation.settings import Settings
from annotation.workspace import Workspace
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
from era.encoders.spec import BUNDLED, PRESETS, EmbedderSpec, Preset
from era.encoders.spec import PairSpec as PairSpec
from era.method.alignment import ALIGNMENT_SEED
from era.types import Document
from storage.records import JobState

_N_SAMPLED = 200  # documents, to estimate how many tokens all of them have
_N_TIMED = 32


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """What it would mean to use other embedders.

    Attributes:
        changes_queries: whether queries are read by another embedder.
        changes_documents: whether documents are.
        needs_new_index: whether every document has to be read again; else the index stays as it is.
        n_texts: how many documents are read: by the light embedder all or none, by the strong one a share.
        seconds: what reading them takes about; None if that is not known before the model is loaded.
        n_tokens: about, that are paid for; 0 without an endpoint.
        dollars: what they cost about; None if no price is known.
        keeps_training_runs: whether training runs can be used as before.
        n_training_runs: finished ones of this collection.
        index_fingerprint: of the index in use; empty if the collection was not opened yet.
        text: all this, for a person.
    """

    changes_queries: bool
    changes_documents: bool
    needs_new_index: bool
    n_texts: int
    seconds: float | None
    n_tokens: int
    dollars: float | None
    keeps_training_runs: bool
    n_training_runs: int
    index_fingerprint: str
    text: str


def embedders_of(workspace: Workspace, collection_id: int) -> PairSpec:
    """Return which embedders a collection uses.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    return workspace.spec_of(collection_id)


def change_plan(workspace: Workspace, collection_id: int, spec: PairSpec) -> ChangePlan:
    """Return what it would mean to use these embedders; nothing is loaded or changed.

    Raises:
        UnknownRecord: if there is no such collection.
    """
    before = workspace.spec_of(collection_id)
    changes_queries = not spec.strong.gives_equal_vectors(before.strong)
    changes_documents = not spec.light.gives_equal_vectors(before.light)
    with workspace.reading() as session:
        n_documents = storage.collections.get(session, collection_id).n_documents
        runs = storage.training_runs.list_for(session, collection_id)
    sampled = _sample(workspace, collection_id)
    readers: list[tuple[EmbedderSpec, int]] = []
    if changes_documents:
        readers.append((spec.light, n_documents))
    if changes_documents or changes_queries:
        readers.append((spec.strong, min(n_documents, workspace.settings.n_alignment_texts(spec.strong))))
    n_texts = n_documents if changes_documents else sum(n for _, n in readers)
    seconds = _seconds(workspace, readers, sampled)
    costs = endpoint_costs(readers, sampled)
    opened = workspace.opened(collection_id)
    n_training_runs = sum(run.state is JobState.FINISHED for run in runs)
    keeps_training_runs = not (changes_documents or changes_queries)
    text = " ".join(
        [
            _index_words(changes_queries, changes_documents, n_documents),
            *_effort_words(readers, seconds, costs),
            *_run_words(keeps_training_runs, n_training_runs, before),
        ]
    )
    return ChangePlan(
        changes_queries=changes_queries,
        changes_documents=changes_documents,
        needs_new_index=changes_documents,
        n_texts=n_texts,
        seconds=seconds,
        n_tokens=costs.n_tokens,
        dollars=costs.dollars,
        keeps_training_runs=keeps_training_runs,
        n_training_runs=n_training_runs,
        index_fingerprint="" if opened is None else opened.index.fingerprint,
        text=text,
    )


def change_query_embedder(workspace: Workspace, author: str | None, collection_id: int, spec: PairSpec) -> None:
    """Let another embedder read queries, from now on; the index is the same as before. Loads it in this thread.

    Raises:
        NotAllowedError: if the collection is not the person's to change.
        InvalidInputError: if the document embedder would change too, which needs a new index.
        EmbedderUnavailableError: if it cannot be had; the collection keeps the one it had.
        UnknownRecord: if there is no such collection.
    """
    with workspace.reading() as session:
        collection = storage.collections.get(session, collection_id)
    require(why_not_arrange(workspace.settings, author, collection, "change the embedders of this collection"))
    if not spec.light.gives_equal_vectors(workspace.spec_of(collection_id).light):
        raise InvalidInputError(
            "Another document embedder needs a new index. Build it first; the old one is used until it is ready."
        )
    workspace.use_pair(collection_id, spec)


def _sample(workspace: Workspace, collection_id: int) -> list[str]:
    """Return some of the texts that would be read; the first ones of a collection that is not open."""
    opened = workspace.opened(collection_id)
    if opened is not None:
        return opened.corpus.contents(opened.index.sample(_N_SAMPLED, ALIGNMENT_SEED))
    with workspace.reading() as session:
        rows = islice(storage.documents.iter_all(session, collection_id, _N_SAMPLED), _N_SAMPLED)
        return [Document(row.doc_id, row.title, row.text).content for row in rows]


def _seconds(workspace: Workspace, readers: Sequence[tuple[EmbedderSpec, int]], sampled: Sequence[str]) -> float | None:
    """Return what reading takes about; None if a model is not loaded yet, or waits for a server."""
    total = 0.0
    for spec, n in readers:
        embedder = workspace.pairs.find_embedder(spec)
        if not isinstance(embedder, SentenceTransformerEmbedder):
            return None
        if embedder.seconds_per_text is None:
            embedder.encode_documents(sampled[:_N_TIMED])
        total += n * (embedder.seconds_per_text or 0.0)
    return total


def _index_words(changes_queries: bool, changes_documents: bool, n_documents: int) -> str:
    if changes_documents:
        return (
            f"All {n_documents:,} documents are read again into a new index. The old one is used until the new one "
            "is ready."
        )
    if changes_queries:
        return "The index stays as it is: only queries are read by another model."
    return "Nothing changes in what the models say; the index stays as it is."


def _effort_words(
    readers: Sequence[tuple[EmbedderSpec, int]], seconds: float | None, costs: EndpointCosts
) -> list[str]:
    if not readers:
        return []
    words = [f"{spec.label} reads {n:,} documents." for spec, n in readers]
    if seconds is not None:
        words.append(f"That takes {in_words(seconds)}.")
    elif any(spec.kind != "openai" for spec, _ in readers):
        words.append("How long that takes shows once the models are loaded.")
    return [*words, costs.text] if costs.text else words


def _run_words(keeps_training_runs: bool, n_training_runs: int, before: PairSpec) -> list[str]:
    if keeps_training_runs or not n_training_runs:
        return []
    runs = "1 training run" if n_training_runs == 1 else f"{n_training_runs:,} training runs"
    return [
        f"{runs} made with {before.strong.label} over {before.light.label} cannot be used with the new ones; your "
        "marks are safe, train again. With the old embedders they can be used again."
    ]


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
        NotAllowedError: if no one is signed in.
        InvalidInputError: if the choice is only for the person who runs the app.
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
                "Memory and disk are shared here, so only the small presets can be chosen. The person who runs "
                "this app can start it with other embedders."
            )
    return spec


def _require_harmless(spec: EmbedderSpec) -> None:
    if spec.kind == "openai":
        raise InvalidInputError(
            "An endpoint is paid for by the person who runs this app, so it cannot be chosen here. "
            "Choose a model by its name."
        )
    if spec.kind == "sentence-transformers" and (spec.is_local or not _HUB_NAME.fullmatch(spec.name)):
        raise InvalidInputError(
            f"{spec.name[:80]!r} is not a name on the Hugging Face Hub. Write it as it stands there, "
            "such as BAAI/bge-small-en-v1.5."
        )
