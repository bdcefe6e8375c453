from dataclasses import replace

import numpy as np
import pytest

from era.encoders.base import EmbedderIdentity, EmbedderPair
from era.errors import Cancelled, IdentityMismatchError
from era.types import Query
from tests.worlds.words import WordEmbedder, light_embedder, strong_embedder

FIRST = EmbedderIdentity("first", "0123456789abcdef", 256, 512, "query: ", "")


@pytest.fixture
def strong() -> WordEmbedder:
    return strong_embedder()


@pytest.fixture
def light() -> WordEmbedder:
    return light_embedder()


@pytest.fixture
def pair(strong: WordEmbedder, light: WordEmbedder) -> EmbedderPair:
    return EmbedderPair(strong, light)


def test_identity_require_accepts_an_equal_identity() -> None:
    FIRST.require(replace(FIRST), "The index")


@pytest.mark.parametrize(
    "other",
    [
        replace(FIRST, name="second"),
        replace(FIRST, revision="2"),
        replace(FIRST, dimension=128),
        replace(FIRST, max_length=None),
        replace(FIRST, query_prompt=""),
        replace(FIRST, document_prompt="passage: "),
    ],
)
def test_identity_require_refuses_any_difference(other: EmbedderIdentity) -> None:
    with pytest.raises(IdentityMismatchError):
        FIRST.require(other, "The index")


def test_identity_require_names_both_sides() -> None:
    with pytest.raises(IdentityMismatchError) as caught:
        FIRST.require(EmbedderIdentity("second", "fedcba9876543210", 128, None, "", ""), "The index")
    message = str(caught.value)
    for part in ("The index", "first", "0123456789ab", "256", "second", "fedcba987654", "128"):
        assert part in message


def test_identity_json_is_equal_for_equal_identities_only() -> None:
    assert FIRST.to_json() == replace(FIRST).to_json()
    assert FIRST.to_json() != replace(FIRST, document_prompt="x").to_json()


def test_pair_gives_the_instruction_to_the_strong_embedder_only(
    pair: EmbedderPair, strong: WordEmbedder, light: WordEmbedder
) -> None:
    encoded = pair.encode_queries([Query("1", "cat", "owner feeding")])
    assert set(strong.texts_read) == {"cat", "owner feeding cat"}
    assert light.texts_read == ["cat"]
    third = 3**-0.5
    # dimensions: cat, dog, trout, wren, newt, hare, seal, moth, feeding, illness, (owner, vet,) nothing
    np.testing.assert_allclose(encoded.instructed, [[third, 0, 0, 0, 0, 0, 0, 0, third, 0, third, 0, 0]], atol=1e-6)
    np.testing.assert_array_equal(encoded.plain, [[1, *[0] * 12]])
    np.testing.assert_array_equal(encoded.light, [[1, *[0] * 10]])


def test_pair_reports_progress_and_remembers_what_it_read_before_it_was_stopped(
    pair: EmbedderPair, light: WordEmbedder
) -> None:
    queries = [Query(str(i), f"cat {i}") for i in range(20)]
    reported: list[float] = []

    def stop(stage: str, fraction: float, detail: str = "") -> None:
        reported.append(fraction)
        if len(reported) == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        pair.encode_queries(queries, stop)
    assert reported == [0, 8 / 20, 16 / 20]
    assert light.texts_read == [query.text for query in queries[:16]]
    pair.encode_queries(queries)
    assert light.texts_read == [query.text for query in queries]


def test_pair_reads_a_query_without_instruction_once(pair: EmbedderPair, strong: WordEmbedder) -> None:
    encoded = pair.encode_queries([Query("1", "cat"), Query("2", "dog", "vet")])
    assert sorted(strong.texts_read) == ["cat", "dog", "vet dog"]
    np.testing.assert_array_equal(encoded.instructed[0], encoded.plain[0])
    assert not np.array_equal(encoded.instructed[1], encoded.plain[1])


def test_pair_keeps_the_order_of_the_queries(pair: EmbedderPair) -> None:
    pair.encode_queries([Query("1", "dog")])
    encoded = pair.encode_queries([Query("2", "cat"), Query("1", "dog"), Query("3", "trout"), Query("4", "cat")])
    assert encoded.light.argmax(axis=1).tolist() == [0, 1, 2, 0]
    assert encoded.plain.argmax(axis=1).tolist() == [0, 1, 2, 0]
    assert len(encoded) == 4


def test_pair_embeds_a_query_only_once(pair: EmbedderPair, strong: WordEmbedder, light: WordEmbedder) -> None:
    queries = [Query("1", "cat", "vet"), Query("2", "cat", "vet"), Query("3", "dog")]
    first = pair.encode_queries(queries)
    n_strong, n_light = len(strong.texts_read), len(light.texts_read)
    assert (n_strong, n_light) == (3, 2)  # cat, vet cat, dog; cat, dog
    again = pair.encode_queries(queries[::-1])
    assert (len(strong.texts_read), len(light.texts_read)) == (n_strong, n_light)
    np.testing.assert_array_equal(again.instructed, first.instructed[::-1])


def test_pair_tells_instructions_apart_for_one_text(pair: EmbedderPair) -> None:
    encoded = pair.encode_queries([Query("1", "cat", "vet"), Query("1", "cat", "owner"), Query("1", "cat")])
    assert len(np.unique(encoded.instructed, axis=0)) == 3
    assert len(np.unique(encoded.plain, axis=0)) == 1


def test_pair_forgets_the_oldest_query_when_its_memory_is_full(strong: WordEmbedder, light: WordEmbedder) -> None:
    pair = EmbedderPair(strong, light, n_remembered=2)
    pair.encode_queries([Query("1", "cat"), Query("2", "dog"), Query("3", "trout")])
    pair.encode_queries([Query("2", "dog"), Query("3", "trout")])
    assert light.texts_read == ["cat", "dog", "trout"]
    pair.encode_queries([Query("1", "cat")])
    assert light.texts_read == ["cat", "dog", "trout", "cat"]


def test_pair_gives_what_it_remembers_as_a_copy(pair: EmbedderPair) -> None:
    pair.encode_queries([Query("1", "cat")]).light[:] = 7
    assert pair.encode_queries([Query("1", "cat")]).light.max() == 1


def test_pair_gives_empty_arrays_of_the_right_width_when_there_is_no_query(pair: EmbedderPair) -> None:
    encoded = pair.encode_queries([])
    assert (encoded.instructed.shape, encoded.plain.shape, encoded.light.shape) == ((0, 13), (0, 13), (0, 11))
