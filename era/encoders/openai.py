"""An embedding endpoint that speaks the OpenAI protocol, as an `Embedder`; the official client does the talking.

The key comes from the environment variable OPENAI_API_KEY, which that client reads itself, and from nowhere else.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from era.encoders.base import INSTRUCTION_TEMPLATE, EmbedderIdentity, Vectors
from era.encoders.cache import VectorCache
from era.encoders.spec import EmbedderSpec
from era.errors import EmbedderUnavailableError
from era.progress import Progress, no_progress
from era.types import Query

if TYPE_CHECKING:
    from openai import OpenAI

logger = logging.getLogger(__name__)

_MAX_RETRIES = 10  # with the client's growing pauses about a minute: limits are counted by the minute
_TIMEOUT_S = 120.0
_FIRST_TIMEOUT_S = 20.0  # of the first question: the start of the app waits for it
_TEXTS_AT_ONCE = 128
_TOKENS_AT_ONCE = 200_000  # of the 300,000 that one request may hold; tokens are only estimated here
_MAX_TOKENS = 8191
_BYTES_PER_TOKEN = 4  # of English; a text in another script has fewer, so a cut-off counts 3
_NO_KEY = "none"  # servers on one's own machine ask for none, the client insists on one
_MESSAGE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What reading texts would take: tokens, and dollars if the price is known."""

    n_tokens: int
    dollars: float | None


def estimate_cost(spec: EmbedderSpec, texts: Iterable[str]) -> CostEstimate:
    """Return about how many tokens these documents have, prompts included, at four bytes each, and what they cost."""
    n_tokens = sum(_count_tokens((spec.document_prompt or "") + text) for text in texts)
    price = spec.price_per_million_tokens
    return CostEstimate(n_tokens, None if price is None else n_tokens * price / 1e6)


