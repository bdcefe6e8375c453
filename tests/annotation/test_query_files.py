"""Queries from a sent file: what is read from each format, and how every problem is named by its line."""

import contextlib
import json
import re
import time

import pytest

from annotation.errors import CollectionFileError
from annotation.query_files import MAX_BYTES, MAX_QUERIES, ImportedQuery, read_queries
from era.io.writing import csv_text


def query(text: str, query_id: str | None = None, instruction: str = "", need: str = "") -> ImportedQuery:
    return ImportedQuery(query_id, text, instruction, need)


def complaint(file_name: str, content: str | bytes) -> str:
    with pytest.raises(CollectionFileError) as error:
        read_queries(file_name, content if isinstance(content, bytes) else content.encode())
    return str(error.value)


PETS = [
    query("who purrs", "q1", "find pets", "Cats count."),
    query("who barks", "q2"),
]


@pytest.mark.parametrize("file_name", ["pets.csv", "pets.tsv", "pets.txt", "pets"])
@pytest.mark.parametrize(
    "content",
    [
        "qid,query,instruction,need\nq1,who purrs,find pets,Cats count.\nq2,who barks,,\n",
        "Query_ID;Question;INSTRUCTION;Description\nq1;who purrs;find pets;Cats count.\nq2;who barks\n",
        "narrative\ttitle\tother\tinstruction\tid\nCats count.\twho purrs\tx\tfind pets\tq1\n\twho barks\t\t\tq2\n",
        '\ufeff"id","Information need","text","instruction"\r\n"q1","Cats count.","who purrs","find pets"\r\n'
        '\r\n"q2","","who barks",""\r\n,,,\r\n',
        'id, "text", instruction, need\nq1, "who purrs", find pets, Cats count.\nq2, who barks\n',
        "\n \nid,query,instruction,need\rq1,who purrs,find pets,Cats count.\rq2,who barks,,",
    ],
    ids=["commas", "semicolons", "tabs", "quoted with BOM and CRLF", "blanks after commas", "CR and blank lines"],
)
def test_read_queries_reads_tables_by_their_header(file_name: str, content: str) -> None:
    assert read_queries(file_name, content.encode()) == PETS


def test_read_queries_keeps_delimiters_quotes_and_line_breaks_of_quoted_cells() -> None:
    content = 'id,query,need\n1,"cats, ""big""\nones","a; b"\n2,the 5" disk,\n'
    assert read_queries("a.csv", content.encode()) == [
        query('cats, "big"\nones', "1", need="a; b"),
        query('the 5" disk', "2"),
    ]


def test_read_queries_joins_description_and_narrative_into_the_need() -> None:
    content = "query,narrative,description\ncats,All cats.,Pets.\n"
    assert read_queries("a.csv", content.encode()) == [query("cats", need="Pets.\n\nAll cats.")]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("who purrs\n\nwho barks\n", ["who purrs", "who barks"]),
        ('"cats, and dogs"\nwho barks', ["cats, and dogs", "who barks"]),
        ("query\nwho purrs\nwho barks", ["who purrs", "who barks"]),
    ],
)
def test_read_queries_takes_a_table_of_one_column_with_or_without_a_header(content: str, texts: list[str]) -> None:
    assert [each.text for each in read_queries("a.csv", content.encode())] == texts


def test_read_queries_takes_back_what_was_written_for_a_spreadsheet() -> None:
    texts = ["=sum of what", "-v in grep", "＝ or =", "'quoted' words", "'=1"]
    content = csv_text(["query id", "query"], [(f"+{place}", text) for place, text in enumerate(texts)])
    assert read_queries("a.csv", content.encode()) == [query(text, f"+{place}") for place, text in enumerate(texts)]


@pytest.mark.parametrize("file_name", ["a.txt", "queries", ""])
def test_read_queries_takes_every_line_of_plain_text(file_name: str) -> None:
    content = '\ufeff  How, when; why? \n\n"quoted" words\r\nTitle, deed and mortgage law\nfive\u2028six\n< 5 years\n'
    assert [each.text for each in read_queries(file_name, content.encode())] == [
        "How, when; why?",
        '"quoted" words',
        "Title, deed and mortgage law",
        "five\u2028six",
        "< 5 years",
    ]


