"""The app as it runs on a Hugging Face Space: everybody may look, only people who signed in bring anything in."""

import base64
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import itsdangerous
import pytest

from tests.ui.conftest import PATIENCE_S, App, free_port, run_app

SECRET = "secret of the space"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return the app, started as a Space starts it, once it answers; it need not be able to search yet."""
    folder = tmp_path_factory.mktemp("space")
    port, output = free_port(), folder / "output.txt"
    process = run_app(
        folder / "data",
        port,
        output,
        SYSTEM="spaces",
        SPACE_ID="owner/era",
        SPACE_HOST="owner-era.hf.space",
        OAUTH_CLIENT_ID="client",
        OAUTH_CLIENT_SECRET=SECRET,
        OAUTH_SCOPES="openid profile",
        OPENID_PROVIDER_URL="https://huggingface.co",
    )
    app = App(process, folder / "data", port, output)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while "Open http" not in output.read_text() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "Open http" in output.read_text(), output.read_text()
        yield app
    finally:
        app.kill()


def cookie_of(name: str) -> str:
    """Return the cookie of somebody who has signed in by an account of Hugging Face."""
    key = hashlib.sha256(f"{SECRET}-v4".encode()).hexdigest()
    session = {"oauth_info": {"userinfo": {"preferred_username": name}}}
    signed = itsdangerous.TimestampSigner(key).sign(base64.b64encode(json.dumps(session).encode()))
    return f"session={signed.decode()}"


def send(app: App, content: bytes, cookie: str = "", origin: str = "", path: str = "upload") -> tuple[int, str]:
    """Send a file and return status and text of the answer."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n--x--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Host": "owner-era.hf.space"}
    headers |= {"Cookie": cookie} if cookie else {}
    headers |= {"Origin": origin} if origin else {}
    request = urllib.request.Request(f"http://127.0.0.1:{app.port}/gradio_api/{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def received(app: App) -> int:
    """Return how many bytes are on the disk of what was sent."""
    return sum(path.stat().st_size for path in (app.folder / "received").rglob("*") if path.is_file())


def test_sign_in_by_an_account_is_set_up(space: App) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{space.port}/config", timeout=60) as answer:
        shown = [each["props"].get("value") for each in json.load(answer)["components"]]
        frames = answer.headers["Content-Security-Policy"]
    assert "Sign in with Hugging Face" in shown
    assert frames == "frame-ancestors 'self' https://huggingface.co https://*.hf.space"


def test_files_of_visitors_are_not_kept(space: App) -> None:
    for _ in range(6):
        assert send(space, b"x" * 20_000_000) == (401, "Sign in to bring in files.")
    assert send(space, b"x" * 1000, cookie="session=forged") == (401, "Sign in to bring in files.")
    assert send(space, b"x" * 1000, path="component_server")[0] == 403
    assert received(space) == 0


def test_files_of_people_who_signed_in_are_counted(space: App) -> None:
    ann, ben = cookie_of("ann"), cookie_of("ben")
    status, text = send(space, b"of ann", ann)
    assert status == 200
    [path] = json.loads(text)
    assert Path(path).is_relative_to(space.folder / "received")
    assert Path(path).read_bytes() == b"of ann"
    assert send(space, b"of another page", ben, origin="https://evil.example")[0] == 403
    assert send(space, b"of ben", ben, origin="https://owner-era.hf.space")[0] == 200
    assert received(space) == len(b"of ann") + len(b"of ben")