class OpenAIEmbedder:
    """A model behind an endpoint; every vector is kept in the cache, since each one costs time or money."""

    def __init__(self, spec: EmbedderSpec, cache: VectorCache | None = None, max_retries: int = _MAX_RETRIES) -> None:
        """Connect, and ask once how long the vectors are.

        Raises:
            EmbedderUnavailableError: if there is no key, or the endpoint refuses or cannot be reached.
        """
        self._spec = spec
        self._client = _connect(spec, min(max_retries, 1)).with_options(timeout=_FIRST_TIMEOUT_S)
        self._dimension: int | None = None  # known once it has answered
        self._dimension = self._ask(["How long is a vector?"]).shape[1]
        self._client = _connect(spec, max_retries)
        self._identity = EmbedderIdentity(
            name=spec.name,
            revision=spec.base_url,
            dimension=self._dimension,
            max_length=spec.max_length or _MAX_TOKENS,
            query_prompt=spec.query_prompt or "",
            document_prompt=spec.document_prompt or "",
        )
        if spec.truncate_dimension not in (None, self._identity.dimension):
            raise EmbedderUnavailableError(
                f"{spec.name} gives vectors of {self._identity.dimension} numbers, not {spec.truncate_dimension}. "
                "Choose a model that can be truncated, or leave the truncation out."
            )
        what_is_sent = replace(self._identity, query_prompt="", document_prompt="")  # prompts are part of the text
        self._kept = None if cache is None else cache.open(what_is_sent.to_json(), self._identity.dimension)

    @property
    def identity(self) -> EmbedderIdentity:
        """Return the model's name, endpoint, size and prompts."""
        return self._identity

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """Return (n, dimension); for a query with an instruction `INSTRUCTION_TEMPLATE` replaces the prompt."""
        return self._encode(
            [
                INSTRUCTION_TEMPLATE.format(instruction=query.instruction, text=query.text)
                if query.instruction
                else self._identity.query_prompt + query.text
                for query in queries
            ],
            no_progress,
        )

    def encode_documents(self, texts: Sequence[str], progress: Progress = no_progress) -> Vectors:
        """Return (n, dimension), a request at a time; what was paid for is kept also if `progress` stops the rest."""
        return self._encode([self._identity.document_prompt + text for text in texts], progress)

    def kept_documents(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        """Return which documents need not be sent again (n,), and their vectors (n, dimension), 0 for the others."""
        if self._kept is None:
            return np.zeros(len(texts), bool), np.zeros((len(texts), self._identity.dimension), np.float32)
        return self._kept.find([self._fitting(self._identity.document_prompt + text) for text in texts])

    def _encode(self, texts: Sequence[str], progress: Progress) -> Vectors:
        sent = [self._fitting(text) for text in texts]
        vectors = np.zeros((len(sent), self._identity.dimension), np.float32)
        unknown = np.arange(len(sent))
        if self._kept is not None:
            is_known, vectors = self._kept.find(sent)
            unknown = np.flatnonzero(~is_known)
        rows_of: dict[str, list[int]] = {}
        for row in unknown.tolist():
            rows_of.setdefault(sent[row], []).append(row)
        done = len(sent) - len(unknown)
        for some in self._requests(list(rows_of)):
            answer = self._ask(some)
            if self._kept is not None:
                self._kept.keep(some, answer)
            for text, vector in zip(some, answer, strict=True):
                vectors[rows_of[text]] = vector
                done += len(rows_of[text])
            progress("embedding", done / len(sent), f"{done:,} of {len(sent):,} texts with {self._identity.name}")
        if sent and not len(unknown):
            progress("embedding", 1.0, f"{done:,} of {done:,} texts with {self._identity.name}")
        return vectors

    def _fitting(self, text: str) -> str:
        """Return the text as it is sent: never empty, which endpoints refuse, and about as long as the model reads."""
        limit = 3 * (self._spec.max_length or _MAX_TOKENS)
        sent = text.encode("utf-8", "replace")
        if len(sent) > limit:
            sent = sent[:limit]
        return sent.decode("utf-8", "ignore") if sent.strip() else " "

    def _requests(self, texts: Sequence[str]) -> Iterator[list[str]]:
        some: list[str] = []
        n_tokens = 0
        for text in texts:
            n = _count_tokens(text)
            if some and (len(some) == (self._spec.batch_size or _TEXTS_AT_ONCE) or n_tokens + n > _TOKENS_AT_ONCE):
                yield some
                some, n_tokens = [], 0
            some.append(text)
            n_tokens += n
        if some:
            yield some

    def _ask(self, texts: list[str]) -> Vectors:
        """Return (n, dimension), L2-normalised."""
        import openai

        dimensions = self._spec.truncate_dimension
        try:
            answer = self._client.embeddings.create(
                input=texts, model=self._spec.name, dimensions=openai.omit if dimensions is None else dimensions
            )
            rows = sorted(answer.data, key=lambda item: item.index)
            vectors = np.array([item.embedding for item in rows], np.float32)
        except openai.OpenAIError as error:
            raise EmbedderUnavailableError(f"{self._spec.name}: {_reason(error, self._where)}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise EmbedderUnavailableError(
                f"{self._where} did not answer in the OpenAI protocol ({error}). Check the address of the endpoint."
            ) from error
        n, width = vectors.shape if vectors.ndim == 2 else (len(vectors), 0)
        if n != len(texts) or not width or width != (self._dimension or width) or not np.isfinite(vectors).all():
            raise EmbedderUnavailableError(
                f"{self._where} gave {n} vectors of {width} numbers for {len(texts)} texts, or some that are no "
                "numbers. None of these was kept; try again, or choose another endpoint."
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)

    @property
    def _where(self) -> str:
        return self._spec.base_url or "OpenAI"


def _connect(spec: EmbedderSpec, max_retries: int) -> "OpenAI":
    try:
        from openai import OpenAI, OpenAIError
    except ImportError as error:
        raise EmbedderUnavailableError(
            "Embedding endpoints need the package openai. Run: pip install -r requirements.txt"
        ) from error
    try:
        return OpenAI(base_url=spec.base_url or None, max_retries=max_retries, timeout=_TIMEOUT_S)
    except OpenAIError as error:
        if spec.base_url:
            return OpenAI(api_key=_NO_KEY, base_url=spec.base_url, max_retries=max_retries, timeout=_TIMEOUT_S)
        raise EmbedderUnavailableError(
            f"{spec.name} needs a key. Set the environment variable OPENAI_API_KEY and start again."
        ) from error


def _reason(error: Exception, where: str) -> str:
    """Return what happened and what to do, for a person; the client has tried several times where that can help."""
    import openai

    said = str(getattr(error, "message", "") or error)[:_MESSAGE_LENGTH]
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return f"{where} refused the key. Set OPENAI_API_KEY to one that may use this model, and start again."
    if isinstance(error, openai.NotFoundError):
        return f"{where} does not have this model ({said}). Check its name and the address."
    if isinstance(error, openai.RateLimitError):
        return f"{where} still says that there were too many requests, or that the budget is used up ({said}). " + _SAFE
    if isinstance(error, openai.APIConnectionError):
        return f"{where} could not be reached ({said}). Check the address and the network. {_SAFE}"
    if isinstance(error, openai.BadRequestError):
        return f"{where} refused the texts ({said}). A smaller maximum length or batch size may help."
    return f"{where} failed ({said}). {_SAFE}"


_SAFE = "What was read until then is kept; try again later."


def _count_tokens(text: str) -> int:
    return max(1, math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN))
