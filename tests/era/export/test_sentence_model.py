"""The exported model gives the vectors of the app: in this process, and in a fresh one that knows nothing of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize

from era.adapter import QueryAdapter
from era.encoders.base import EmbedderPair, Vectors
from era.encoders.bundled import load_bundled_pair
from era.encoders.sentence_transformer import SentenceTransformerEmbedder
from era.errors import IdentityMismatchError, NotExportableError
from era.export.sentence_model import instruction_prompt, save_model, sentence_model
from era.index.dense import DenseIndex
from era.method.alignment import AlignmentTexts
from era.method.recipes import fit
from era.types import Query
from tests.worlds.models import tiny_table, tiny_transformer
from tests.worlds.words import strong_embedder, word_pair

INSTRUCTION = "Find the passage that answers the question"
ANIMALS = (
    ("cat", "eats every day"),
    ("dog", "sleeps at night"),
    ("trout", "swims upstream"),
    ("wren", "sings"),
    ("newt", "hides in winter"),
    ("hare", "runs away"),
    ("seal", "dives for an hour"),
    ("moth", "flies to the light"),
)
TEXTS = [
    "how are cats fed",
    "Which illness do old dogs get?",
    "a word",
    "long " * 600 + "end",
    "  blanks  around\nand a line break ",
]
DOCUMENTS = [f"{animal}\nThe {animal} {does}." for animal, does in ANIMALS]


@pytest.fixture(scope="module")
def bundled() -> EmbedderPair:
    return load_bundled_pair("cpu")


@pytest.fixture(scope="module")
def saved(bundled: EmbedderPair, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, QueryAdapter]:
    """What the recipe of one strong vector learned over the bundled pair, and the folder of its model."""
    doc_ids = [f"d{number}" for number in range(len(DOCUMENTS))]
    index = DenseIndex(doc_ids, bundled.light.encode_documents(DOCUMENTS), bundled.light.identity)
    texts = AlignmentTexts(doc_ids, bundled.strong.encode_documents(DOCUMENTS), index.vectors(doc_ids))
    queries = [Query(f"q{number}", text, INSTRUCTION) for number, text in enumerate(TEXTS[:2])]
    qrels = {"q0": {"d0": 1.0, "d1": 0.0}, "q1": {"d1": 1.0, "d2": 0.0}}
    learned = fit("era-single", texts, index, bundled, queries, qrels)
    folder = tmp_path_factory.mktemp("exported") / "model"
    save_model(bundled, learned.adapter, folder, "# A card\n")
    return folder, learned.adapter


def assert_near(vectors: Any, expected: Vectors) -> None:
    """Hold that vectors are the same to 1e-5."""
    np.testing.assert_allclose(vectors, expected, atol=1e-5, rtol=0)


def expected_queries(pair: EmbedderPair, adapter: QueryAdapter, instruction: str = "") -> Vectors:
    return adapter.transform(pair.encode_queries([Query("", text, instruction) for text in TEXTS]))


def random_adapter(pair: EmbedderPair, seed: int = 0) -> QueryAdapter:
    p, m = pair.strong.identity.dimension, pair.light.identity.dimension
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(p, m)), rng.normal(size=m)  # the bias as long as a vector, so that it must count
    return QueryAdapter(("instructed",), weight.astype(np.float32), bias.astype(np.float32), {"recipe": "paper"})


def test_the_saved_model_encodes_as_the_app_does(bundled: EmbedderPair, saved: tuple[Path, QueryAdapter]) -> None:
    folder, adapter = saved
    model = SentenceTransformer(str(folder), device="cpu")
    assert_near(model.encode_query(TEXTS), expected_queries(bundled, adapter))
    instructed = model.encode_query(TEXTS, prompt=instruction_prompt(INSTRUCTION))
    assert_near(instructed, expected_queries(bundled, adapter, INSTRUCTION))
    assert_near(model.encode_document(DOCUMENTS), bundled.light.encode_documents(DOCUMENTS))
    assert_near(model.encode(DOCUMENTS), bundled.light.encode_documents(DOCUMENTS))
    assert not np.allclose(instructed, model.encode_query(TEXTS), atol=1e-2)
    assert model.similarity_fn_name == "cosine"
    assert (folder / "README.md").read_text(encoding="utf-8") == "# A card\n"


def test_a_fresh_process_loads_it_without_this_project_and_without_trust(
    bundled: EmbedderPair, saved: tuple[Path, QueryAdapter], tmp_path: Path
) -> None:
    folder, adapter = saved
    code = (
        "import sys, json\n"
        "from sentence_transformers import SentenceTransformer\n"
        f"model = SentenceTransformer({str(folder)!r}, device='cpu', trust_remote_code=False, local_files_only=True)\n"
        f"vectors = model.encode_query({TEXTS!r}, prompt={instruction_prompt(INSTRUCTION)!r})\n"
        "assert 'era' not in sys.modules\n"
        "print(json.dumps(vectors.tolist()))\n"
    )
    kept = ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "HOME")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    vectors = np.array(json.loads(done.stdout.splitlines()[-1]), np.float32)
    assert_near(vectors, expected_queries(bundled, adapter, INSTRUCTION))


def test_only_safe_formats_and_no_code_are_written(saved: tuple[Path, QueryAdapter]) -> None:
    endings = {file.suffix for file in saved[0].rglob("*") if file.is_file()}
    assert endings == {".json", ".safetensors", ".md"}
    listed = json.loads((saved[0] / "modules.json").read_text(encoding="utf-8"))
    routes = json.loads((saved[0] / "router_config.json").read_text(encoding="utf-8"))["types"]
    assert all(
        each.startswith("sentence_transformers.") for each in [m["type"] for m in listed] + list(routes.values())
    )


def test_prompts_lengths_truncation_and_missing_normalisation_are_kept(tmp_path: Path) -> None:
    strong, light = tiny_transformer(tmp_path / "bert", include_prompt=False), tiny_table(1)
    strong.prompts = {"query": "query: ", "document": ""}
    light.prompts = {"query": "", "document": "a word "}
    strong.truncate_dim, light.truncate_dim = 10, 8
    pair = EmbedderPair(
        SentenceTransformerEmbedder(strong, "tiny-bert", "1"), SentenceTransformerEmbedder(light, "tiny-table", "1")
    )
    assert (pair.strong.identity.dimension, pair.light.identity.dimension) == (10, 8)
    adapter = random_adapter(pair)
    save_model(pair, adapter, tmp_path / "model", "")
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert_near(model.encode_query(TEXTS), expected_queries(pair, adapter))
    instructed = model.encode_query(TEXTS, prompt=instruction_prompt("how long"))
    assert_near(instructed, expected_queries(pair, adapter, "how long"))
    assert_near(model.encode_document(TEXTS), pair.light.encode_documents(TEXTS))
    # what was loaded is as it was
    assert not strong[1].include_prompt
    assert (strong.truncate_dim, len(strong), len(light)) == (10, 2, 1)


def test_a_strong_model_of_16_bits_is_widened_and_stays_as_it_is(tmp_path: Path) -> None:
    strong = tiny_transformer(tmp_path / "bert").bfloat16()
    pair = EmbedderPair(
        SentenceTransformerEmbedder(strong, "tiny-bert", "1"), SentenceTransformerEmbedder(tiny_table(2), "table", "1")
    )
    adapter = random_adapter(pair)
    save_model(pair, adapter, tmp_path / "model", "")
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    cosines = (model.encode_query(TEXTS) * expected_queries(pair, adapter)).sum(axis=1)
    assert cosines.min() > 0.999  # 16 bits round more than 32
    assert {str(parameter.dtype) for parameter in strong.parameters()} == {"torch.bfloat16"}


def test_the_same_model_on_both_sides_is_saved_once(tmp_path: Path) -> None:
    table = SentenceTransformerEmbedder(tiny_table(3), "table", "1")
    pair = EmbedderPair(table, table)
    adapter = random_adapter(pair)
    save_model(pair, adapter, tmp_path / "model", "")
    assert len(list((tmp_path / "model").rglob("tokenizer.json"))) == 1
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert_near(model.encode_query(TEXTS), expected_queries(pair, adapter))


@pytest.mark.parametrize("views", [("mean",), ("light",), ("mean", "light"), ("instructed", "light")])
def test_recipes_that_read_a_query_several_ways_are_refused_with_what_to_do(views: tuple[str, ...]) -> None:
    pair = word_pair()
    p, m = pair.strong.identity.dimension, pair.light.identity.dimension
    n = sum(m if view == "light" else p for view in views)
    adapter = QueryAdapter(views, np.ones((n, m), np.float32), np.zeros(m, np.float32), {"recipe": "era"})  # type: ignore[arg-type]
    with pytest.raises(
        NotExportableError, match=r"The recipe “era” reads .* train with the recipe “era-single” or “paper”"
    ):
        sentence_model(pair, adapter)


def test_embedders_that_are_no_sentence_transformers_models_are_refused() -> None:
    pair = word_pair()
    with pytest.raises(NotExportableError, match="strong does not run as a sentence-transformers model here"):
        sentence_model(pair, random_adapter(pair))


def test_an_adapter_for_other_embedders_is_refused(bundled: EmbedderPair) -> None:
    pair = EmbedderPair(strong_embedder(), bundled.light)
    with pytest.raises(IdentityMismatchError, match=r"leads from 13 to 256 dimensions, .* have 384 and 256"):
        sentence_model(bundled, random_adapter(pair))


def test_unit_length_comes_last_on_both_ways(bundled: EmbedderPair) -> None:
    router: Any = sentence_model(bundled, random_adapter(bundled))[0]
    assert all(isinstance(route[-1], Normalize) for route in router.sub_modules.values())


def test_an_exported_model_can_be_exported_again_as_either_side(
    bundled: EmbedderPair, saved: tuple[Path, QueryAdapter], tmp_path: Path
) -> None:
    exported = SentenceTransformerEmbedder(SentenceTransformer(str(saved[0]), device="cpu"), "exported", "1")
    pair = EmbedderPair(exported, exported)
    adapter = random_adapter(pair)
    save_model(pair, adapter, tmp_path / "model", "")
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    instructed = model.encode_query(TEXTS, prompt=instruction_prompt(INSTRUCTION))
    assert_near(instructed, expected_queries(pair, adapter, INSTRUCTION))
    assert_near(model.encode_document(DOCUMENTS), bundled.light.encode_documents(DOCUMENTS))
