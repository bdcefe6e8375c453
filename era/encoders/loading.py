"""Specifications to encoders; equal ones share a loaded model for as long as it is in use."""

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from era.encoders.base import EmbedderPair
from era.encoders.bundled import load_bundled_light, load_bundled_strong
from era.encoders.cache import VectorCache
from era.encoders.openai import OpenAIEmbedder
from era.encoders.sentence_transformer import SentenceTransformerEmbedder, load_sentence_model
from era.encoders.spec import BUNDLED, PRESETS, EmbedderSpec, PairSpec
from era.errors import EmbedderUnavailableError

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


def load_encoders(
    encoders: Any = "bundled", device: str | None = None, cache: VectorCache | Path | str | None = None
) -> EmbedderPair:
    """Return a pair of encoders: a strong one for queries over a light one for documents.

    Args:
        encoders: the name of a preset (`bundled`, `static`, `small`, `paper`, `paper-m3`); the two names or folders of
            sentence-transformers models, for queries and for documents; a JSON file or dict with the specifications
            `strong` and `light`; or a pair that is loaded already.
        device: `cuda`, `mps` or `cpu`; the first of these that is there if None.
        cache: a folder that keeps the vectors of documents, and of an endpoint those of queries too.

    Raises:
        EmbedderUnavailableError: naming the model and what to do, if one cannot be had or used.
        ValueError: if the device is not there.
    """
    if isinstance(encoders, EmbedderPair):
        return encoders
    from transformers.utils.logging import disable_progress_bar

    from era.encoders.devices import choose_device

    # that of reading weights, which takes a moment and would break into ours
    disable_progress_bar()  # type: ignore[no-untyped-call]
    spec = spec_of(encoders) or BUNDLED
    kept = VectorCache(Path(cache)) if isinstance(cache, str | Path) else cache
    return load_pair(spec, choose_device(device), kept)


def spec_of(encoders: Any) -> PairSpec | None:
    """Return the specification of what `load_encoders` takes; None for a pair that is loaded already.

    Raises:
        EmbedderUnavailableError: if it is neither a preset nor a file, or names something that cannot be used.
    """
    if isinstance(encoders, EmbedderPair):
        return None
    if isinstance(encoders, PairSpec):
        return encoders
    if isinstance(encoders, Mapping):
        return PairSpec.from_json(encoders)
    if isinstance(encoders, tuple | list) and len(encoders) == 2:
        strong, light = (EmbedderSpec("sentence-transformers", str(name)) for name in encoders)
        return PairSpec(strong, light)
    presets = {preset.key: preset.spec for preset in PRESETS}
    if encoders in presets:
        return presets[encoders]
    file = Path(encoders)
    if not file.is_file():
        raise EmbedderUnavailableError(
            f"There is no preset and no file {str(encoders)!r}. Use one of {', '.join(presets)}, or a JSON file with "
            '{"strong": {"kind": …}, "light": {"kind": …}}.'
        )
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise EmbedderUnavailableError(f"{file} is not JSON ({error}).") from error
    return PairSpec.from_json(values)
