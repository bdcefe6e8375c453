"""The real client against a local server; nothing leaves this machine."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from era.encoders.cache import VectorCache
from era.encoders.openai import OpenAIEmbedder, estimate_cost
from era.encoders.spec import EmbedderSpec
from era.errors import Cancelled, EmbedderUnavailableError
from era.types import Query
from tests.era.embedding_server import KEY, EmbeddingServer, letters_of

AT_ONCE = {"retry-after-ms": "1"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made = EmbeddingServer()
    yield made
    made.close()


def connect(server: EmbeddingServer, cache: VectorCache | None = None, **fields: Any) -> OpenAIEmbedder:
    values = {"name": "letters", "base_url": server.base_url, **fields}
    embedder = OpenAIEmbedder(EmbedderSpec("openai", **values), cache, max_retries=2)
    server.requests.clear()  # of the question how long a vector is
    return embedder


def test_vectors_come_in_the_order_of_the_texts_at_length_1(server: EmbeddingServer) -> None:
    embedder = connect(server)
    texts = ["cat", "a dog", "trout"]
    vectors = embedder.encode_documents(texts)
    np.testing.assert_allclose(vectors, [letters_of(text) for text in texts], atol=1e-6)
    assert vectors.dtype == np.float32
    assert set(server.keys) == {f"Bearer {KEY}"}
    identity = embedder.identity
    assert (identity.name, identity.revision, identity.dimension) == ("letters", server.base_url, 26)


def test_queries_are_sent_with_their_instruction_or_the_prompt(server: EmbeddingServer) -> None:
    embedder = connect(server, query_prompt="query: ", document_prompt="passage: ")
    embedder.encode_queries([Query("1", "cat", "Find illness"), Query("2", "cat")])
    embedder.encode_documents(["cat"])
    assert server.texts == ["Instruct: Find illness\nQuery: cat", "query: cat", "passage: cat"]


def test_truncation_is_asked_of_the_server(server: EmbeddingServer) -> None:
    embedder = connect(server, truncate_dimension=5)
    np.testing.assert_allclose(embedder.encode_documents(["bad cab"]), [letters_of("bad cab", 5)], atol=1e-6)
    assert server.requests[0]["dimensions"] == 5
    connect(server).encode_documents(["cat"])
    assert "dimensions" not in server.requests[0]


def test_texts_are_sent_in_batches_with_progress(server: EmbeddingServer) -> None:
    reported: list[float] = []
    texts = [f"text {number}" for number in range(5)]
    connect(server, batch_size=2).encode_documents(texts, lambda stage, fraction, detail="": reported.append(fraction))
    assert [len(request["input"]) for request in server.requests] == [2, 2, 1]
    assert reported == [0.4, 0.8, 1.0]


def test_a_batch_stays_below_what_a_request_may_hold(server: EmbeddingServer) -> None:
    texts = [f"{number} " + "word " * 4000 for number in range(50)]  # 20,000 characters, about 5,000 tokens each
    connect(server).encode_documents(texts)
    assert [len(request["input"]) for request in server.requests] == [39, 11]


def test_a_text_is_sent_once_and_never_empty(server: EmbeddingServer) -> None:
    vectors = connect(server).encode_documents(["cat", "", "cat", " "])
    assert server.texts == ["cat", " "]
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_a_text_is_cut_at_the_maximum_length(server: EmbeddingServer) -> None:
    connect(server, max_length=4).encode_documents(["abcdefghijklmnopq", "äöüäöüäöü"])
    assert server.texts == ["abcdefghijkl", "äöüäöü"]  # 12 bytes


def test_no_text_needs_no_request(server: EmbeddingServer) -> None:
    assert connect(server).encode_documents([]).shape == (0, 26)
    assert server.requests == []


def test_too_many_requests_are_waited_for(server: EmbeddingServer) -> None:
    embedder = connect(server)
    server.fail_next(429, "Rate limit reached", AT_ONCE)
    np.testing.assert_allclose(embedder.encode_documents(["cat"]), [letters_of("cat")], atol=1e-6)
    assert server.texts == ["cat", "cat"]


def test_a_server_that_fails_is_asked_again(server: EmbeddingServer) -> None:
    embedder = connect(server)
    server.fail_next(500, "oops", AT_ONCE, times=2)
    np.testing.assert_allclose(embedder.encode_documents(["cat"]), [letters_of("cat")], atol=1e-6)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (429, r"too many requests.*\(.*slow down.*\).*is kept; try again later"),
        (500, r"failed \(.*slow down.*\).*is kept"),
        (400, r"refused the texts.*smaller maximum length"),
        (401, "refused the key. Set OPENAI_API_KEY"),
        (403, "refused the key"),
        (404, "does not have this model"),
    ],
)
def test_what_stays_wrong_is_said_in_plain_words(server: EmbeddingServer, status: int, message: str) -> None:
    embedder = connect(server)
    server.fail_next(status, "slow down", AT_ONCE, times=3)
    with pytest.raises(EmbedderUnavailableError, match=f"letters: {server.base_url}.*{message}"):
        embedder.encode_documents(["cat"])
    assert len(server.requests) == (3 if status in (429, 500) else 1)


def test_a_wrong_key_is_said_when_the_embedder_is_loaded(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    with pytest.raises(EmbedderUnavailableError, match="refused the key") as caught:
        connect(server)
    assert "sk-wrong" not in str(caught.value)


def test_a_missing_key_is_asked_for_unless_the_server_is_ones_own(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EmbedderUnavailableError, match="Set the environment variable OPENAI_API_KEY"):
        OpenAIEmbedder(EmbedderSpec("openai", "text-embedding-3-small"))
    connect(server).encode_documents(["cat"])
    assert set(server.keys) == {"Bearer none"}


def test_a_server_that_is_not_there_says_so(server: EmbeddingServer) -> None:
    server.close()
    with pytest.raises(EmbedderUnavailableError, match=r"could not be reached.*Check the address"):
        OpenAIEmbedder(EmbedderSpec("openai", "letters", base_url=server.base_url), max_retries=0)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>a page</html>",
        {"object": "list", "data": [], "model": "letters"},
        {"object": "list", "data": [{"index": 0, "embedding": [float("nan")]}], "model": "letters"},
        {"object": "list", "data": [{"index": 0, "embedding": []}], "model": "letters"},
        {"hello": "world"},
    ],
)
def test_an_answer_that_is_none_is_refused(server: EmbeddingServer, body: Any) -> None:
    server.next_answers.append((200, {}, body))
    with pytest.raises(EmbedderUnavailableError, match=r"protocol|gave \d vectors of \d numbers for 1 texts"):
        OpenAIEmbedder(EmbedderSpec("openai", "letters", base_url=server.base_url), max_retries=0)


def test_vectors_of_another_length_than_before_are_refused(server: EmbeddingServer) -> None:
    embedder = connect(server)
    server.next_answers.append((200, {}, {"object": "list", "data": [{"index": 0, "embedding": [1.0, 0.0]}]}))
    with pytest.raises(EmbedderUnavailableError, match="1 vectors of 2 numbers for 1 texts"):
        embedder.encode_documents(["cat"])


def test_every_text_is_paid_for_once_also_queries(server: EmbeddingServer, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path)
    first = connect(server, cache)
    queries, documents = first.encode_queries([Query("1", "cat")]), first.encode_documents(["dog"])
    again = connect(server, cache, price_per_million_tokens=0.02)
    np.testing.assert_array_equal(again.encode_documents(["cat", "dog"]), np.concatenate([queries, documents]))
    np.testing.assert_array_equal(again.encode_queries([Query("1", "cat")]), queries)
    assert server.requests == []
    connect(server, cache, truncate_dimension=5).encode_documents(["dog"])
    assert server.texts == ["dog"]


def test_what_was_paid_for_is_kept_when_the_rest_is_stopped(server: EmbeddingServer, tmp_path: Path) -> None:
    embedder = connect(server, VectorCache(tmp_path), batch_size=2)

    def stop(stage: str, fraction: float, detail: str = "") -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        embedder.encode_documents(["a", "b", "c", "d"], stop)
    embedder.encode_documents(["a", "b", "c", "d"])
    assert server.texts == ["a", "b", "c", "d"]


def test_costs_are_estimated_at_four_bytes_a_token() -> None:
    spec = EmbedderSpec("openai", "big")
    assert estimate_cost(spec, ["abcdefgh", "a", ""]).n_tokens == 4  # 2, 1 and 1
    assert estimate_cost(spec, ["abcdefgh"]).dollars is None
    estimate = estimate_cost(replace(spec, document_prompt="1234", price_per_million_tokens=0.5), ["abcd"] * 1000)
    assert estimate.n_tokens == 2000
    assert estimate.dollars == pytest.approx(0.001)
