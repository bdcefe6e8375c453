"""The one public endpoint, off unless asked for: search for programs, and for assistants that speak MCP.

It only reads. Where people have to sign in, so has a program: gradio_client by name and password, whatever else by the
same two as HTTP Basic authentication. Gradio itself lets anybody reach the tools of its MCP server.
"""

import base64
import binascii
from dataclasses import asdict
from typing import Any

import gradio as gr
from gradio.events import api

from annotation.errors import NotAllowedError
from annotation.judging.public_search import search_publicly
from annotation.people.sign_in import SignIn
from annotation.ui.feedback import explain
from annotation.workspace import Workspace


def add_search(blocks: gr.Blocks, workspace: Workspace, sign_in: SignIn | None) -> None:
    """Offer `search` as the public endpoint of an app that is built but not launched.

    Args:
        blocks: the app.
        workspace: of this process.
        sign_in: of the people who may search; None lets everybody.
    """

    def search(  # noqa: D417 - the request is the server's; a caller cannot give one
        query: str,
        request: gr.Request,
        instruction: str = "",
        collection: str = "",
        ranker: str = "",
        k: int = 10,
    ) -> list[dict[str, Any]]:
        """Search a collection of documents and return the best ones with their texts, best first. Stores nothing.

        Args:
            query: what is looked for.
            instruction: how the query is to be read, such as for whom or for what; empty for none.
            collection: name of the collection; empty for the one used last.
            ranker: key of the ranking, such as "light", "aligned", "bm25" or "run-3"; empty for the best there is.
            k: how many documents, 1 to 100.

        Returns:
            A list of objects with rank (from 1), doc_id, title, text and score.
        """
        try:
            _require_known(request, sign_in)
            found = search_publicly(workspace, query, instruction, collection, ranker, k)
        except Exception as problem:
            raise gr.Error(explain(problem), print_exception=False) from problem
        return [asdict(result) for result in found]

    with blocks:
        api(search, api_name="search", queue=False)  # an MCP call that queues asks the server without signing in


def _require_known(request: Any, sign_in: SignIn | None) -> None:
    """Check that somebody has signed in, or sends name and password along, where that is needed.

    Raises:
        NotAllowedError: if not.
        TooManyTriesError: if too many passwords were wrong.
    """
    if sign_in is None or getattr(request, "username", None):  # MCP hands on a request that knows no user
        return
    scheme, _, encoded = str(request.headers.get("authorization", "")).partition(" ")
    try:
        sent = base64.b64decode(encoded.strip() if scheme.lower() == "basic" else "", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        sent = ""
    name, colon, password = sent.partition(":")
    address = getattr(request.client, "host", "")
    if not colon or not sign_in.is_right(name, password, address):
        raise NotAllowedError("Sign in first: send your name and password as HTTP Basic authentication.")
