"""Queries of any file: what is read from each format, and how every problem is named by its line."""

import contextlib
import json
import re
import tempfile
import time
from pathlib import Path

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era.errors import FormatError
from era.io.content import SourceQuery
from era.io.opening import open_source
from era.io.queries import QueriesRead, checked_queries, queries_of_rows, read_queries, with_ids
from era.io.rows import PlacedRow
from era.io.writing import csv_text, queries_jsonl
from era.types import Query
from tests.era.io.writing_files import write


def query(text: str, query_id: str = "", instruction: str = "", need: str = "") -> SourceQuery:
    return SourceQuery(Query(query_id, text, instruction), need)


def read(file_name: str, content: str | bytes) -> QueriesRead:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sent")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_queries(path, file_name)


def queries(file_name: str, content: str | bytes) -> list[SourceQuery]:
    return [each for _, each in read(file_name, content).queries]


def texts_of(file_name: str, content: str) -> list[str]:
    return [each.query.text for each in queries(file_name, content)]


def complaint(file_name: str, content: str | bytes) -> str:
    with pytest.raises(FormatError) as error:
        read(file_name, content)
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
        "\n \nid,query,instruction,need\rq1,who purrs,find pets,Cats count.\rq2,who barks,,",
    ],
    ids=["commas", "semicolons", "tabs", "quoted with BOM and CRLF", "CR and blank lines"],
)
def test_read_queries_reads_tables_by_their_header(file_name: str, content: str) -> None:
    assert queries(file_name, content) == PETS


def test_read_queries_keeps_delimiters_quotes_and_line_breaks_of_quoted_cells() -> None:
    content = 'id,query,need\n1,"cats, ""big""\nones","a; b"\n2,the 5" disk,\n'
    assert queries("a.csv", content) == [
        query('cats, "big"\nones', "1", need="a; b"),
        query('the 5" disk', "2"),
    ]


def test_read_queries_joins_description_and_narrative_into_the_need() -> None:
    content = "query,narrative,description\ncats,All cats.,Pets.\n"
    assert queries("a.csv", content) == [query("cats", need="Pets.\n\nAll cats.")]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("who purrs\n\nwho barks\n", ["who purrs", "who barks"]),
        ('"cats, and dogs"\nwho barks', ["cats, and dogs", "who barks"]),
        ("query\nwho purrs\nwho barks", ["who purrs", "who barks"]),
    ],
)
def test_read_queries_takes_a_table_of_one_column_with_or_without_a_header(content: str, texts: list[str]) -> None:
    assert texts_of("a.csv", content) == texts


def test_read_queries_takes_back_what_was_written_for_a_spreadsheet() -> None:
    texts = ["=sum of what", "-v in grep", "＝ or =", "'quoted' words", "'=1"]
    content = csv_text(["query id", "query"], [(f"+{place}", text) for place, text in enumerate(texts)])
    assert queries("a.csv", content) == [query(text, f"+{place}") for place, text in enumerate(texts)]


@pytest.mark.parametrize("file_name", ["a.txt", "queries", ""])
def test_read_queries_takes_every_line_of_plain_text(file_name: str) -> None:
    content = '\ufeff  How, when; why? \n\n"quoted" words\r\nTitle, deed and mortgage law\nfive\u2028six\n< 5 years\n'
    assert texts_of(file_name, content) == [
        "How, when; why?",
        '"quoted" words',
        "Title, deed and mortgage law",
        "five\u2028six",
        "< 5 years",
    ]


def test_read_queries_does_not_take_a_sentence_for_a_header() -> None:
    content = "Title, deed and mortgage law\nnext, please\n"
    assert texts_of("a.txt", content) == content.splitlines()


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
    assert queries(file_name, content) == PETS


def test_read_queries_takes_whole_numbers_as_ids_and_replaces_half_characters() -> None:
    content = '{"id": 7, "text": "a\\ud800b\\u0007"}\n{"qid": 0, "question": "c"}'
    assert queries("a.jsonl", content) == [query("a\ufffdb\x07", "7"), query("c", "0")]


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
    assert queries(file_name, content) == TOPICS


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
  <topic><number>5</number><query>web</query><subtopic number="1">not <query>read</query></subtopic></topic>
  <topic><title>without a number</title></topic>
