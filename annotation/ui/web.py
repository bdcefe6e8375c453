"""What a browser loads: the page, its style sheet, its words and its scripts.

The page is drawn by the server, empty but for its frame, and asks at once for what it shows. All else lies under an
address that names its content, so browsers keep it until it changes.
"""

import hashlib
import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from annotation.ui.words import translations

PATH = "/era/web/{version}/{name}"
TABS = ("Judge", "Train", "Compare", "Collection")

_ASSETS = Path(__file__).parent / "assets"
_MARK = (  # two spaces that are brought into line
    '<svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><path d="M3 3h14v14H3z" fill="none" '
    'stroke="currentColor" stroke-width="2"/><path d="M3 17 17 3v14z" fill="currentColor"/></svg>'
)
_WELCOME = '<section id="era-welcome" class="era-panel era-welcome" hidden></section>'
_KINDS = {".js": "text/javascript", ".css": "text/css"}
_PANELS = {
    "judge": "judge outbox judge_marks judge_drafts judge_cards judge_reader judge_live judge_reread judge_keys "
    "judge_queries",
    "train": "train train_plots train_runs train_details",
    "compare": "compare compare_query compare_marks compare_reasons compare_reread compare_keys compare_plots "
    "compare_overall compare_blind compare_snapshots",
    "collection": "collection desk_setup collection_manage collection_jobs collection_files collection_embedders "
    "collection_new collection_documents collection_take_out collection_bring_in",
    "header": "header",
}
"""The scripts of each panel, in one scope one after the other; once the header shows, which is last, all is there."""


def style() -> str:
    """Return the style sheet."""
    return _read("style.css")


class Web:
    """The files that pages load, made once."""

    def __init__(self) -> None:
        words = json.dumps(translations(), ensure_ascii=False)
        shared = _read("words.js") + _read("dom.js")
        self._files = {
            "style.css": style(),
            "page.js": f"window.eraWords = {words};\n" + _read("page.js"),
            "tabs.js": _in_scope(shared + _read("tabs.js"), "document.body"),
            "welcome.js": _in_scope(shared + _read("welcome.js"), "document.body"),
            "sign_in.js": _in_scope(f"window.eraWords = {words};\n{shared}{_read('sign_in.js')}", "document.body"),
            **{
                f"{panel}.js": _in_scope(
                    shared + "".join(map(_script, scripts.split())), f'document.getElementById("era-{panel}")'
                )
                for panel, scripts in _PANELS.items()
            },
        }
        everything = "".join(self._files.values()).encode()
        self._version = hashlib.sha256(everything).hexdigest()[:16]

    async def answer(self, request: Request) -> Response:
        """Answer a request for one of the files."""
        name = request.path_params["name"]
        if name not in self._files or request.path_params["version"] != self._version:
            return Response("There is no such file (any more). Reload the page.", 404)
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(self._files[name], media_type=_KINDS[Path(name).suffix], headers=kept)

    def page(self) -> str:
        """Return the page of the app."""
        tabs = "".join(
            f'<div class="era-step" role="presentation"><button type="button" role="tab" id="era-tab-{name.lower()}" '
            f'aria-controls="era-panel-{name.lower()}" aria-describedby="era-step-{name.lower()}" data-tab="{name}" '
            f'aria-selected="{str(not n).lower()}"{" tabindex=-1" if n else ""}>{name}</button>'
            f'<span class="era-step-state" id="era-step-{name.lower()}"></span></div>'
            for n, name in enumerate(TABS)
        )
        panels = "".join(
            f'<section role="tabpanel" id="era-panel-{name.lower()}" aria-labelledby="era-tab-{name.lower()}" '
            f'{"hidden" if n else ""}>{"" if n else _WELCOME}<div id="era-{name.lower()}"><div class="era-panel"></div>'
            "</div></section>"
            for n, name in enumerate(TABS)
        )
        scripts = "".join(self._script(name) for name in ("tabs", "welcome", *_PANELS))
        return self._frame(
            self._script("page"),
            '<div id="era-page"><header><div class="era-top">'
            f'<p class="era-brand">{_MARK}<b>ERA</b><span id="era-claim"></span></p>'
            '<div id="era-header"><div class="era-panel"></div></div></div>'
            f'<div class="era-tabs" role="tablist">{tabs}</div></header>'
            f"<main>{panels}</main></div>{scripts}",
        )

    def sign_in_page(self) -> str:
        """Return the page to sign in; it says everything in the reader's language."""
        return self._frame(
            "", f'<main class="era-panel era-sign-in" id="era-sign-in"></main>{self._script("sign_in")}', "ERA"
        )

    def _frame(self, head: str, body: str, title: str = "ERA: retrieval that learns") -> str:
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link rel="stylesheet" href="era/web/{self._version}/style.css">{head}</head><body>{body}</body></html>'
        )

    def _script(self, name: str) -> str:
        return f'<script src="era/web/{self._version}/{name}.js"></script>'


def _script(name: str) -> str:
    return _read(f"{name}.js")


def _read(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _in_scope(script: str, element: str) -> str:
    return f"(function (element) {{\n{script}\n}})({element});\n"