def test_read_queries_does_not_take_a_sentence_for_a_header() -> None:
    content = "Title, deed and mortgage law\nnext, please\n"
    assert [each.text for each in read_queries("a.txt", content.encode())] == content.splitlines()


OBJECTS = [
    {"_id": "q1", "text": "who purrs", "Instruction": "find pets", "need": "Cats count."},
    {"id": "q2", "query": "who barks", "other": [1], "need": None},
]


@pytest.mark.parametrize("file_name", ["pets.jsonl", "pets.json", "pets.txt", "pets.csv"])
@pytest.mark.parametrize(
    "content",
    [
        "\n".join(map(json.dumps, OBJECTS)),
        "\ufeff" + "\n\n".join(map(json.dumps, OBJECTS)) + "\n",
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=2) + "\n",
    ],
    ids=["lines", "BOM and blank lines", "list", "indented list"],
)
def test_read_queries_reads_json_lines_and_lists(file_name: str, content: str) -> None:
    assert read_queries(file_name, content.encode()) == PETS


def test_read_queries_takes_whole_numbers_as_ids_and_replaces_half_characters() -> None:
    content = '{"id": 7, "text": "a\\ud800b\\u0007"}\n{"qid": 0, "question": "c"}'
    assert read_queries("a.jsonl", content.encode()) == [query("a b", "7"), query("c", "0")]


SGML = """<top>

<num> Number: 301
<title> International
Topic: Crime

<desc> Description:
Identify organizations
that act abroad.

<narr> Narrative:
Name them &amp; their topic: why.

Others do not count.
</top>

<top>
<head> Tipster
<num> Number:  302
<dom> Domain: Health
<title> Topic: Polio &lt; 1950

<con> Concept(s): virus
</top>
"""
TOPICS = [
    query(
        "International Topic: Crime",
        "301",
        need="Identify organizations that act abroad.\n\nName them & their topic: why.\n\nOthers do not count.",
    ),
    query("Polio < 1950", "302"),
]


@pytest.mark.parametrize("file_name", ["topics.301", "topics.txt", "topics.xml", "topics.csv"])
@pytest.mark.parametrize(
    "content",
    [
        SGML,
        SGML.replace("</top>\n", ""),
        SGML.replace("\n\n<desc>", "</title>\n<desc>").replace("\n\n<narr>", "</desc> left out\n<narr>"),
        re.sub("<[a-z]+>", lambda tag: tag[0].upper(), SGML),
    ],
    ids=["open", "topics unclosed", "closed", "upper case"],
)
def test_read_queries_reads_trec_topics(file_name: str, content: str) -> None:
    assert read_queries(file_name, content.encode()) == TOPICS


def test_read_queries_reads_xml_topics() -> None:
    content = """<?xml version="1.0" encoding="UTF-8"?>
<!-- <topic number="0"><title>hidden</title></topic> -->
<topics task="a">
  <topic number="1"><query>corona origin</query><question>what is its origin?</question>
    <narrative>seeking <![CDATA[<title> &amp; such]]></narrative></topic>
  <topic id='2' type="x"><title>A&#233; &quot;b&quot;</title><title/>
    <description>Some.</description><note>not read</note></topic>
  <topic number="3"><description>Only this.</description><narrative>All.</narrative></topic>
  <topic number="4">A man of 45.</topic>
  <topic><number>5</number><query>web</query><subtopic number="1">not read</subtopic></topic>
</topics>"""
    assert read_queries("topics.xml", content.encode()) == [
        query("what is its origin?", "1", need="seeking <title> &amp; such"),
        query('Aé "b"', "2", need="Some."),
        query("Only this.", "3", need="All."),
        query("A man of 45.", "4"),
        query("web", "5"),
    ]


def test_read_queries_expands_no_entity_of_a_document_type() -> None:
    content = (
        '<!DOCTYPE topics [<!ENTITY a "boom"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>\n'
        '<topics><topic number="1"><title>x &b; &c; y</title></topic></topics>'
    )
    assert read_queries("topics.xml", content.encode()) == [query("x &b; &c; y", "1")]


