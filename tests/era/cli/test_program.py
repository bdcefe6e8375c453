"""What holds for every command: help, exit codes, one plain line for what cannot be done, and nothing loaded for it."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from era.cli.parser import RECIPES
from era.method.recipes import RecipeName
from tests.worlds.command_line import CommandLine

COMMANDS = ("import", "index", "search", "align", "adapt", "evaluate", "export")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def era(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    return CommandLine(capsys, monkeypatch, tmp_path)


def test_the_module_shows_every_command_without_loading_what_takes_seconds() -> None:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['era', '--help']\n"
        "try:\n    runpy.run_module('era', run_name='__main__')\n"
        "except SystemExit as ended:\n    print('ended', ended.code)\n"
        "print(sorted({'torch', 'faiss', 'numpy', 'pandas', 'sentence_transformers'} & set(sys.modules)))\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"    {name} " in finished.stdout for name in COMMANDS)
    assert finished.stdout.endswith("ended 0\n[]\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str, era: CommandLine) -> None:
    answer = era(command, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"usage: python -m era {command}")
    assert "--json" in answer.out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["search"],
        ["search", "here", "trout", "-k", "0"],
        ["search", "here", "trout", "-k", "few"],
        ["adapt", "here", "there", "--recipe", "secret"],
        ["export", "everything", "here"],
    ],
)
def test_wrong_arguments_end_with_2(words: list[str], era: CommandLine) -> None:
    answer = era(*words)
    assert (answer.code, answer.out) == (2, "")
    assert "usage:" in answer.err


def test_what_cannot_be_done_ends_with_1_and_a_plain_line(era: CommandLine) -> None:
    assert era.fail("search", "nowhere", "trout") == (
        "nowhere is not an index folder, or its era.json is damaged. "
        "Make one with: python -m era index COLLECTION INDEX"
    )
    assert "nowhere" in era.fail("import", "nowhere", "there")
    assert era.fail("evaluate", "nowhere.run") == (
        "Give the judgments with --qrels FILE, or an index folder that has some with --index INDEX."
    )
    assert "no format 'magic'" in era.fail("import", ".", "there", "--format", "magic")
    assert "ROLE=COLUMN" in era.fail("import", ".", "there", "--column", "body")
    assert not (era.folder / "there").exists()


def test_stopping_is_said_and_leaves_nothing(era: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("era.cli.importing.collection_folder", stop)
    (tmp_path / "docs.csv").write_text("id,text\nd1,a trout\n")
    assert era.fail("import", "docs.csv", "docs") == "Stopped before it was done. Run the same command again to go on."
    assert [path.name for path in tmp_path.iterdir()] == ["docs.csv"]


def test_the_recipes_are_those_that_there_are() -> None:
    assert get_args(RecipeName) == RECIPES


def test_a_reader_who_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "qrels.txt").write_text("".join(f"q{i} 0 d{i} 1\n" for i in range(20_000)))
    command = f"{sys.executable} -m era export qrels {tmp_path / 'qrels.txt'} --to csv | head -n 1"
    finished = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.lstrip("\ufeff").strip() == "query_id,doc_id,grade"
    assert "Traceback" not in finished.stderr
