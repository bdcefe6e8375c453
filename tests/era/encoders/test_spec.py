import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from era.encoders.spec import BUNDLED, PRESETS, EmbedderSpec, PairSpec
from era.errors import EmbedderUnavailableError

QWEN = EmbedderSpec(
    "sentence-transformers",
    "Qwen/Qwen3-Embedding-0.6B",
    revision="main",
    query_prompt="",
    max_length=512,
    dtype="bfloat16",
    batch_size=4,
    truncate_dimension=256,
)
ENDPOINT = EmbedderSpec(
    "openai",
    "text-embedding-3-small",
    document_prompt="text: ",
    truncate_dimension=256,
    base_url="http://localhost:8000/v1",
    price_per_million_tokens=0.02,
)


@pytest.mark.parametrize("pair", [BUNDLED, PairSpec(ENDPOINT, QWEN), *(preset.spec for preset in PRESETS)])
def test_a_pair_comes_back_from_json_as_it_was(pair: PairSpec) -> None:
    assert PairSpec.from_json(json.loads(json.dumps(pair.to_json()))) == pair


def test_json_leaves_out_what_says_nothing_but_not_an_empty_prompt() -> None:
    assert BUNDLED.to_json() == {"strong": {"kind": "bundled-strong"}, "light": {"kind": "bundled-light"}}
    assert PairSpec(QWEN, QWEN).to_json()["strong"]["query_prompt"] == ""
    assert "document_prompt" not in PairSpec(QWEN, QWEN).to_json()["strong"]


def test_a_pair_that_earlier_versions_stored_is_read_and_written_the_same() -> None:
    stored = {
        "strong": {
            "kind": "openai",
            "name": "text-embedding-3-small",
            "document_prompt": "text: ",
            "truncate_dimension": 256,
            "base_url": "http://localhost:8000/v1",
            "price_per_million_tokens": 0.02,
        },
        "light": {
            "kind": "sentence-transformers",
            "name": "Qwen/Qwen3-Embedding-0.6B",
            "revision": "main",
            "query_prompt": "",
            "max_length": 512,
            "dtype": "bfloat16",
            "batch_size": 4,
            "truncate_dimension": 256,
        },
    }
    pair = PairSpec.from_json(stored)
    assert pair == PairSpec(ENDPOINT, QWEN)
    assert pair.to_json() == stored


def test_specifications_are_values_that_cannot_be_changed() -> None:
    same = replace(replace(QWEN, batch_size=5), batch_size=4)
    assert same == QWEN
    assert {same, QWEN, ENDPOINT} == {QWEN, ENDPOINT}
    with pytest.raises(FrozenInstanceError):
        QWEN.name = "other"  # type: ignore[misc]
    with pytest.raises(EmbedderUnavailableError, match="batch_size of an embedder is 0"):
        replace(QWEN, batch_size=0)


NAMED = {"kind": "sentence-transformers", "name": "a/b"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "word2vec"}, "kind of an embedder is 'word2vec'"),
        ({"kind": ["openai"]}, "kind"),
        ({"name": "a/b"}, "strong: expected an object with a `kind`"),
        ("bundled-strong", "strong: expected an object"),
        ({"kind": "sentence-transformers"}, "name of an embedder is ''; expected the name of a model"),
        ({"kind": "openai", "name": " "}, "name"),
        ({"kind": "bundled-light", "name": "x"}, "nothing for bundled-light"),
        ({**NAMED, "max_length": 0}, "max_length of an embedder is 0; expected a whole number above 0"),
        ({**NAMED, "max_length": True}, "max_length"),
        ({**NAMED, "batch_size": 2.5}, "batch_size"),
        ({**NAMED, "truncate_dimension": "8"}, "truncate_dimension"),
        ({**NAMED, "dtype": "int8"}, "dtype of an embedder is 'int8'"),
        ({**NAMED, "query_prompt": 3}, "query_prompt"),
        ({**NAMED, "revision": None}, "revision"),
        ({**NAMED, "trust_remote_code": True}, "the field 'trust_remote_code' is not known"),
        ({**NAMED, "base_url": "http://x"}, "base_url"),
        ({**NAMED, "price_per_million_tokens": 1}, "price_per_million_tokens.*does not count"),
        ({"kind": "openai", "name": "m", "base_url": "file:///etc"}, "base_url"),
        ({"kind": "openai", "name": "m", "dtype": "float16"}, "dtype.*does not count"),
        ({"kind": "openai", "name": "m", "price_per_million_tokens": float("nan")}, "price_per_million_tokens"),
        ({"kind": "bundled-strong", "max_length": 5}, "max_length.*does not count for all-MiniLM-L6-v2"),
    ],
)
def test_what_cannot_be_used_is_named(spec: Any, message: str) -> None:
    with pytest.raises(EmbedderUnavailableError, match=message) as caught:
        PairSpec.from_json({"strong": spec, "light": {"kind": "bundled-light"}})
    assert "strong: " in str(caught.value)


@pytest.mark.parametrize("values", [{}, {"strong": NAMED}, {"strong": NAMED, "light": NAMED, "third": NAMED}, []])
def test_a_pair_has_two_sides(values: Any) -> None:
    with pytest.raises(EmbedderUnavailableError, match="two objects"):
        PairSpec.from_json(values)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    assert EmbedderSpec("sentence-transformers", str(tmp_path)).label == tmp_path.name
    with pytest.raises(EmbedderUnavailableError, match="revision"):
        EmbedderSpec("sentence-transformers", str(tmp_path), revision="main")


@pytest.mark.parametrize(
    ("changed", "is_equal"),
    [
        ({"batch_size": 64}, True),
        ({"dtype": "float32"}, True),
        ({"name": "a/c"}, False),
        ({"revision": "v2"}, False),
        ({"query_prompt": "q: "}, False),
        ({"document_prompt": "d: "}, False),
        ({"max_length": 9}, False),
        ({"truncate_dimension": 9}, False),
    ],
)
def test_vectors_are_equal_unless_something_changes_them(changed: dict[str, Any], is_equal: bool) -> None:
    first = EmbedderSpec("sentence-transformers", "a/b")
    assert first.gives_equal_vectors(EmbedderSpec("sentence-transformers", **{"name": "a/b", **changed})) is is_equal


def test_presets_have_keys_of_their_own_and_start_with_the_bundled_one() -> None:
    assert [preset.key for preset in PRESETS] == ["bundled", "static", "small", "paper", "paper-m3"]
    assert PRESETS[0].spec == BUNDLED
    assert PRESETS[0].download_gb == 0
