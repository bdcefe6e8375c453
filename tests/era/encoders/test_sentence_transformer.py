"""Models by name or folder; they are made here, and the Hub and a small GPU are made up: no connection is tried."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from era.encoders.base import Vectors
from era.encoders.cache import VectorCache
from era.encoders.sentence_transformer import SentenceTransformerEmbedder, load_sentence_model
from era.encoders.spec import EmbedderSpec
from era.errors import EmbedderUnavailableError
from era.types import Query
from tests.worlds.models import WORDS, save_bert, save_static

PROMPTS = {"query": "query: ", "document": "passage: "}
TEXTS = ["cat feeding", "dog illness vet", "trout"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("models") / "tiny-bert", PROMPTS)


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_static(tmp_path_factory.mktemp("models") / "tiny-static")


def load(folder: Path | str, cache: VectorCache | None = None, **fields: Any) -> SentenceTransformerEmbedder:
    return load_sentence_model(EmbedderSpec("sentence-transformers", str(folder), **fields), "cpu", cache)


def by_hand(folder: Path, texts: list[str], **options: Any) -> Vectors:
    """Return what sentence-transformers itself says of texts, prompts written out in them."""
    vectors = SentenceTransformer(str(folder), device="cpu", **options).encode(texts, prompt="")
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_a_model_reads_queries_and_documents_with_its_own_prompts(bert: Path) -> None:
    embedder = load(bert)
    queries = embedder.encode_queries([Query("1", "cat"), Query("2", "cat", "vet")])
    np.testing.assert_allclose(queries, by_hand(bert, ["query: cat", "Instruct: vet\nQuery: cat"]), atol=1e-6)
    expected = by_hand(bert, [f"passage: {text}" for text in TEXTS])
    np.testing.assert_allclose(embedder.encode_documents(TEXTS), expected, atol=1e-6)
    assert embedder.identity.name == "tiny-bert"
    assert (embedder.identity.dimension, embedder.identity.max_length) == (16, 32)
    assert (embedder.identity.query_prompt, embedder.identity.document_prompt) == ("query: ", "passage: ")


def test_prompts_of_the_specification_replace_those_of_the_model(bert: Path) -> None:
    embedder = load(bert, query_prompt="instruct: ", document_prompt="")
    np.testing.assert_allclose(
        embedder.encode_queries([Query("1", "cat")]), by_hand(bert, ["instruct: cat"]), atol=1e-6
    )
    np.testing.assert_allclose(embedder.encode_documents(TEXTS), by_hand(bert, TEXTS), atol=1e-6)
    assert embedder.identity.query_prompt == "instruct: "
    assert embedder.identity.document_prompt == ""


def test_max_length_cuts_what_is_read(bert: Path) -> None:
    embedder = load(bert, document_prompt="", max_length=4)  # [CLS], two words, [SEP]
    vectors = embedder.encode_documents(["cat dog trout", "cat dog", "cat wren dog"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3
    assert embedder.identity.max_length == 4


def test_max_length_cannot_be_more_than_the_model_has_positions(bert: Path, static: Path) -> None:
    with pytest.raises(EmbedderUnavailableError, match=r"tiny-bert reads at most 32 tokens.*33"):
        load(bert, max_length=33)
    with pytest.raises(EmbedderUnavailableError, match="tiny-static reads texts of any length"):
        load(static, max_length=10)


def test_truncation_keeps_the_first_numbers_at_length_1(bert: Path) -> None:
    embedder = load(bert, truncate_dimension=6)
    whole = load(bert).encode_documents(TEXTS)[:, :6]
    np.testing.assert_allclose(
        embedder.encode_documents(TEXTS), whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-6
    )
    assert embedder.identity.dimension == 6


def test_truncation_to_more_than_there_is_says_so(bert: Path) -> None:
    with pytest.raises(EmbedderUnavailableError, match=r"vectors of 16 numbers.*truncated to 17"):
        load(bert, truncate_dimension=17)


def test_weights_come_in_the_number_format_that_was_asked_for(bert: Path) -> None:
    assert load(bert).model.dtype is torch.float32
    half = load(bert, dtype="bfloat16")
    assert half.model.dtype is torch.bfloat16
    vectors = half.encode_documents(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, load(bert).encode_documents(TEXTS), atol=0.05)


def test_a_table_of_word_vectors_is_read_as_the_mean_of_its_words(static: Path) -> None:
    embedder = load(static)
    table = load_file(static / "model.safetensors")["embedding.weight"].numpy()
    mean = (table[WORDS.index("cat")] + table[WORDS.index("feeding")]) / 2
    np.testing.assert_allclose(embedder.encode_documents(TEXTS)[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_folder_is_another_revision_once_its_weights_are_others(tmp_path: Path) -> None:
    folder = save_static(tmp_path / "model")
    first = load(folder).identity
    assert load(folder).identity == first
    weights = load_file(folder / "model.safetensors")
    save_file({name: 2 * weight for name, weight in weights.items()}, folder / "model.safetensors")
    assert load(folder).identity.revision != first.revision


def test_vectors_of_documents_are_read_once_and_shared_by_the_cache(bert: Path, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    first = load(bert, cache)
    vectors = first.encode_documents(TEXTS)
    again = load(bert, cache)
    again.model.encode = None  # type: ignore[method-assign, assignment]
    reported: list[float] = []
    found = again.encode_documents(TEXTS[::-1], lambda stage, fraction, detail="": reported.append(fraction))
    np.testing.assert_array_equal(found, vectors[::-1])
    assert reported == [1.0]
    for other in (load(bert, cache, document_prompt=""), load(bert, cache, max_length=4)):
        assert not np.allclose(other.encode_documents(["cat dog trout wren"]), vectors[:1])
    assert again.seconds_per_text is None
    assert first.seconds_per_text is not None


def test_a_half_known_list_of_documents_comes_in_its_order(bert: Path, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    load(bert, cache).encode_documents(TEXTS[1:2])
    reported: list[float] = []
    embedder = load(bert, cache, batch_size=1)
    found = embedder.encode_documents(TEXTS, lambda stage, fraction, detail="": reported.append(fraction))
    np.testing.assert_allclose(found, load(bert).encode_documents(TEXTS), atol=1e-6)
    assert reported == [pytest.approx(2 / 3), 1.0]


def test_a_table_of_word_vectors_leaves_nothing_in_the_cache(static: Path, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "cache")
    load(static, cache).encode_documents(TEXTS)
    assert not (tmp_path / "cache").exists()


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(EmbedderUnavailableError, match=r"pytorch_model\.bin.*could run anything"):
        load(folder)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailableError, match=r"offers no weights as safetensors.*bundled"):
        load(tmp_path)


def test_a_folder_that_holds_no_model_says_so(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(EmbedderUnavailableError, match=r"could not be loaded.*bundled"):
        load(tmp_path)


def test_a_model_with_code_of_its_own_is_not_run(tmp_path: Path) -> None:
    folder = save_static(tmp_path / "model")
    (folder / "own.py").write_text("raise SystemExit('this ran')")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "own.Own"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EmbedderUnavailableError, match="no code of its own"):
        load(folder)


class Hub:
    """A made-up Hub: names and revisions to folders."""

    def __init__(self, folders: dict[tuple[str, str | None], Path]) -> None:
        self._folders = folders
        self.asked: list[tuple[str, str | None]] = []
        self.patterns: list[str] = []

    def snapshot_download(self, name: str, revision: str | None, allow_patterns: list[str], **_: object) -> str:
        self.asked.append((name, revision))
        self.patterns = allow_patterns
        if (name, revision) not in self._folders:
            raise LocalEntryNotFoundError("cannot be reached")
        return str(self._folders[name, revision])


def use(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Hub:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def test_a_model_of_the_hub_is_known_by_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = save_static(tmp_path / "0123abc")
    hub = use(monkeypatch, Hub({("someone/tiny", "v1"): commit}))
    embedder = load("someone/tiny", revision="v1")
    assert (embedder.identity.name, embedder.identity.revision) == ("someone/tiny", "0123abc")
    assert hub.asked == [("someone/tiny", "v1")]
    assert "*.safetensors" in hub.patterns
    assert not any(pattern.endswith((".py", ".bin", ".pt", "*")) for pattern in hub.patterns)


def test_a_short_name_belongs_to_sentence_transformers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = use(monkeypatch, Hub({("sentence-transformers/tiny", None): save_static(tmp_path / "0123abc")}))
    load("tiny")
    assert hub.asked == [("sentence-transformers/tiny", None)]


class Discussion:
    def __init__(self, author: str, git_reference: str | None) -> None:
        self.author, self.git_reference = author, git_reference


def test_pickled_weights_of_the_hub_are_replaced_by_its_own_conversion(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "main").mkdir()
    converted = save_static(tmp_path / "4567def")
    hub = use(monkeypatch, Hub({("someone/tiny", None): tmp_path / "main", ("someone/tiny", "refs/pr/7"): converted}))
    offered = [Discussion("a stranger", "refs/pr/6"), Discussion("SFconvertbot", "refs/pr/7")]
    monkeypatch.setattr(huggingface_hub, "get_repo_discussions", lambda name, **_: iter(offered))
    assert load("someone/tiny").identity.revision == "4567def"
    assert hub.asked == [("someone/tiny", None), ("someone/tiny", "refs/pr/7")]


def test_the_conversion_that_was_copied_earlier_is_used_without_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "main").mkdir()
    save_static(tmp_path / "4567def")
    use(monkeypatch, Hub({("someone/tiny", None): tmp_path / "main"}))

    def refuse(name: str, **_: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "get_repo_discussions", refuse)
    assert load("someone/tiny").identity.revision == "4567def"


def test_a_hub_that_cannot_be_reached_names_the_model_and_what_works_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Hub({}))
    with pytest.raises(EmbedderUnavailableError, match=r"someone/tiny is not on this machine.*bundled embedders"):
        load("someone/tiny")


def test_a_name_that_cannot_be_one_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **_: object) -> None:
        raise HFValidationError("bad name")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(EmbedderUnavailableError, match="neither a folder on this machine nor the name of a model"):
        load("/no/such/folder")


def test_a_commit_that_the_hub_does_not_have_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    from huggingface_hub.errors import RevisionNotFoundError

    def refuse(name: str, **_: object) -> None:
        request = httpx.Request("GET", "https://huggingface.co")
        raise RevisionNotFoundError("404", response=httpx.Response(404, request=request))  # type: ignore[arg-type]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(EmbedderUnavailableError, match="does not give someone/tiny at revision v9"):
        load("someone/tiny", revision="v9")


def test_a_model_without_a_revision_stays_at_the_commit_that_is_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    noted = tmp_path / "models--someone--tiny" / "refs" / "main"
    noted.parent.mkdir(parents=True)
    noted.write_text("0123abc\n")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    hub = use(monkeypatch, Hub({("someone/tiny", "0123abc"): save_static(tmp_path / "0123abc")}))
    assert load("someone/tiny").identity.revision == "0123abc"
    assert hub.asked == [("someone/tiny", "0123abc")]


class SmallGpu:
    """A model that reads a text as its length; its GPU holds `n_fitting` texts at once, its CPU `n_on_cpu`."""

    max_seq_length = 512
    prompts: Mapping[str, str] = {}

    def __init__(self, n_fitting: int, error: RuntimeError, n_on_cpu: int) -> None:
        self.device = torch.device("cuda")
        self.batches: list[tuple[str, int]] = []
        self._n_fitting = {"cuda": n_fitting, "cpu": n_on_cpu}
        self._error = error

    def get_embedding_dimension(self) -> int:
        return 1

    def to(self, device: str) -> None:
        self.device = torch.device(device)

    def encode(self, texts: list[str], batch_size: int, **_: object) -> Vectors:
        for start in range(0, len(texts), batch_size):
            n = len(texts[start : start + batch_size])
            self.batches.append((self.device.type, n))
            if n > self._n_fitting[self.device.type]:
                raise self._error
        return np.array([[len(text)] for text in texts], np.float32)


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
LENGTHS = list(range(50, 10, -1))  # of 40 texts, read 16 at once where there is room


def on_small_gpu(
    n_fitting: int, error: RuntimeError = OUT_OF_MEMORY, n_on_cpu: int = 99
) -> tuple[SmallGpu, SentenceTransformerEmbedder]:
    model = SmallGpu(n_fitting, error, n_on_cpu)
    return model, SentenceTransformerEmbedder(cast(Any, model), "small", "1", batch_size=16)


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")])
def test_embedder_reads_fewer_texts_at_once_when_the_gpu_is_full(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    model, embedder = on_small_gpu(5, error)
    vectors = embedder.encode_documents(["x" * length for length in LENGTHS])
    assert vectors[:, 0].tolist() == LENGTHS
    tried = [n for _, n in model.batches]
    assert tried == [16, 8, *[4] * 10]
    assert {device for device, _ in model.batches} == {"cuda"}
    assert "small now reads fewer texts at once" in caplog.text


def test_embedder_goes_on_with_the_cpu_when_a_single_text_is_too_much(caplog: pytest.LogCaptureFixture) -> None:
    model, embedder = on_small_gpu(0)
    vectors = embedder.encode_documents(["x" * length for length in LENGTHS])
    assert vectors[:, 0].tolist() == LENGTHS
    assert model.batches == [*(("cuda", n) for n in (16, 8, 4, 2, 1)), *[("cpu", 8)] * 5]
    assert "small now runs on the CPU" in caplog.text


def test_embedder_moves_a_query_that_does_not_fit_to_the_cpu_at_once() -> None:
    model, embedder = on_small_gpu(0)
    assert embedder.encode_queries([Query("1", "cat")]).tolist() == [[3]]
    assert model.batches == [("cuda", 1), ("cpu", 1)]


@pytest.mark.parametrize(
    ("error", "n_on_cpu", "devices"),
    [(RuntimeError("shapes do not fit"), 99, ["cuda"]), (OUT_OF_MEMORY, 0, ["cuda", "cpu"])],
)
def test_embedder_raises_what_it_cannot_mend(error: RuntimeError, n_on_cpu: int, devices: list[str]) -> None:
    model, embedder = on_small_gpu(0, error, n_on_cpu)
    with pytest.raises(RuntimeError) as caught:
        embedder.encode_queries([Query("1", "cat")])
    assert caught.value is error
    assert [device for device, _ in model.batches] == devices
