"""A local server that speaks the OpenAI embeddings protocol; a text's vector is the count of each of its letters."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from era.encoders.base import Vectors

DIMENSION = 26
KEY = "sk-right"


def letters_of(text: str, dimension: int = DIMENSION) -> Vectors:
    """Return how often each letter occurs, at length 1; 26 numbers, or the first ones."""
    counts = np.array([text.lower().count(chr(ord("a") + place)) for place in range(DIMENSION)], np.float32)
    counts = counts[:dimension] + 1e-3
    return np.asarray(counts / np.linalg.norm(counts), np.float32)


class EmbeddingServer:
    """Serves on a free port of this machine; what it was asked, and what it answers next, can be looked at and set."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.next_answers: list[tuple[int, dict[str, str], Any]] = []
        """(status, headers, body) to give instead of vectors, first one first."""
        handler = type("Handler", (_Handler,), {"server_state": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def texts(self) -> list[str]:
        """Return every text that was sent in a request that was answered or refused, in order."""
        return [text for request in self.requests for text in request["input"]]

    def fail_next(self, status: int, message: str, headers: dict[str, str] | None = None, times: int = 1) -> None:
        body = {"error": {"message": message, "type": "made up", "code": None, "param": None}}
        self.next_answers += [(status, headers or {}, body)] * times

    def close(self) -> None:
        """Stop serving; a second time does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_state: EmbeddingServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state = self.server_state
        state.requests.append(request)
        state.keys.append(self.headers.get("Authorization", ""))
        if state.next_answers:
            self._send(*state.next_answers.pop(0))
        elif self.path != "/v1/embeddings":
            self._send(404, {}, {"error": {"message": "no such path"}})
        elif self.headers.get("Authorization") == "Bearer sk-wrong":
            self._send(401, {}, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
        elif request["model"] != "letters":
            self._send(404, {}, {"error": {"message": f"The model {request['model']} does not exist"}})
        elif any(not text for text in request["input"]) or not request["input"]:
            self._send(400, {}, {"error": {"message": "input cannot be an empty string"}})
        else:
            self._send(200, {}, _answer(request))

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _send(self, status: int, headers: dict[str, str], body: Any) -> None:
        content = json.dumps(body).encode() if not isinstance(body, bytes) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the vectors in another order than they were asked for: only `index` says which is whose."""
    vectors = [3 * letters_of(text, request.get("dimensions", DIMENSION)) for text in request["input"]]
    is_binary = request.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": place,
            "embedding": base64.b64encode(vector.tobytes()).decode() if is_binary else vector.tolist(),
        }
        for place, vector in enumerate(vectors)
    ]
    return {"object": "list", "data": data[::-1], "model": "letters", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
