"""Files that come in over the network: through the server's own route, from people who may, counted and tidied up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.routes import App
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from annotation.collections.uploads import SentFile, UploadLimits, Uploads
from annotation.settings import Settings
from annotation.ui.server.receiving import Receiving
from tests.asynchronous import finish

UPLOAD = "/gradio_api/upload"
LIMITS = UploadLimits(file_bytes=1000, bytes_each=3000, files_each=10)


class Server:
    """The server's own routes behind what lets files in."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.received = folder / "received"
        self.uploads = Uploads(folder / "uploads", self.received, LIMITS)
        with gr.Blocks(analytics_enabled=False) as blocks:
            gr.HTML("")
        blocks.max_file_size = LIMITS.file_bytes
        guard = Middleware(Receiving, settings=settings, uploads=self.uploads)
        self.app = App.create_app(blocks, app_kwargs={"middleware": [guard]})
        self.client = TestClient(self.app, "http://localhost:7860")

    def send(self, *texts: str, path: str = UPLOAD) -> Any:
        return self.client.post(path, files=[("files", (f"{n}.txt", text)) for n, text in enumerate(texts)])

    def left(self) -> list[str]:
        return sorted(path.read_text() for path in self.received.rglob("*") if path.is_file())


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "received"))
    return Server(tmp_path, Settings(name="ann", space_id=None))


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "received"))
    return Server(tmp_path, Settings(space_id="ann/era"))


def test_what_is_sent_can_be_kept_by_who_sent_it(server: Server) -> None:
    answer = server.send("first", "second")
    assert answer.status_code == 200
    paths = answer.json()
    assert [Path(path).name for path in paths] == ["0.txt", "1.txt"]
    kept = server.uploads.path("ann", server.uploads.keep("ann", [SentFile(paths[1], "b.txt")]))
    assert kept.read_text() == "second"
    assert server.left() == ["first"]


@pytest.mark.parametrize("path", [UPLOAD, UPLOAD + "/", UPLOAD + "?upload_id=x", "//gradio_api/upload"])
def test_who_has_not_signed_in_leaves_nothing(space: Server, path: str) -> None:
    answer = space.send("x" * 500, path=path)
    if path.startswith("//"):
        assert answer.status_code in (403, 404)
    else:
        assert (answer.status_code, answer.text) == (401, "Sign in to bring in files.")
    assert space.left() == []


@pytest.mark.parametrize(
    "path", ["/gradio_api/component_server", "/gradio_api/process_recording", "/gradio_api/run/x", "/"]
)
def test_files_come_in_nowhere_else(server: Server, space: Server, path: str) -> None:
    for one in (server, space):
        answer = one.send("x" * 500, path=path)
        assert (answer.status_code, answer.text) == (403, "Files are sent to /gradio_api/upload. Nothing was changed.")
        assert one.left() == []


def test_no_page_is_written_down_for_whoever_asks(server: Server) -> None:
    assert server.client.get("/gradio_api/deep_link", params={"session_hash": "x"}).status_code == 404


def test_too_much_is_refused_before_it_is_written(server: Server) -> None:
    answer = server.send("x" * 3000)
    assert answer.status_code == 413
    assert answer.text.startswith("One person may send ")
    assert server.left() == []
    for n in range(3):
        assert server.send(str(n) * 900).status_code == 200
    assert server.send("y" * 300).status_code == 413
    assert len(server.left()) == 3


def test_a_file_that_is_too_large_by_itself_leaves_nothing(server: Server) -> None:
    answer = server.send("small", "x" * 1001)
    assert answer.status_code == 413
    assert answer.text.startswith("A file may have ")
    assert server.left() == []


def test_how_much_will_come_has_to_be_said(server: Server) -> None:
    def parts() -> Iterator[bytes]:
        yield b"--x\r\n"

    answer = server.client.post(UPLOAD, content=parts(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 411
    assert server.left() == []


def test_what_is_broken_off_is_tidied_up_and_counts_no_more(server: Server) -> None:
    begun = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n' + b"y" * 900
    coming = iter([{"type": "http.request", "body": begun, "more_body": True}, {"type": "http.disconnect"}])
    answered: list[Any] = []
    seen: list[int] = []

    async def receive() -> Any:
        seen.append(len([path for path in server.received.rglob("*") if path.is_file()]))
        return next(coming)

    async def send(message: Any) -> None:
        answered.append(message)

    scope = {
        "type": "http", "method": "POST", "path": UPLOAD, "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", b"2900")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "http_version": "1.1",
    }  # fmt: skip
    finish(server.app(scope, receive, send))
    assert seen[-1] == 1  # half of it was on the disk
    assert answered[0]["status"] == 400
    assert server.left() == []
    assert server.send("z" * 900).status_code == 200


def test_bodies_that_are_no_form_pass(server: Server) -> None:
    answer = server.client.post("/gradio_api/queue/join", content=json.dumps({"data": [], "fn_index": 0}))
    assert answer.status_code != 403
