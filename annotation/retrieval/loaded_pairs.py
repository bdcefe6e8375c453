"""The embedders that one process has loaded: each pair once, and why a pair could not be loaded."""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable

from annotation.errors import AnnotationError, NotReadyError
from era.encoders.base import Embedder, EmbedderPair
from era.encoders.spec import EmbedderSpec, PairSpec
from era.errors import EraError
from storage.errors import StorageError

logger = logging.getLogger(__name__)

_TRY_AGAIN_AFTER_S = 60.0  # a hub that cannot be reached takes long to say so, and every page asks

PairLoader = Callable[[PairSpec, str], EmbedderPair]


class LoadedPairs:
    """Pairs of embedders by what they were asked for; safe to use from several threads."""

    def __init__(self, load_pair: PairLoader) -> None:
        """Load nothing yet; `load_pair` gets a specification and a torch device."""
        self.device: str | None = None  # nothing is loaded before it is known
        self._load_pair = load_pair
        self._pairs: dict[PairSpec, EmbedderPair] = {}
        self._failures: dict[PairSpec, tuple[float, str]] = {}
        self._loading: dict[PairSpec, threading.Lock] = {}
        self._lock = threading.Lock()  # of the three above, never held for long

    def get(self, spec: PairSpec) -> EmbedderPair:
        """Return a pair, loading it if need be; meant for a page, which does not wait for what another thread loads.

        Raises:
            NotReadyError: if it is being loaded, or cannot be, or could not be a short while ago.
        """
        with self._lock:
            if spec in self._pairs:
                return self._pairs[spec]
            failed_at, reason = self._failures.get(spec, (0.0, ""))
            is_loading = spec in self._loading and self._loading[spec].locked()
        if is_loading or self.device is None:
            raise NotReadyError("The embedders are still being loaded. Try again in a few seconds; nothing is lost.")
        if reason and time.monotonic() - failed_at < _TRY_AGAIN_AFTER_S:
            raise NotReadyError(reason)
        try:
            return self.load(spec)
        except Exception as error:
            logger.exception("%s and %s could not be loaded", spec.strong.label, spec.light.label)
            raise NotReadyError(reason_of(error)) from error

    def find(self, spec: PairSpec) -> EmbedderPair | None:
        """Return a pair if it is loaded already."""
        with self._lock:
            return self._pairs.get(spec)

    def find_embedder(self, spec: EmbedderSpec) -> Embedder | None:
        """Return an embedder if a pair with it is loaded already."""
        with self._lock:
            for pair_spec, pair in self._pairs.items():
                for side, embedder in ((pair_spec.strong, pair.strong), (pair_spec.light, pair.light)):
                    if side == spec:
                        return embedder
        return None

    def load(self, spec: PairSpec) -> EmbedderPair:
        """Return a pair, waiting until it is loaded, by this thread or another one.

        Raises:
            NotReadyError: if the device is not known yet.
            EraError: if it cannot be loaded.
        """
        if self.device is None:
            raise NotReadyError("The embedders are still being loaded. Try again in a few seconds; nothing is lost.")
        with self._lock:
            turn = self._loading.setdefault(spec, threading.Lock())
        with turn:
            found = self.find(spec)
            if found is not None:
                return found
            try:
                pair = self._load_pair(spec, self.device)
            except Exception as error:
                with self._lock:
                    self._failures[spec] = time.monotonic(), reason_of(error)
                raise
            with self._lock:
                self._pairs[spec] = pair
                self._failures.pop(spec, None)
            return pair

    def keep_only(self, specs: Iterable[PairSpec]) -> None:
        """Let go of pairs that are not asked for any more; a large model would keep its memory."""
        wanted = set(specs)
        with self._lock:
            unused = [spec for spec in self._pairs if spec not in wanted]
            for spec in unused:
                del self._pairs[spec]
                logger.info("%s and %s are no longer used.", spec.strong.label, spec.light.label)
        if unused:
            gc.unfreeze()  # they are among what was set aside (`annotation.collections.preparation`)
            gc.collect()
            gc.freeze()


def reason_of(error: Exception) -> str:
    """Return what to tell a person of an error; what was not written for people is named by its type."""
    is_plain = isinstance(error, EraError | StorageError | AnnotationError | ValueError)
    return (str(error) if is_plain else "") or f"{type(error).__name__}: {error}"
