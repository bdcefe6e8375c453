"""Markdown as a tree: what each mark becomes, and that nothing hostile becomes more than text."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from annotation.ui.payloads.markdown import MAX_BRACKETS, MAX_CHARACTERS, MAX_DEPTH, Node, markdown_tree

NEW_TAB = {"rel": "noopener noreferrer", "target": "_blank"}
TAGS = set("p h3 h4 strong em code pre ul ol li blockquote a br hr".split())


def p(*children: Node) -> list[Any]:
    return ["p", {}, list(children)]


def elements_of(nodes: list[Node]) -> Iterator[list[Any]]:
    for node in nodes:
        if not isinstance(node, str):
            yield node
            yield from elements_of(node[2])


def words_of(nodes: list[Node]) -> str:
    return "".join(node if isinstance(node, str) else words_of(node[2]) for node in nodes)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", []),
        ("one\n\ntwo", [p("one"), p("two")]),
        ("one\ntwo", [p("one\ntwo")]),
        ("one  \ntwo", [p("one", ["br", {}, []], "two")]),
        ("a *b* **c**", [p("a ", ["em", {}, ["b"]], " ", ["strong", {}, ["c"]])]),
        ("**a *b***", [p(["strong", {}, ["a ", ["em", {}, ["b"]]]])]),
        ("run `a < b` now", [p("run ", ["code", {}, ["a < b"]], " now")]),
        ("```py\nx = 1\n```", [["pre", {}, [["code", {}, ["x = 1\n"]]]]]),
        ("    x = 1", [["pre", {}, [["code", {}, ["x = 1\n"]]]]]),
        ("> said", [["blockquote", {}, [p("said")]]]),
        ("a\n\n---\n\nb", [p("a"), ["hr", {}, []], p("b")]),
        ("a & b < c", [p("a & b < c")]),
        ("a &amp; &lt;b&gt; \\*c\\*", [p("a & <b> *c*")]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", [p("| a | b |\n|---|---|\n| 1 | 2 |")]),
        ("[1]: https://a.org/x", [p("[1]: https://a.org/x")]),
    ],
)
def test_markdown_tree_gives_each_mark_its_element(text: str, tree: list[Node]) -> None:
    assert markdown_tree(text) == tree


def test_markdown_tree_keeps_two_levels_of_headings() -> None:
    text = "# a\n## b\n### c\n###### d\n\ne\n===\n"
    assert [(node[0], node[2]) for node in markdown_tree(text)] == [
        ("h3", ["a"]),
        ("h3", ["b"]),
        ("h4", ["c"]),
        ("h4", ["d"]),
        ("h3", ["e"]),
    ]


def test_markdown_tree_gives_items_paragraphs_only_where_blank_lines_stand_between_them() -> None:
    assert markdown_tree("- a\n- b\n  1. c") == [
        ["ul", {}, [["li", {}, ["a"]], ["li", {}, ["b", ["ol", {}, [["li", {}, ["c"]]]]]]]]
    ]
    assert markdown_tree("1. a\n\n2. b") == [["ol", {}, [["li", {}, [p("a")]], ["li", {}, [p("b")]]]]]


@pytest.mark.parametrize(
    ("text", "address", "words"),
    [
        ("[here](https://a.org/x?y=1&z=2)", "https://a.org/x?y=1&z=2", "here"),
        ('[here](http://a.org "title")', "http://a.org", "here"),
        ("[here](HTTPS://a.org)", "HTTPS://a.org", "here"),
        ("<https://a.org>", "https://a.org", "https://a.org"),
        ("<ann@a.org>", "mailto:ann@a.org", "ann@a.org"),
        ("[write](mailto:ann@a.org)", "mailto:ann@a.org", "write"),
    ],
)
def test_markdown_tree_opens_links_in_a_tab_that_knows_nothing_of_this_one(text: str, address: str, words: str) -> None:
    assert markdown_tree(text) == [p(["a", {"href": address, **NEW_TAB}, [words]])]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[here](/settings)", "here"),
        ("[here](//a.org)", "here"),
        ("[here](https:a.org)", "here"),
        ("[here](#top)", "here"),
        ("[here]()", "here"),
        ("[here](ftp://a.org)", "here"),
        ("[here](blob:https://a.org/1)", "here"),
        ("[here](%6aavascript:alert(1))", "here"),
        ("[here](data:image/png;base64,AAAA)", "here"),
        ("![a *cat*](https://a.org/cat.png)", "a cat"),
        ("![a [cat](https://a.org)](https://a.org/cat.png)", "a cat"),
        ("![](https://a.org/cat.png)", ""),
    ],
)
def test_markdown_tree_turns_other_links_and_images_into_their_words(text: str, words: str) -> None:
    assert markdown_tree(text) == ([p(words)] if words else [p()])


def test_markdown_tree_keeps_a_link_around_an_image_as_one_link() -> None:
    text = "[![a [cat](https://b.org)](https://c.org/cat.png)](https://d.org)"
    links = [element for element in elements_of(markdown_tree(text)) if element[0] == "a"]
    assert len(links) <= 1
    assert markdown_tree("[![cat](https://c.org/cat.png)](https://d.org)") == [
        p(["a", {"href": "https://d.org", **NEW_TAB}, ["cat"]])
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "<div>\n\n**b**\n\n</div>",
        "<!-- hidden -->",
        "<iframe src='javascript:alert(1)'></iframe>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](vbscript:x)",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "<javascript:alert(1)>",
    ],
)
def test_markdown_tree_leaves_hostile_markup_as_the_text_it_is(text: str) -> None:
    tree = markdown_tree(text)
    assert [element for element in elements_of(tree) if element[1]] == []
    assert words_of(tree) == text.replace("\n\n", "").replace("**", "")


HOSTILE = [
    "[x](javascript&#58;alert(1))",
    "[x](java&#x0A;script:alert(1))",
    "[x](&#x6A;avascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x]( javascript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    '[x](https://a.org/"onmouseover="alert(1))',
    "[x](https://a.org/'><script>alert(1)</script>)",
    "[*x* `<b>`](https://a.org/)",
    "[a [b](https://b.org)](javascript:alert(1))",
    "![x](javascript:alert(1))",
    "[![x](data:text/html,1)](javascript:alert(1))",
    "[x]: javascript:alert(1)\n\n[x]",
    "> - 1. <script>\n>   - `<b onclick=x>`\n\n# <svg/onload=alert(1)>",
    "```<script>\n</code></pre><script>alert(1)</script>\n```",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\\<script>",
    "<https://a.org/<script>>",
    "a\x00b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_tree_makes_nothing_but_its_few_elements(text: str) -> None:
    tree = markdown_tree(text)
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    for element in elements_of(tree):
        assert len(element) == 3
        assert element[0] in TAGS
        if element[0] == "a":
            assert set(element[1]) == {"href", "rel", "target"}
            assert re.match(r"https://a\.org/[^\"<>\s]*$|https://b\.org$", element[1]["href"])
        else:
            assert element[1] == {}


def test_markdown_tree_reads_entities_as_characters_not_as_markup() -> None:
    assert markdown_tree("&lt;script&gt;alert(1)&lt;/script&gt;") == [p("<script>alert(1)</script>")]


def test_markdown_tree_shows_deeper_nesting_as_plain_text_and_loses_nothing() -> None:
    assert markdown_tree(">" * (MAX_DEPTH + 5) + " deep\n\nafter") == [p(">" * (MAX_DEPTH + 5) + " deep"), p("after")]
    shallow = markdown_tree(">" * 20 + " deep")
    assert [element[0] for element in elements_of(shallow)] == ["blockquote"] * 20 + ["p"]
    for depth in range(MAX_DEPTH // 2 - 5, MAX_DEPTH + 5):
        assert "deep" in words_of(markdown_tree(">" * depth + " deep"))
        assert "deep" in words_of(markdown_tree("- " * depth + "deep"))


@pytest.mark.parametrize("text", ["[" * (MAX_BRACKETS + 1), "*a* " * (MAX_CHARACTERS // 4 + 1)])
def test_markdown_tree_shows_what_would_take_long_as_plain_text(text: str) -> None:
    assert markdown_tree(text) == [p(text.strip())]


@pytest.mark.parametrize("text", ["[" * MAX_BRACKETS, "![" * MAX_BRACKETS, "*a _b " * 10_000, "<!-- " * 10_000])
def test_markdown_tree_answers_soon_whatever_it_is_given(text: str) -> None:
    started = time.process_time()
    markdown_tree(text)
    assert time.process_time() - started < 60  # what grows with the square takes many minutes
