"""Every code block of the README and the documentation runs as it stands."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from era.cli.program import main
from era.encoders.base import EmbedderPair
from era.encoders.loading import load_encoders
from era.encoders.spec import PairSpec
from tests.worlds.command_line import write_animals

ROOT = Path(__file__).parents[1]
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)

ELSEWHERE = (
    "-r requirements.txt",  # start and tests: what the tests themselves are started by
    "-r tests/requirements.txt",
    "app.py path/to/documents",  # tests/test_app.py
    "-r benchmarks/requirements.txt",  # minutes to hours
    "gradio_client",  # tests/ui/test_api.py, where the app runs
)
"""What blocks that need the app or the network contain, and where else they are run."""


@dataclass(frozen=True)
class Block:
    """One block of code: where it begins, its language, its lines."""

    file: str
    line: int
    language: str
    text: str


def blocks_of(file: Path) -> list[Block]:
    """Return the code blocks of a Markdown file: those between fences, and in the README those that are indented."""
    text = file.read_text(encoding="utf-8")
    name = file.relative_to(ROOT).as_posix()
    found = [(each.start(), each[1], each[2]) for each in _FENCED.finditer(text)]
    plain = _FENCED.sub(lambda each: re.sub(r"[^\n]", "x", each[0]), text)
    found += [
        (each.start(), "sh", re.sub("^    ", "", each[0], flags=re.MULTILINE)) for each in _INDENTED.finditer(plain)
    ]
    return [Block(name, text.count("\n", 0, start) + 1, kind, code) for start, kind, code in sorted(found)]


FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = {file.relative_to(ROOT).as_posix(): blocks_of(file) for file in FILES}


def is_run_elsewhere(block: Block) -> bool:
    return any(each in block.text for each in ELSEWHERE)


@pytest.fixture(scope="module", autouse=True)
def encoders() -> EmbedderPair:
    """Keep the bundled pair loaded: equal encoders are shared for as long as one of them is in use."""
    return load_encoders("bundled")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the blocks name: documents, queries and judgments, and a zip file in the layout of BEIR."""
    (tmp_path / "path" / "to").mkdir(parents=True)
    documents = write_animals(tmp_path / "path" / "to" / "documents")
    for name in ("queries.jsonl", "qrels.tsv"):
        shutil.copy(documents / name, tmp_path / name)
    shutil.make_archive(str(tmp_path / "beir"), "zip", documents)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_commands(text: str) -> None:
    """Run commands as a shell would, in this process: each would load the encoders again."""
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        assert words[0] in ("python", ".venv/bin/python"), line
        assert words[1:3] == ["-m", "era"], line
        assert main(words[3:]) == 0, line


@pytest.mark.parametrize("name", list(BLOCKS))
@pytest.mark.usefixtures("here")
def test_the_blocks_of_a_file_run_one_after_the_other(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for block in BLOCKS[name]:
        if is_run_elsewhere(block):
            continue
        if block.language == "python":
            exec(compile(block.text, f"{block.file}, line {block.line}", "exec"), {})  # noqa: S102
        elif block.language == "json":
            values = json.loads(block.text)
            if "strong" in values:
                PairSpec.from_json(values)
        elif block.language == "sh":
            run_commands(block.text)
        elif block.language == "mermaid":
            assert block.text.startswith("flowchart")  # what it shows: tests/test_contributing.py
        else:
            pytest.fail(f"{block.file}, line {block.line}: there is no rule for {block.language}")


def test_the_library_example_of_the_readme_is_among_them() -> None:
    [example] = [block for block in BLOCKS["README.md"] if "Collection.build" in block.text]
    assert not is_run_elsewhere(example)
    assert example.language == "python"


def test_the_quickstart_notebook_runs(tmp_path: Path) -> None:
    notebook = json.loads((ROOT / "docs" / "quickstart.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    script = tmp_path / "quickstart.py"
    script.write_text("\n".join(cells), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
