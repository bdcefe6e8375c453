"""What a contributor is told is so: files that are named are there, and each thing is said in one way."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

import era
from tests.test_architecture import ROOMS

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md", "docs/method.md", "docs/statistics.md")
TARGETS = ("setup", "run", "fast", "test", "ui", "lint", "bench")
FOLDERS = "annotation|benchmarks|docs|era|storage|tests"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_and_folders_that_are_named_are_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]*|app\.py)`", text))
    linked = {target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    assert [path for path in sorted(linked) if not (ROOT / name).parent.joinpath(path).exists()] == []


def test_names_that_are_to_be_changed_with_a_new_recipe_format_measure_or_language_are_where_it_says() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`([A-Z]\w+)`(?: or `([A-Z]\w+)`)?[^`.;]* in (?:`([\w/]+\.py)`|the first)", text)
    assert {one for one, _, _ in named} == {"FORMATS", "RecipeName", "MEASURES", "LANGUAGES"}
    for one, other, file in named:
        content = (ROOT / (file or "era/evaluation/measures.py")).read_text(encoding="utf-8")
        assert all(re.search(rf"^{each}\b", content, re.MULTILINE) for each in (one, other) if each)


def test_picture_shows_the_rooms_from_the_highest_floor_down() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.partition("```mermaid\n")[2].partition("```")[0]
    assert set(re.findall(r'^ +(\w+)\["\1: ', picture, re.MULTILINE)) | set(
        re.findall(r'--> (\w+)\["\1: ', picture)
    ) == {*(room for floor in ROOMS for room in floor), "storage", "era"}
    floors = {room: number for number, floor in enumerate(ROOMS) for room in floor}
    arrows = [(left, right) for left, right in re.findall(r"(\w+)(?:\[[^]]*\])? --> (\w+)", picture)]
    inside = [(left, right) for left, right in arrows if left in floors and right in floors]
    assert len(inside) >= len(ROOMS) - 1
    assert all(floors[left] > floors[right] for left, right in inside)


def test_glossary_gives_each_word_one_meaning_in_order() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    words = [word for word, _ in rows if word not in ("word", "---")]
    assert len(words) > 30
    assert all(one < other for one, other in pairwise(words))


def test_makefile_has_what_is_asked_for() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"^(\w+):", makefile, re.MULTILINE) == list(TARGETS)
    of_annotation = makefile.partition("tests/annotation/test_%.py,")[2].partition(")")[0].replace("\\", "").split()
    paths = {*re.findall(rf"\b(?:{FOLDERS})/[\w./]+\w(?!%)\b", makefile.replace("test_%.py", ""))}
    paths |= {f"tests/annotation/test_{name}.py" for name in of_annotation}
    assert len(paths) > len(of_annotation) > 0
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_citation_names_this_version_and_licence() -> None:
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {era.__version__}" in lines
    assert "license: MIT" in lines
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_workflow_runs_what_has_to_pass_anywhere() -> None:
    assert "run: .ci/run\n" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert (ROOT / ".ci" / "run").is_file()