def test_read_queries_merges_repeats_and_keeps_the_first_id_and_need() -> None:
    content = (
        "id,query,instruction,need\n,cats,,\n1,cats,,\n1,cats,,All cats.\n2,cats,,Other.\n3,cats,as pets,\n1, cats ,,\n"
    )
    assert read_queries("a.csv", content.encode()) == [
        query("cats", "1", need="All cats."),
        query("cats", "3", "as pets"),
    ]


@pytest.mark.parametrize(
    ("file_name", "content", "line", "what"),
    [
        ("a.csv", "id,query\n1,cats\n\n2, \n", 4, "empty"),
        ("a.csv", "id,query\n1,cats, and dogs\n", 2, "3 cells, but the header has 2; put a text with a comma"),
        ("a.csv", 'id,query\n1,"two\nlines"\n2,"open\n3,dogs\n', 4, "quotation marks"),
        ("a.csv", 'id,query\n1,"open\n2,"dogs"\n', 2, "quotation marks"),
        ("a.csv", 'id,query\n1,"big" dogs\n', 2, "quotation marks"),
        ("a.csv", "id,query\n1,cats\n1,dogs\n", 3, "'1' was used in line 2"),
        ("a.csv", "id,query,instruction\n1,cats,\n2,dogs,\n1,cats,pets\n", 4, "'1' was used in line 2"),
        ("a.csv", f"id,query\n{'x' * 201},cats\n", 2, "longer than 200"),
        ("a.csv", "cats\nHow, when\n", 2, "2 columns, but the first line does not say which"),
        ("a.tsv", "cats; dogs, both\n301\tcrime\n", 2, "2 columns"),
        ("a", "301\tinternational crime\n", 1, "such as id\tquery"),
        ("a.jsonl", '{"text": "a"}\n\n["b"]\n', 3, "expected an object"),
        ("a.jsonl", '{"text": "a"}\nnull\n', 2, "expected an object"),
        ("a.txt", '{"text": "a"}\n{"text": "b"\n', 2, "not JSON"),
        ("a.jsonl", "who purrs\n", 1, "not JSON"),
        ("a.jsonl", '{"text": "a"}\n{"id": "1", "body": "b"}\n', 2, 'no "query" or "text". Found: id, body.'),
        ("a.jsonl", '{"text": "a"}\n{"text": null}\n', 2, 'no "query" or "text"'),
        ("a.jsonl", '{"text": "a"}\n{"text": " "}\n', 2, "empty"),
        ("a.jsonl", '{"text": "a"}\n{"text": 5}\n', 2, '"text" should be a text'),
        ("a.jsonl", '{"text": "a"}\n{"id": true, "text": "b"}\n', 2, '"id" should be a text'),
        ("a.jsonl", '{"text": "a"}\n{"id": 1.5, "text": "b"}\n', 2, '"id" should be a text'),
        ("a.json", '[\n {"text": "a"},\n\n 5]', 4, "expected an object"),
        ("a.json", '[\n {"text": "a"}\n {"text": "b"}]', 3, "not JSON"),
        ("a.json", '[\n {"text": "a"}]\n{"text": "b"}', 3, "not JSON"),
        ("a.json", '[\n {"text": "a"}', 2, "not JSON"),
        ("a.json", "[" * 100_000, 1, "too deeply nested"),
        ("a.jsonl", '{"text": "a"}\n{"id": ' + "9" * 5000 + ', "text": "b"}', 2, "not JSON"),
        ("a.xml", "<topics>\n<topic number='1'><title>a</title></topic>\n<topic number='2'> </topic>", 3, "neither"),
        ("a.xml", "<!-- one\ntwo -->\n<top>\n<narr> words\n</top>", 3, "neither"),
        ("a.xml", "<top><title>a</top>\n<top>\n<!-- <title>b</top>", 3, "never ends"),
        ("a.txt", "cats\n" + "word " * 1001, 2, "This query has 1,001 words"),
        ("a.csv", "query,need\ncats,pets\ndogs," + "word " * 1001, 3, "This information need has 1,001 words"),
        ("a.csv", "query,instruction\ncats,pets\ndogs," + "word " * 1001, 3, "This instruction has 1,001 words"),
        ("a.txt", b"cats\r\ndogs\r\nK\xe4se\r\n", 3, "not UTF-8"),
        ("a.csv", b"query\rdogs\rK\xe4se\r", 3, "not UTF-8"),
    ],
)
def test_read_queries_names_the_line_of_a_problem(file_name: str, content: str | bytes, line: int, what: str) -> None:
    message = complaint(file_name, content)
    assert message.startswith(f"{file_name}, line {line}: ")
    assert what in message


