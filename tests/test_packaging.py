"""What `pip install .` installs: the library alone, with its types, its version and its command."""

import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import era

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built without the network: the builder is one of the packages of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [made] = folder.iterdir()
    return made


def test_the_wheel_holds_every_file_of_the_library_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {file.relative_to(ROOT).as_posix() for file in (ROOT / "era").rglob("*") if file.is_file()}
    assert names == {file for file in files if "__pycache__" not in file}
    assert "era/py.typed" in names


def test_the_wheel_names_version_command_and_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        about = Parser().parsestr(archive.read(metadata).decode())
        scripts = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert about["Version"] == era.__version__
    assert set(about.get_all("Provides-Extra", [])) == {"files", "hub", "openai", "all"}
    assert "era = era.cli.program:start" in scripts


def test_the_wheel_runs_without_the_rest_of_the_repository(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "import era, era.collection, sys; print(era.__file__); print('gradio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [str(tmp_path / "era" / "__init__.py"), "False"]
    helped = subprocess.run([sys.executable, "-m", "era", "--help"], cwd=tmp_path, check=True, capture_output=True)
    assert b"adapt" in helped.stdout


def test_the_library_needs_nothing_that_the_app_does_not_have() -> None:
    """The versions that are installed and tested are those of requirements.txt; here are their lower bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *(each for name in ("files", "hub", "openai") for each in extras[name])]
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    of_app = {line.partition("~")[0].partition("=")[0].partition("[")[0] for line in required if line[:1].isalpha()}
    assert {each.partition(">")[0].partition("=")[0] for each in named} <= of_app
