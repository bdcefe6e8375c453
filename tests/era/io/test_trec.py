from pathlib import Path

import pytest

from era.errors import FormatError
from era.io.opening import open_source
from era.types import Document, Query
from tests.era.io.writing_files import documents_of, write

DOCS = """<DOC>
<DOCNO> FT-1 </DOCNO>
<HEADLINE>Wind &amp; water</HEADLINE>
<DATE>910514</DATE>
<TEXT>
The first line
goes on here.

A second <I>paragraph</I>.
</TEXT>
</DOC>
<DOC><DOCNO>FT-2</DOCNO><TEXT>On one line.</TEXT></DOC>
"""
SGML = """<top>
<num> Number: 301
<title> International Organized
Crime

<desc> Description:
Identify organizations
that take part.

<narr> Narrative:
A relevant document must
name one.
</top>

<top>
<num> Number: 302
<title>
<desc> Description:
Is it so?
</top>
"""
XML = """<?xml version="1.0"?>
<!DOCTYPE topics [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<!-- <topic number="0"><query>not this</query></topic> -->
<topics>
 <topic number="1"><query>mask &lt; air &x;</query><question>Do they help?</question>
 <narrative><![CDATA[a < b]]></narrative></topic>
 <topic number='2'><title>second</title></topic>
</topics>
"""


def test_a_folder_of_trec_files_is_read(tmp_path: Path) -> None:
    write(tmp_path / "docs" / "ft911.sgml", DOCS, "cp1252")
    write(tmp_path / "topics.301-350", SGML)
    write(tmp_path / "qrels.txt", "301 0 FT-1 1\n301 0 FT-2 -2\n302 0 FT-2 2\n")
    write(tmp_path / "bm25.run", "301 Q0 FT-1 1 3.5 bm25\n")
    source = open_source(tmp_path)
    assert source.format == "trec"
    assert [(each.document, dict(each.metadata)) for each in source.documents()] == [
        (Document("FT-1", "Wind & water", "The first line goes on here.\n\nA second paragraph ."), {"DATE": "910514"}),
        (Document("FT-2", "", "On one line."), {}),
    ]
    first, second = source.queries()
    assert first.query == Query("301", "International Organized Crime")
    assert first.need == "Identify organizations that take part.\n\nA relevant document must name one."
    assert (second.query, second.need) == (Query("302", "Is it so?"), "")
    assert source.qrels() == {"301": {"FT-1": 1.0}, "302": {"FT-2": 2.0}}
    assert source.remarks == [
        "1 file was not read: bm25.run.",
        "1 grade below 0 was left out: such documents are unjudged, as trec_eval has it. "
        "-2 for 301, FT-2 (qrels.txt, line 2).",
    ]


def test_topics_alone_hold_queries_and_expand_no_entity(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "topics.xml", XML))
    assert documents_of(source) == []
    first, second = source.queries()
    assert (first.query, first.need) == (Query("1", "mask < air &x;"), "Do they help?\n\na < b")
    assert second.query == Query("2", "second")


def test_topics_may_be_lines_of_id_and_text(tmp_path: Path) -> None:
    source = open_source(
        write(tmp_path / "queries.trec.txt", "19335\tanthropological definition\n47923\taxon terminals\n")
    )
    assert [each.query for each in source.queries()] == [
        Query("19335", "anthropological definition"),
        Query("47923", "axon terminals"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.sgml", "<DOC>\n<DOCNO>1</DOCNO>\n", r"x.sgml, line 1: this <DOC> has no </DOC>"),
        ("x.sgml", "<DOC>\n</DOC>\n<DOC>\n<DOC>", r"x.sgml, line 1: this document has no <DOCNO>"),
        ("x.sgml", "<DOC>\n<DOCNO>1</DOCNO>a\n<DOC>\n", r"x.sgml, line 1: this <DOC> has no </DOC>"),
        (
            "topics.xml",
            "<topics><topic number='1'><title>a</title></topic>\n<!--",
            "line 2: a comment or CDATA section",
        ),
    ],
)
def test_errors_name_the_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    source = open_source(write(tmp_path / name, text))
    with pytest.raises(FormatError, match=message):
        _ = list(source.documents()), source.queries()


def test_unclosed_tags_and_comments_take_no_time(tmp_path: Path) -> None:
    many = "<a><b>" * 40_000
    (document,) = documents_of(open_source(write(tmp_path / "x.sgml", f"<DOC>\n<DOCNO>1</DOCNO>word {many}\n</DOC>\n")))
    assert document.text == "word"
    topics = write(
        tmp_path / "topics.xml", "<topics><topic number='1'><title>a</title></topic>" + "<!--" * 100_000 + "-->"
    )
    assert [each.query.text for each in open_source(topics).queries()] == ["a"]
