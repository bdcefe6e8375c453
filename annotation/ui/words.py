"""What the screens say, in several languages: the files of `assets/words`, one per language, through `gr.I18n`.

Gradio puts the right language into its own parts (the tabs); the panels look theirs up in the same texts.
"""

import json
from pathlib import Path

import gradio as gr

_FOLDER = Path(__file__).parent / "assets" / "words"


def translations() -> gr.I18n:
    """Return the texts of every language, by its code."""
    return gr.I18n(
        **{file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(_FOLDER.glob("*.json"))}
    )


def script(i18n: gr.I18n) -> str:
    """Return the element for the page's head that hands the texts to the panels."""
    texts = json.dumps(i18n.translations, ensure_ascii=False).replace("<", "\\u003c")
    return f"<script>window.eraWords = {texts};</script>"