@pytest.mark.parametrize(
    ("file_name", "content", "what"),
    [
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", b"\xef\xbb\xbf \n\t\n", "a.csv is empty"),
        ("a.csv", b"id,query\n,\n", "a.csv has no query in it"),
        ("a.json", b"[ ]", "a.json has no query in it"),
        ("a.xlsx", b"PK\x03\x04abc", "not a text file"),
        ("a.txt", b"cats\0dogs", "not a text file"),
        ("a.pdf", b"%PDF-1.7\n", "not a text file"),
        ("a.csv", "query\ncats".encode("utf-16"), "UTF-16"),
        ("a.csv", b"id,body,need\n1,cats,x\n", "no column with the queries. Found: id, body, need."),
        ("a.csv", b"query,Query\ncats,dogs\n", "more than one column named query"),
        ("a.xml", b"<topics></topics>", "no <top> or <topic>"),
        ("a.html", b"<!DOCTYPE html>\n<html><title>x</title></html>", "no <top> or <topic>"),
        ("a.txt", b"x" * (MAX_BYTES + 1), "5.0 MB"),
    ],
)
def test_read_queries_says_what_is_wrong_with_a_file(file_name: str, content: bytes, what: str) -> None:
    message = complaint(file_name, content)
    assert what in message
    assert file_name in message


def test_read_queries_names_ten_problems_and_counts_the_rest() -> None:
    rows = ["1,cats", *(f"{number}," for number in range(2, 14)), "1,dogs"]
    lines = complaint("folder/a.csv", "\n".join(["id,query", *rows])).split("\n")
    assert lines[0] == "a.csv has 13 problems, so nothing was read from it."
    assert lines[1:11] == [f"Line {line}: the text of the query is empty." for line in range(3, 13)]
    assert lines[11:] == ["And 3 more."]


def test_read_queries_names_every_problem_when_there_are_few() -> None:
    message = complaint("a.jsonl", '{"id": "1", "text": "a"}\n{"id": "1", "text": "b"}\n[]\n')
    assert message.split("\n") == [
        "a.jsonl has 2 problems, so nothing was read from it.",
        "Line 2: the id '1' was used in line 1 for another query.",
        'Line 3: expected an object such as {"id": "1", "query": "what is asked"}.',
    ]


def test_read_queries_counts_queries_without_their_repeats() -> None:
    content = "\n".join(["again", *(f"query {number}" for number in range(MAX_QUERIES - 1)), "again"])
    assert len(read_queries("a.txt", content.encode())) == MAX_QUERIES == 5000
    message = complaint("a.txt", content + "\none more\nand one more\n")
    assert message == "a.txt, line 5002: there are more than 5,000 queries. Split the file."


def test_read_queries_takes_a_text_of_a_thousand_words() -> None:
    assert read_queries("a.txt", ("word " * 1000).encode())[0].text.count("word") == 1000


@pytest.mark.parametrize(
    ("file_name", "piece"),
    [
        ("a.xml", "<top><title>a"),
        ("a.xml", "<!--"),
        ("a.xml", "<title>"),
        ("a.xml", "<title "),
        ("a.txt", " "),
        ("a.txt", "again\n"),
        ("a.csv", 'x"'),
        ("a.json", "[{"),
    ],
)
def test_read_queries_answers_soon_whatever_it_is_given(file_name: str, piece: str) -> None:
    start = "<top><title>" if file_name == "a.xml" else "x\n"
    content = start + piece * (1_000_000 // len(piece))
    started = time.process_time()
    with contextlib.suppress(CollectionFileError):
        read_queries(file_name, content.encode())
    assert time.process_time() - started < 60  # what grows with the square takes many minutes