</topics>"""
    assert queries("topics.xml", content) == [
        query("corona origin", "1", need="what is its origin?\n\nseeking <title> &amp; such"),
        query('Aé "b"', "2", need="Some."),
        query("Only this.", "3", need="All."),
        query("A man of 45.", "4"),
        query("web", "5"),
        query("without a number"),
    ]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<title>the <i>big</i> cat &amp; the <b>dog</b></title>", "the big cat & the dog"),
        ("<title>CO<sub>2</sub> in<br/>sea water <foo a='1'>of</foo> today</title>", "CO2 in sea water of today"),
        ("<title>the <i>big</i> cat\n<desc>no", "the big cat"),
        ("<title>a <b and c> d <5 <me@x.org></title>", "a <b and c> d <5 <me@x.org>"),
        ("<title>AT&T &copy 1, &lt;i&gt; R&amp;D</title>", "AT&T &copy 1, <i> R&D"),
        ("<title>Query: what it is</title>", "Query: what it is"),
        ("<title>one\n<con>two\n<x>three", "one"),
        ("<title>one\n<unknown>two", "one"),
        ("<query>q</query><title>t</title>", "t"),
        ("<question>w?</question><query>q</query>", "q"),
    ],
)
def test_the_whole_title_of_a_topic_is_the_query(markup: str, text: str) -> None:
    [found] = queries("topics.xml", f"<top><num>7</num>{markup}</top>")
    assert (found.query.query_id, found.query.text) == ("7", text)


def test_read_queries_expands_no_entity_of_a_document_type() -> None:
    content = (
        '<!DOCTYPE topics [<!ENTITY a "boom"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>\n'
        '<topics><topic number="1"><title>x &b; &c; y</title></topic></topics>'
    )
    assert queries("topics.xml", content) == [query("x &b; &c; y", "1")]


def test_read_queries_counts_repeats_once_and_keeps_the_first_need() -> None:
    content = "id,query,need\n,cats,\n1,cats,\n1, cats ,All cats.\n,cats,Other.\n"
    found = read("a.csv", content)
    assert [each for _, each in found.queries] == [query("cats", "1", need="All cats.")]
    assert found.remarks == ("3 queries were there before, word for word, and counted once.",)


def test_read_queries_keeps_two_ids_of_one_text() -> None:
    found = queries("a.csv", "id,query,instruction\n1,cats,\n2,cats,\n3,cats,as pets\n")
    assert found == [query("cats", "1"), query("cats", "2"), query("cats", "3", "as pets")]


def test_ids_are_trimmed_in_every_layout() -> None:
    for name, content in {
        "a.csv": 'id,query\n" q1 ",cats\n',
        "a.tsv": " q1 \tcats\n",
        "a.jsonl": '{"id": " q1 ", "query": "cats"}\n',
        "a.xml": '<topic number=" q1 "><title>cats</title></topic>',
        "a.trec": "<top><num> Number: q1 <title> cats </top>",
    }.items():
        assert queries(name, content) == [query("cats", "q1")], name


def test_lines_of_id_and_text_need_no_header() -> None:
    content = "".join(f'{number}\twhat is "{number}", and why\n' for number in (3, 1, 2))
    for name in ("queries.tsv", "queries.txt", "topics"):
        found = read(name, content)
        assert [each.query.query_id for _, each in found.queries] == ["3", "1", "2"]
        assert found.queries[0][1].query.text == 'what is "3", and why'
        assert found.remarks == (
            f"{name} names no columns: what is before the tab is the id, what follows is the query.",
        )


def test_other_columns_are_said_not_to_be_read() -> None:
    found = read("a.csv", "query,question,title,difficulty,source\ncat,what is a cat?,,hard,\n")
    assert [each for _, each in found.queries] == [query("cat", need="what is a cat?")]
    assert found.remarks == ("Of a.csv, these columns were not read as part of the queries: difficulty.",)


def test_every_row_of_json_may_name_its_query_in_its_own_way() -> None:
    rows = [{"id": 1, "text": "a"}] * 60 + [{"id": 2, "query": "b", "title": "c", "need": "d"}]
    found = queries("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert found == [query("a", "1"), query("b", "2", need="c\n\nd")]


@pytest.mark.parametrize("ending", ["csv", "tsv", "xlsx", "parquet", "json", "jsonl"])
def test_a_table_gives_the_same_queries_in_every_format_and_from_every_entrance(tmp_path: Path, ending: str) -> None:
    table = pandas.DataFrame(
        {"Query ID": ["q1", "q2"], "question": ["who purrs", "who barks"], "need": ["Cats.", None]}
    )
    path = tmp_path / f"queries.{ending}"
    if ending == "xlsx":
        table.to_excel(path, index=False)
    elif ending == "parquet":
        table.to_parquet(path)
    elif ending.startswith("json"):
        table.to_json(path, orient="records", lines=ending == "jsonl")
    else:
        table.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    expected = [query("who purrs", "q1", need="Cats."), query("who barks", "q2")]
    assert [each for _, each in read_queries(path).queries] == expected
    assert open_source(path).queries() == expected
    write(tmp_path / "corpus.jsonl", '{"id": "d", "text": "a"}\n')
    assert open_source(tmp_path).queries() == expected


def test_plain_lines_and_lines_with_ids_are_queries_of_a_folder_as_well(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl", '{"id": "d", "text": "a"}\n')
    for name, content in {
        "queries.txt": "who purrs\nwho barks\n",
        "queries.tsv": "7\twho purrs\n8\twho barks\n",
    }.items():
        file = write(tmp_path / name, content)
        expected = with_ids([each for _, each in read_queries(file).queries], [])
        source = open_source(tmp_path)
        assert source.queries() == expected
        file.unlink()
        if name == "queries.txt":
            assert [each.query.query_id for each in expected] == ["1", "2"]
            assert "The queries have no ids, so they are numbered from 1." in source.remarks


def test_with_ids_numbers_what_has_none_and_takes_no_id_twice() -> None:
    remarks: list[str] = []
    found = with_ids([query("a"), query("b", "1"), query("c")], remarks)
    assert [each.query.query_id for each in found] == ["2", "1", "3"]
    assert remarks == ["2 of 3 queries have no id; these are numbered from 1."]


@pytest.mark.parametrize(
    ("file_name", "content", "line", "what"),
    [
        ("a.csv", "id,query\n1,cats, and dogs\n", 2, "3 cells, but the header has 2"),
        ("a.csv", 'id,query\n1,"two\nlines"\n2,"open\n3,dogs\n', 4, "quotation marks"),
        ("a.csv", "id,query\n1,cats\n1,dogs\n", 3, "'1' was used in line 2"),
        ("a.csv", "id,query,instruction\n1,cats,\n2,dogs,\n1,cats,pets\n", 4, "'1' was used in line 2"),
        ("a.csv", "nr,frage\n1,cats\n", 1, "2 columns have no names of which one is query or text. Found: nr, frage."),
        ("a.csv", "query,Query\ncats,dogs\n", 2, "more than one column is named query"),
        ("a.csv", "id,body,need\n1,cats,x\n", 1, "Found: id, body, need."),
        ("a.tsv", "cats; dogs, both\n301\tcrime\n302\tlaw\n", 1, "expected a query id, a tab and a text"),
        ("a.tsv", "1\tcrime\tx\n2\tlaw\ty\n", 1, "expected a query id, a tab and a text"),
        ("a.txt", "who purrs\nwho\tbarks\nwho sings\n", 2, "expected a query id, a tab and a text"),
        ("a.tsv", "nr\tfrage\n1\tcats\n2\tdogs\n", 1, "names of columns"),
        ("a.jsonl", '{"text": "a"}\n\n["b"]\n', 3, "expected an object"),
        ("a.jsonl", '{"text": "a"}\nnull\n', 2, "expected an object"),
        ("a.txt", '{"text": "a"}\n{"text": "b"\n', 2, "not JSON"),
        ("a.jsonl", "who purrs\n", 1, "not JSON"),
        ("a.jsonl", '{"text": "a"}\n{"id": "1", "body": "b"}\n', 2, "no column named query or text. Found: id, body."),
        ("a.jsonl", '{"text": "a"}\n{"text": {"x": 1}}\n', 2, 'column "text": expected a text'),
        ("a.jsonl", '{"text": "a"}\n{"id": true, "text": "b"}\n', 2, 'column "id": expected an id'),
        ("a.jsonl", '{"text": "a"}\n{"id": 1.5, "text": "b"}\n', 2, 'column "id": expected an id'),
        ("a.json", '[\n {"text": "a"},\n\n 5]', 4, "expected an object"),
        ("a.json", '[\n {"text": "a"}', 2, "does not end"),
        ("a.json", "[" * 100_000, 1, "too deeply nested"),
        ("a.xml", "<top><title>a</top>\n<top>\n<!-- <title>b</top>", 3, "never ends"),
    ],
)
def test_read_queries_names_the_line_of_a_problem(file_name: str, content: str, line: int, what: str) -> None:
    message = complaint(file_name, content)
    assert message.startswith(f"{file_name}, line {line}")
    assert what in message


@pytest.mark.parametrize(
    ("file_name", "content", "what"),
    [
        ("a.csv", b"", "there is no query in it"),
        ("a.csv", b"\xef\xbb\xbf \n\t\n", "there is no query in it"),
        ("a.csv", b"id,query\n1,\n2, \n", "2 queries without any text were left out: 1, 2."),
        ("a.json", b"[ ]", "there is no query in it"),
        ("a.txt", b"PK\x03\x04abc", "not a text file"),
        ("a.txt", b"cats and dogs and\0 so on", "not a text file"),
        ("a.pdf", b"%PDF-1.7\n", "not a text file"),
        ("a.xml", b"<topics></topics>", "no <top> or <topic>"),
        ("a.html", b"<!DOCTYPE html>\n<html><title>x</title></html>", "no <top> or <topic>"),
    ],
)
def test_read_queries_says_what_is_wrong_with_a_file(file_name: str, content: bytes, what: str) -> None:
    message = complaint(file_name, content)
    assert what in message
    assert file_name in message


def test_read_queries_leaves_out_what_says_nothing_and_reads_other_encodings() -> None:
    found = read("a.csv", "id,query\n1,Käse\n2,\n".encode("utf-16"))
    assert [each for _, each in found.queries] == [query("Käse", "1")]
    assert found.remarks == ("1 query without any text was left out: 2.",)
    found = read("a.txt", "Käse\r\nBäume\r\nwo sind die Hunde\r\n".encode("cp1252"))
    assert [each.query.text for _, each in found.queries][:2] == ["Käse", "Bäume"]
    assert "a.txt is not UTF-8" in found.remarks[0]


def test_read_queries_names_ten_problems_and_counts_the_rest() -> None:
    rows = ["1,cats", *(f"1,dogs {number}" for number in range(13))]
    lines = complaint("a.csv", "\n".join(["id,query", *rows])).split("\n")
    assert lines[0] == "a.csv: 13 problems, so nothing was read from it."
    assert lines[1:11] == [f"Line {n}: the id '1' was used in line 2 already, for another query." for n in range(3, 13)]
    assert lines[11:] == ["And 3 more."]


def test_read_queries_names_every_problem_when_there_are_few() -> None:
    message = complaint("a.jsonl", '{"id": "1", "text": "a"}\n{"id": "1", "text": "b"}\n{"id": [], "text": "c"}\n[]\n')
    assert message.split("\n") == [
        "a.jsonl: 3 problems, so nothing was read from it.",
        "Line 2: the id '1' was used in line 1 already, for another query.",
        'Line 3, column "id": expected an id that is a text or a whole number.',
        'Line 4: expected an object such as {"id": "1", "title": "A title", "text": "The text"}.',
    ]


def test_rows_of_any_origin_are_read_like_those_of_files() -> None:
    remarks: list[str] = []
    rows: list[PlacedRow] = [
        (1, {"qid": 7, "query": "who purrs", "x": 1}),
        (2, {"qid": "", "query": "who barks", "x": None}),
    ]
    found = checked_queries(queries_of_rows(rows, "queries", "row", remarks), remarks)
    assert [each for _, each in found] == [query("who purrs", "7"), query("who barks")]
    assert remarks == ["Of queries, these columns were not read as part of the queries: x."]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
IDS = TEXTS.map(str.strip).filter(bool)
QUERIES = st.lists(
    st.builds(
        SourceQuery, st.builds(Query, IDS, TEXTS.filter(str.strip), TEXTS), TEXTS.filter(lambda t: t == "" or t.strip())
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda each: each.query.query_id,
)


@settings(deadline=None, max_examples=60)
@given(asked=QUERIES)
def test_queries_that_are_written_come_back(asked: list[SourceQuery]) -> None:
    assert queries("q.jsonl", queries_jsonl(asked)) == asked
    rows = [(each.query.query_id, each.query.text, each.query.instruction, each.need) for each in asked]
    assert queries("q.csv", csv_text(("query_id", "query", "instruction", "need"), rows)) == asked


@pytest.mark.parametrize(
    ("file_name", "piece"),
    [
        ("a.xml", "<top><title>a"),
        ("a.xml", "<!--"),
        ("a.xml", "<title>"),
        ("a.xml", "<title "),
        ("a.xml", "<x>"),
        ("a.xml", "<x a=1"),
        ("a.xml", " a=1"),
        ("a.xml", "&amp"),
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
    with contextlib.suppress(FormatError):
        read(file_name, content)
    assert time.process_time() - started < 60  # what grows with the square takes many minutes
