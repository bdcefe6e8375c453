"""Specifications to embedders; equal ones share a loaded model for as long as somebody uses it."""

from threading import Lock
from weakref import WeakValueDictionary

from era.encoders.base import EmbedderPair, SentenceTransformerEmbedder
from era.encoders.bundled import load_bundled_light, load_bundled_strong
from era.encoders.cache import VectorCache
from era.encoders.model_loading import load_sentence_model
from era.encoders.openai import OpenAIEmbedder
from era.encoders.spec import EmbedderSpec, PairSpec

_LoadedEmbedder = SentenceTransformerEmbedder | OpenAIEmbedder

_loaded: WeakValueDictionary[tuple[EmbedderSpec, str, VectorCache | None], _LoadedEmbedder] = WeakValueDictionary()
_loading = Lock()


def load_pair(spec: PairSpec, device: str, cache: VectorCache | None = None) -> EmbedderPair:
    """Load both embedders of a pair, unless they are loaded already.

    Args:
        spec: which ones.
        device: a torch device for models that have to compute; tables of word vectors stay on the CPU.
        cache: keeps the vectors of documents, and of an endpoint those of queries too.

    Raises:
        EmbedderUnavailableError: naming the model and what to do, if one cannot be had or used.
    """
    with _loading:  # one at a time: two large models at once may be more than the memory holds meanwhile
        return EmbedderPair(_load(spec.strong, device, cache), _load(spec.light, device, cache))


def _load(spec: EmbedderSpec, device: str, cache: VectorCache | None) -> _LoadedEmbedder:
    key = spec, device, cache
    embedder = _loaded.get(key)
    if embedder is None:
        if spec.kind == "bundled-strong":
            embedder = load_bundled_strong(device, spec.batch_size, cache)
        elif spec.kind == "bundled-light":
            embedder = load_bundled_light(spec.batch_size)
        elif spec.kind == "openai":
            embedder = OpenAIEmbedder(spec, cache)
        else:
            embedder = load_sentence_model(spec, device, cache)
        _loaded[key] = embedder
    return embedder
