"""Markdown as a tree of a few harmless elements, which the page builds without ever parsing HTML.

Raw HTML stays text, and whatever is not in the short list of tags below loses its markup but never its words.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

Node: TypeAlias = str | list[Any]
"""A text, or [tag, {attribute: value}, [children]]; JSON as it is."""

MAX_DEPTH = 60
"""Levels of nested blocks; the parser would leave out what lies deeper, so a deeper text is shown as plain text."""

MAX_CHARACTERS = 200_000
MAX_BRACKETS = 5_000
"""Beyond either a text is shown as plain text: the parser's time grows with the square of unclosed brackets."""

_TAGS = {
    "paragraph": "p",
    "strong": "strong",
    "em": "em",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "blockquote": "blockquote",
    "hardbreak": "br",
    "hr": "hr",
}
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
_SAFE_LINK = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x1f]+", re.IGNORECASE)


def markdown_tree(text: str) -> list[Node]:
    """Return Markdown (CommonMark) as nested [tag, {attributes}, [children]] with texts as plain strings.

    Tags are p, h3 (for # and ##), h4 (for deeper headings), strong, em, code, pre, ul, ol, li, blockquote, a, br and
    hr. Only a link has attributes: its address, which begins with http://, https:// or mailto:, and what makes it
    open in a new tab that knows nothing of this one. Other links, and images, become their words. Link definitions
    (`[1]: address`) are not read but shown, so that no line of a document disappears.
    """
    if len(text) > MAX_CHARACTERS or text.count("[") > MAX_BRACKETS:
        return _plain(text)
    tokens = _parser().parse(text)
    if any(token.level >= MAX_DEPTH - 1 for token in tokens):
        return _plain(text)
    return _converted(SyntaxTreeNode(tokens).children)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_DEPTH}).disable("reference")


def _plain(text: str) -> list[Node]:
    return [["p", {}, [part.strip()]] for part in _BLANK_LINES.split(text) if part.strip()]


def _converted(nodes: Iterable[SyntaxTreeNode]) -> list[Node]:
    """Return the trees of the nodes with neighbouring texts joined."""
    joined: list[Node] = []
    for part in (part for node in nodes for part in _parts(node)):
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part:
            joined.append(part)
    return joined


def _parts(node: SyntaxTreeNode) -> list[Node]:
    if node.type in ("code_block", "fence"):
        return [["pre", {}, [["code", {}, [node.content]]]]]
    if node.type == "code_inline":
        return [["code", {}, [node.content]]]
    if node.type == "softbreak":
        return ["\n"]
    if node.type == "image":
        return [_words(node)]
    if node.type == "heading":
        return [["h3" if node.tag in ("h1", "h2") else "h4", {}, _converted(node.children)]]
    if node.type == "link":
        address = str(node.attrGet("href") or "")
        if _SAFE_LINK.fullmatch(address):
            attributes = {"href": address, "rel": "noopener noreferrer", "target": "_blank"}
            return [["a", attributes, _converted(node.children)]]
        return _converted(node.children)
    if node.type in _TAGS and not (node.type == "paragraph" and node.hidden):
        return [[_TAGS[node.type], {}, _converted(node.children)]]
    return _converted(node.children) if node.children else [node.content]


def _words(node: SyntaxTreeNode) -> str:
    if node.children:
        return "".join(_words(child) for child in node.children)
    return "\n" if node.type in ("softbreak", "hardbreak") else "" if node.is_root else node.content
