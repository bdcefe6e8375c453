"""The command that starts the app: what it asks and refuses before anything is sent or stored."""

import importlib.util
import io
import json
import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from safetensors.numpy import load_file

from annotation.collections.page import list_collections
from annotation.errors import InvalidInputError
from annotation.workspace import Workspace
from era.errors import FormatError
from tests.annotation.conftest import bare_workspace as bare_workspace
from tests.annotation.conftest import data_dir as data_dir
from tests.worlds.desk import settings_at, wait_until
from tests.worlds.importing import left_behind
from tests.worlds.words import word_pair

APP = Path(__file__).resolve().parents[1] / "app.py"
PAID = {"kind": "openai", "name": "big", "document_prompt": "1234", "price_per_million_tokens": 1e6}
COSTS = "2 documents. The endpoint is sent about 8 tokens: about $8.00.\n"  # two texts of 15 bytes, a dollar a token


class Terminal(io.StringIO):
    """Standard input of somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Return how the app is started with two documents that an endpoint is to read."""
    (tmp_path / "pets.csv").write_text("id,text\n1,cat feeding\n2,cat illness\n")
    (tmp_path / "paid.json").write_text(json.dumps({"strong": {"kind": "bundled-strong"}, "light": PAID}))
    return [str(tmp_path / "pets.csv"), "--embedders", str(tmp_path / "paid.json")]


def bring_in(workspace: Workspace, arguments: list[str]) -> None:
    app: dict[str, Any] = runpy.run_path(str(APP), run_name="app")
    app["_bring_in"](workspace, app["_parser"]().parse_args(arguments))


@pytest.mark.parametrize(("typed", "is_agreed"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("", False)])
def test_paid_endpoint_is_sent_nothing_before_its_cost_is_shown_and_agreed_to(
    bare_workspace: Workspace,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    is_agreed: bool,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    if is_agreed:
        bring_in(bare_workspace, arguments)
    else:
        with pytest.raises(InvalidInputError, match="Nothing was sent, and nothing was imported"):
            bring_in(bare_workspace, arguments)
    assert capsys.readouterr().out == f"{COSTS}Send the texts? [y/N] "
    assert [each.name for each in list_collections(bare_workspace)] == (["pets"] if is_agreed else [])
    assert left_behind(bare_workspace) == []


def test_nobody_is_asked_who_has_agreed_or_brings_in_nothing_new(
    bare_workspace: Workspace,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    bring_in(bare_workspace, [*arguments, "--yes"])
    assert capsys.readouterr().out == COSTS
    bring_in(bare_workspace, arguments)  # the same documents again
    assert capsys.readouterr().out == ""
    assert [each.name for each in list_collections(bare_workspace)] == ["pets"]


def test_where_nobody_can_be_asked_the_app_ends_and_says_how_to_agree(tmp_path: Path, arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, str(APP), *arguments],
        env={**os.environ, "ERA_DATA_DIR": str(tmp_path / "data")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, COSTS)
    assert ended.stderr.endswith("Nothing was sent. If you agree to that, start again with --yes.\n")


def test_a_port_in_use_is_told_before_anything_that_takes_long(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code = f"import runpy, sys; sys.argv[1:] = []; sys.exit((runpy.run_path({str(APP)!r})['main'](), *sys.modules))"
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "ERA_DATA_DIR": str(tmp_path / "data"), "GRADIO_SERVER_PORT": str(port)},
            cwd=APP.parent,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    told, _, loaded = ended.stderr.partition("\n")
    assert told.startswith(f"Port {port} cannot be used: ")
    assert told.endswith("Set GRADIO_SERVER_PORT to a free port and start again.")
    assert loaded.startswith("(1, ")
    assert not any(f"'{name}'" in loaded for name in ("gradio", "torch", "sqlalchemy", "numpy", "pandas"))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_a_port_that_is_none_is_told_likewise(tmp_path: Path, port: str) -> None:
    ended = subprocess.run(
        [sys.executable, str(APP)],
        env={**os.environ, "ERA_DATA_DIR": str(tmp_path / "data"), "GRADIO_SERVER_PORT": port},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Port {port} cannot be used: ")


def test_passwords_as_typed_are_warned_of_with_the_remedy(tmp_path: Path) -> None:
    people = tmp_path / "people.txt"
    people.write_text("ann:first\nben:second\n")
    (tmp_path / "data").write_text("no folder")
    ended = subprocess.run(
        [sys.executable, str(APP)],
        env={**os.environ, "ERA_DATA_DIR": str(tmp_path / "data"), "ERA_PEOPLE": str(people)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == (
        f"{people} holds 2 passwords as typed. Hash what is there: python -m annotation.people {people} --convert"
    )
    assert "first" not in ended.stderr


def test_what_sign_in_on_a_space_and_the_tool_need_is_required() -> None:
    required = (APP.parent / "requirements.txt").read_text(encoding="utf-8")
    extras = [extra for line in required.splitlines() for extra in re.findall(r"^gradio\[([\w,]+)\]", line)]
    assert sorted(",".join(extras).split(",")) == ["mcp", "oauth"]
    for module in ("authlib.integrations.starlette_client", "itsdangerous", "mcp"):
        assert importlib.util.find_spec(module) is not None


def test_name_of_a_data_set_is_taken_as_it_was_typed(bare_workspace: Workspace) -> None:
    with pytest.raises(FormatError, match=r"^https://hub\.example/mteb: this is no dataset of the Hugging Face Hub"):
        bring_in(bare_workspace, ["https://hub.example/mteb", "--format", "hub"])


def test_the_app_lets_the_strong_model_read_on_once_search_is_ready(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    def serve(blocks: Any, *others: object) -> None:
        blocks.local_url = "nowhere"

    def wait_until_all_is_read(blocks: gr.Blocks) -> None:
        wait_until(lambda: n_texts_kept(data_dir), lambda n: n == 1849)

    monkeypatch.setattr("era.encoders.loading.load_pair", lambda spec, device, cache: word_pair())
    monkeypatch.setattr("annotation.ui.server.serving.serve", serve)
    monkeypatch.setattr(gr.Blocks, "block_thread", wait_until_all_is_read)
    app: dict[str, Any] = runpy.run_path(str(APP), run_name="app")
    assert app["_run"](settings_at(data_dir), app["_parser"]().parse_args([])) == 0


def n_texts_kept(data_dir: Path) -> int:
    """Return how many alignment texts of the demo that opens first are kept."""
    files = list((data_dir / "collections" / "2").glob("alignment-*.safetensors"))
    return len(load_file(files[0])["strong"]) if files else 0
