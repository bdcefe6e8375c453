import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from era.encoders import loading
from era.encoders.bundled import BUNDLED_LIGHT_SHA256
from era.encoders.cache import VectorCache
from era.encoders.loading import load_pair
from era.encoders.openai import OpenAIEmbedder
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
from era.encoders.spec import BUNDLED, EmbedderSpec, PairSpec
from era.errors import EmbedderUnavailableError
from tests.era.embedding_server import EmbeddingServer, letters_of
from tests.worlds.models import save_static


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_static(tmp_path / "tiny")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = EmbeddingServer()
    yield made
    made.close()


def test_pairs_share_a_model_that_both_ask_for(folder: Path) -> None:
    tiny = EmbedderSpec("sentence-transformers", str(folder))
    first = load_pair(PairSpec(tiny, BUNDLED.light), "cpu")
    second = load_pair(PairSpec(BUNDLED.strong, tiny), "cpu")
    assert first.strong is second.light
    assert isinstance(first.strong, SentenceTransformerEmbedder)
    assert first.light.identity.revision == BUNDLED_LIGHT_SHA256
    other = EmbedderSpec("sentence-transformers", str(folder), query_prompt="query: ")
    assert load_pair(PairSpec(other, BUNDLED.light), "cpu").strong is not first.strong


def test_a_model_is_let_go_once_nobody_uses_it(folder: Path) -> None:
    tiny = EmbedderSpec("sentence-transformers", str(folder))
    pair = load_pair(PairSpec(tiny, tiny), "cpu")
    assert pair.strong is pair.light
    assert any(key[0] == tiny for key in loading._loaded)
    del pair
    gc.collect()
    assert not any(key[0] == tiny for key in loading._loaded)


def test_an_endpoint_can_read_queries_over_a_local_model_and_both_use_the_cache(
    server: EmbeddingServer, folder: Path, tmp_path: Path
) -> None:
    cache = VectorCache(tmp_path / "cache")
    endpoint = EmbedderSpec("openai", "letters", base_url=server.base_url)
    pair = load_pair(PairSpec(endpoint, BUNDLED.strong), "cpu", cache)
    assert isinstance(pair.strong, OpenAIEmbedder)
    np.testing.assert_allclose(pair.strong.encode_documents(["cat"]), [letters_of("cat")], atol=1e-6)
    assert not pair.light.kept_documents(["cat"])[0].any()
    pair.light.encode_documents(["cat"])
    for embedder in (pair.strong, pair.light):
        assert embedder.kept_documents(["cat"])[0].all()


def test_load_pair_passes_on_why_a_model_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailableError, match="offers no weights"):
        load_pair(PairSpec(BUNDLED.strong, EmbedderSpec("sentence-transformers", str(tmp_path))), "cpu")
