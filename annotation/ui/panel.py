"""A panel: one element that scripts of ours draw from what the server answers.

The template is constant and the scripts build their elements from text nodes, so no text can become markup.
"""

from pathlib import Path

import gradio as gr

_ASSETS = Path(__file__).parent / "assets"


def make_panel(*names: str) -> gr.HTML:
    """Return an empty panel drawn by `assets/<name>.js`, several scripts one after the other."""
    scripts = [(_ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in ("words", "dom", *names)]
    return gr.HTML(
        html_template='<div class="era-panel"></div>',
        js_on_load="\n".join(scripts),
        apply_default_css=False,
        elem_id=f"era-{names[0]}",
    )


def style() -> str:
    """Return the style sheet of all panels."""
    return (_ASSETS / "style.css").read_text(encoding="utf-8")


def page_script() -> str:
    """Return the element for the page's head with what the whole page knows."""
    return f"<script>\n{(_ASSETS / 'page.js').read_text(encoding='utf-8')}</script>"
