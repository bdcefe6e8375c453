"""The whole way with the bundled embedders: a table to a sentence-transformers model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from era.cli.program import main
from era.encoders.loading import load_encoders

ROOT = Path(__file__).parents[3]
DOCUMENTS = {
    "d1": "Feed a trout in spring.",
    "d2": "A trout with fungus needs salt.",
    "d3": "Wrens eat insects.",
    "d4": "A wren with a broken wing needs rest.",
    "d5": "Moths drink nectar.",
}
QUERIES = (("q1", "trout", "Find what heals", "d2"), ("q2", "wren", "Find what heals", "d4"))


def in_own_process(*words: object) -> None:
    """Run a command as a shell would."""
    command = [sys.executable, "-m", "era", *map(str, words), "--json", "--quiet"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_model_that_was_taken_out_ranks_as_the_command_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sentence_transformers import SentenceTransformer

    def era(*words: object) -> Any:
        """Return the answer in JSON of a command in this process, where the embedders are loaded once."""
        capsys.readouterr()
        assert main([*map(str, words), "--json", "--quiet"]) == 0
        return json.loads(capsys.readouterr().out)

    (tmp_path / "docs.csv").write_text("id,text\n" + "".join(f'{key},"{text}"\n' for key, text in DOCUMENTS.items()))
    rows = [{"id": key, "text": text, "instruction": instruction} for key, text, instruction, _ in QUERIES]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "judged.qrels").write_text("".join(f"{key} 0 {doc} 1\n" for key, _, _, doc in QUERIES))
    index, adapter, encoder = tmp_path / "index", tmp_path / "adapter", tmp_path / "encoder"
    in_own_process("index", tmp_path / "docs.csv", index, "--device", "cpu")
    pair = load_encoders("bundled", "cpu")  # held, so that every command shares it
    given = ["--queries", tmp_path / "queries.jsonl", "--qrels", tmp_path / "judged.qrels"]
    era("adapt", index, adapter, *given, "--recipe", "era-single", "--device", "cpu")
    era("export", "model", adapter, encoder, "--index", index, "--device", "cpu")
    search = ["search", index, "newt", "--instruction", "Find what heals", "--with", adapter, "--device", "cpu"]
    found = {each["doc_id"]: each["score"] for each in era(*search)}
    model = SentenceTransformer(str(encoder), device="cpu")
    query = model.encode_query(["newt"], prompt="Instruct: Find what heals\nQuery: ")
    documents = model.encode_document(list(DOCUMENTS.values()))
    expected = dict(zip(DOCUMENTS, np.asarray(query @ documents.T)[0].tolist(), strict=True))
    assert found == {key: pytest.approx(score, abs=1e-5) for key, score in expected.items()}
    assert pair.light.identity.name == "WordLlama 256"
    card = (encoder / "README.md").read_text(encoding="utf-8")
    assert "2 queries with 2 relevant and 0 not-relevant marks" in card
