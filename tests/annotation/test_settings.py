"""Where everything is kept, what a person is called, who may sign in, and which environment variables say so."""

import getpass
import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from annotation.errors import InvalidInputError
from annotation.people.password_file import read_people
from annotation.settings import Settings
from era.encoders.spec import BUNDLED, EmbedderSpec

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("ERA_")]:
        monkeypatch.delenv(name)


def make_data_writable(monkeypatch: pytest.MonkeyPatch, is_writable: bool) -> None:
    """Let `/data` look writable, or as if it was not there."""
    monkeypatch.setattr(os, "access", lambda path, mode: is_writable and Path(path) == Path("/data"))


def test_settings_read_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ERA_DATA_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("ERA_DEVICE", "cpu")
    monkeypatch.setenv("ERA_NAME", "Ann")
    settings = Settings()
    assert (settings.data_folder, settings.device, settings.local_name) == (tmp_path / "kept", "cpu", "Ann")


def test_the_cache_takes_two_gigabytes_unless_another_size_above_zero_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().cache_bytes == 2 << 30
    monkeypatch.setenv("ERA_CACHE_GB", "0.5")
    assert Settings().cache_bytes == 512 << 20
    monkeypatch.setenv("ERA_CACHE_GB", "0")
    with pytest.raises(ValueError, match="cache_gb"):
        Settings()


def test_settings_leave_the_device_open_when_none_is_set() -> None:
    assert Settings().device is None


@pytest.mark.parametrize(("variables", "expected"), [({"SPACE_ID": "ann/era"}, "'ann/era'"), ({}, "None")])
def test_settings_know_a_space_by_its_own_variable(variables: dict[str, str], expected: str) -> None:
    rest = {name: value for name, value in os.environ.items() if name != "SPACE_ID"}
    script = "import sys; from annotation.settings import Settings; sys.stdout.write(repr(Settings().space_id))"
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env={**rest, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert finished.stdout == expected


def test_data_folder_is_the_one_set_even_on_a_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_data_writable(monkeypatch, True)
    assert Settings(data_dir=tmp_path, space_id="ann/era").data_folder == tmp_path


def test_data_folder_may_start_with_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ERA_DATA_DIR", "~/kept")
    assert Settings().data_folder == tmp_path / "kept"


def test_data_folder_is_on_the_disk_of_a_space_when_that_is_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    make_data_writable(monkeypatch, True)
    assert Settings(space_id="ann/era").data_folder == Path("/data/era")


@pytest.mark.parametrize(("space_id", "is_writable"), [("ann/era", False), (None, True)])
def test_data_folder_is_the_users_when_there_is_no_space_or_no_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, space_id: str | None, is_writable: bool
) -> None:
    make_data_writable(monkeypatch, is_writable)
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda name, appauthor: str(tmp_path / name))
    assert Settings(space_id=space_id).data_folder == tmp_path / "era"


def test_local_name_is_the_one_set_without_outer_blanks() -> None:
    assert Settings(name="  Ann Lee ").local_name == "Ann Lee"


@pytest.mark.parametrize("name", [None, "", "   "])
def test_local_name_is_the_account_when_none_is_set(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann-account")
    assert Settings(name=name).local_name == "ann-account"


@pytest.mark.parametrize("error", [OSError("no account"), KeyError("uid 12345"), ImportError("pwd")])
def test_local_name_is_you_when_there_is_no_account(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def getuser() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", getuser)
    assert Settings().local_name == "you"


def people_file(folder: Path, content: str | bytes) -> Path:
    file = folder / "people.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_nobody_has_to_sign_in_without_a_file_of_people() -> None:
    assert read_people(Settings().people) == []


def test_people_are_read_from_the_file_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    people_file(tmp_path, "ann:first\nBob Lee:second\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("ERA_PEOPLE", "~/people.txt")
    assert read_people(Settings().people) == [("ann", "first"), ("Bob Lee", "second")]


def test_people_may_stand_between_remarks_and_blanks(tmp_path: Path) -> None:
    content = "\ufeff ann : first \r\n\r\n# the second one\r\n  # bob:out\r\nJosé:with:colons:#\r\n   "
    assert read_people(Settings(people=people_file(tmp_path, content)).people) == [
        ("ann", "first"),
        ("José", "with:colons:#"),
    ]


@pytest.mark.parametrize("line", ["secret", "bob", ":secret", "bob:", " : ", "bob: ", "ann:secret"])
def test_people_are_refused_with_the_line_that_is_no_name_and_password(tmp_path: Path, line: str) -> None:
    file = people_file(tmp_path, f"# names\n\nann:first\n{line}\ncleo:third\n")
    with pytest.raises(InvalidInputError) as error:
        read_people(Settings(people=file).people)
    assert str(error.value).startswith(f"{file}, line 4: expected name:password, each name once.")
    assert "secret" not in str(error.value)  # it may end up in a log


@pytest.mark.parametrize("content", ["", "\n \n", "# ann:first\n"])
def test_file_that_names_nobody_is_refused_rather_than_open_to_all(tmp_path: Path, content: str) -> None:
    file = people_file(tmp_path, content)
    with pytest.raises(InvalidInputError, match="names no one"):
        read_people(Settings(people=file).people)


@pytest.mark.parametrize("trouble", ["missing", "a folder", "not UTF-8"])
def test_file_of_people_that_cannot_be_read_is_named(tmp_path: Path, trouble: str) -> None:
    file = tmp_path if trouble == "a folder" else tmp_path / "people.txt"
    if trouble == "not UTF-8":
        people_file(tmp_path, "josé:first".encode("latin-1"))
    with pytest.raises(InvalidInputError, match="could not be read") as error:
        read_people(Settings(people=file).people)
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    ("wanted", "of_a_model", "of_an_endpoint"),
    [(None, 5000, 1000), (1000, 1000, 1000), (6000, 6000, 1000), (5, 1000, 1000)],
)
def test_how_far_strong_models_read_on_can_be_set(wanted: int | None, of_a_model: int, of_an_endpoint: int) -> None:
    settings = Settings(alignment_texts=wanted)
    assert settings.n_alignment_texts(BUNDLED.strong) == of_a_model
    assert settings.n_alignment_texts(EmbedderSpec("openai", "big")) == of_an_endpoint
