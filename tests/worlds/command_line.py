"""Commands over a small collection of animals, with embedders whose vectors can be worked out on paper."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from era.cli.program import main
from era.encoders.base import EmbedderPair
from era.encoders.cache import VectorCache
from era.encoders.spec import PairSpec
from tests.worlds.words import ANIMALS, TOPICS, WordEmbedder, word_pair


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def values(self) -> Any:
        """Return the answer in JSON."""
        return json.loads(self.out)


class CommandLine:
    """Runs commands in this process; every embedder that is asked for is one of words."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.pair = word_pair()
        self.specs: list[PairSpec] = []
        self.folder = folder
        self._capsys = capsys
        monkeypatch.setattr("era.encoders.loading.load_pair", self._load)
        monkeypatch.chdir(folder)

    def _load(self, spec: PairSpec, device: str, cache: VectorCache | None) -> EmbedderPair:
        self.specs.append(spec)
        return self.pair

    @property
    def light(self) -> WordEmbedder:
        """Return what reads documents."""
        assert isinstance(self.pair.light, WordEmbedder)
        return self.pair.light

    def __call__(self, *words: object) -> Answer:
        """Run a command whatever comes of it."""
        self._capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        written = self._capsys.readouterr()
        return Answer(code, written.out, written.err)

    def do(self, *words: object) -> Any:
        """Return the answer in JSON of a command that has to succeed."""
        answer = self(*words, "--json")
        assert answer.code == 0, answer.err
        return answer.values

    def fail(self, *words: object) -> str:
        """Return the one line of a command that has to end with 1."""
        answer = self(*words, "--quiet")
        assert (answer.code, answer.out) == (1, ""), answer.out
        assert answer.err.count("\n") == 1
        return answer.err.strip()


def write_animals(folder: Path) -> Path:
    """Write a document for each animal and topic, and judged queries whose instruction decides which is wanted."""
    folder.mkdir()
    documents = [{"id": f"{a}-{t}", "title": a, "text": t} for a in ANIMALS for t in TOPICS]
    queries, qrels = [], []
    for animal in ANIMALS:
        for reader, topic in (("owner", "feeding"), ("vet", "illness")):
            queries.append({"id": f"{animal}-{reader}", "text": animal, "instruction": reader})
            qrels += [f"{animal}-{reader}\t{animal}-{each}\t{int(each == topic)}\n" for each in TOPICS]
    _write_rows(folder / "corpus.jsonl", documents)
    _write_rows(folder / "queries.jsonl", queries)
    (folder / "qrels.tsv").write_text("".join(qrels))
    return folder


def _write_rows(file: Path, rows: list[dict[str, str]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def everything_in(folder: Path) -> list[str]:
    """Return the names of all files and folders in a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
