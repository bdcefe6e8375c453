"""Judgments of any file: the same grades from every layout, and whatever was decided is said."""

import tempfile
from pathlib import Path

import pandas
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from era.errors import FormatError
from era.evaluation.measures import evaluate
from era.io.judgments import (
    Judgment,
    QrelsRead,
    checked_qrels,
    judgments_of_rows,
    of_known_documents,
    read_qrels,
)
from era.io.opening import open_source
from era.io.rows import PlacedRow
from era.io.runs import read_run
from era.io.writing import collection_folder, csv_text, trec_qrels
from era.types import Query
from tests.era.io.writing_files import write


def read(name: str, content: str, queries: list[Query] | None = None) -> QrelsRead:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sent")
        path.write_bytes(content.encode())
        return read_qrels(path, queries, name)


def complaint(name: str, content: str, queries: list[Query] | None = None) -> str:
    with pytest.raises(FormatError) as error:
        read(name, content, queries)
    return str(error.value)


EXPECTED = {"q1": {"d%41": 1.0, "d2": 0.0}, "q2": {"d2": 0.5}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "q1 0 d%41 1\nq1 0 d2 0\nq2 0 d2 .5\n"),
        ("a.qrels", "\n q1\tQ0  d%41\t1 \r\n\r\nq1 Q0\td2\t0\nq2\t0\td2\t0.5e0"),
        ("a.tsv", "query-id\tcorpus-id\tscore\nq1\td%41\t1\nq1\td2\t0\nq2\td2\t0.5\n"),
        ("a.txt", "query-id corpus-id score\nq1 d%41 1\nq1 d2 0\nq2 d2 0.5\n"),
        ("a.tsv", "q1\td%41\t1\nq1 \t d2\t0\nq2\td2\t0.5\n"),
        ("a.csv", "query_id,doc_id,relevance\r\nq1,d%41,1.0\r\nq1,d2,0\r\nq2, d2 ,0.5\r\n"),
        ("a.csv", "q1,d%41,1\nq1,d2,0\nq2,d2,0.5\n"),
        ("a.csv", "q1,0,d%41,1\nq1,0,d2,0\nq2,0,d2,0.5\n"),
        ("a.csv", "annotator;grade;Doc ID;QueryID\nann;1;d%41;q1\nann;0;d2;q1\nbob;0.5;d2;q2\n"),
        ("a.txt", "iteration\tgrade\tdocno\tqid\n0\t1\td%41\tq1\n0\t0\td2\tq1\n0\t0.5\td2\tq2\n"),
        ("a.jsonl", '{"qid": "q1", "doc_id": "d%41", "score": 1}\n{"score": 0, "doc_id": "d2", "qid": "q1"}\n'
         '{"topic": "q2", "docid": "d2", "rating": "0.5"}\n'),
        ("a.json", '{"q1": {"d%41": 1, "d2": 0}, "q2": {"d2": 0.5}}'),
        ("a.txt", '[{"qid": "q1", "doc_id": "d%41", "rel": 1},\n {"qid": "q1", "doc_id": "d2", "rel": 0},\n'
         ' {"qid": "q2", "doc_id": "d2", "rel": 0.5}]'),
    ],
)  # fmt: skip
def test_judgments_are_read_from_any_layout(name: str, content: str) -> None:
    assert read(name, content).qrels == EXPECTED


@pytest.mark.parametrize("ending", ["xlsx", "parquet"])
def test_judgments_are_read_from_spreadsheets_and_parquet(tmp_path: Path, ending: str) -> None:
    rows = [(0.5, "q2", "d2", "ann"), (1, "q1", "d%41", "ann"), (0, "q1", "d2", "bob"), (None, "q1", "d9", "bob")]
    table = pandas.DataFrame(rows, columns=["grade", "query_id", "doc_id", "annotator"])
    path = tmp_path / f"judged.{ending}"
    table.to_excel(path, index=False) if ending == "xlsx" else table.to_parquet(path)
    found = read_qrels(path)
    assert found.qrels == EXPECTED
    assert f"Of judged.{ending}, these columns are not read: annotator." in found.remarks
    assert any(remark.startswith("1 row without a grade was left out") for remark in found.remarks)


def test_columns_are_told_by_their_names_and_others_are_said_not_to_be_read() -> None:
    found = read("anno.csv", "query_id,doc_id,annotator,grade\nq1,d2,ann,1\nq2,d2,bob,2\n")
    assert found.qrels == {"q1": {"d2": 1.0}, "q2": {"d2": 2.0}}
    assert found.remarks == ("Of anno.csv, these columns are not read: annotator.",)


def test_white_space_of_any_kind_divides_the_lines_of_a_whole_file() -> None:
    assert read("a.txt", "q1 0\td1\t1\nq2 0\td2\t1\n").qrels == {"q1": {"d1": 1.0}, "q2": {"d2": 1.0}}
    assert read("a.txt", "q1\t0 d1\t1\nq2 0 d2\t1\n").qrels == {"q1": {"d1": 1.0}, "q2": {"d2": 1.0}}
    # in a file divided by tabs, blanks belong to the ids
    assert read("a.tsv", "q1\ta b\t1\nq 2\tc\t0\n").qrels == {"q1": {"a b": 1.0}, "q 2": {"c": 0.0}}
    assert read("a.tsv", "q1\t1 b\t1\nq2\t0 c\t0\n").qrels == {"q1": {"1 b": 1.0}, "q2": {"0 c": 0.0}}


def test_ids_that_look_like_formulas_or_numbers_stay_as_they_are() -> None:
    ids = ["-abc", "@me", "=1+1", "'-x", "''=1", "a b", "a/b", "日本", "007", "7", "7.0", '"x"', "NaN"]
    content = "".join(f"q1\t{doc_id}\t1\n" for doc_id in ids)
    assert list(read("ids.tsv", content).qrels["q1"]) == ids


def test_two_grades_of_one_pair_are_said_wherever_they_are_read(tmp_path: Path) -> None:
    content = "q1 0 d2 1\nq1 0 d2 0\nq1 0 d2 0\nq2 0 d2 1\n"
    found = read("dup.txt", content)
    assert found.qrels == {"q1": {"d2": 0.0}, "q2": {"d2": 1.0}}
    remark = (
        "1 judgment contradicts an earlier one of the same query and document; the last holds. "
        "q1, d2: 1 (dup.txt, line 1), then 0 (dup.txt, line 2)."
    )
    assert found.remarks == (remark,)
    write(tmp_path / "corpus.jsonl", '{"id": "d2", "text": "a"}\n')
    write(tmp_path / "queries.jsonl", '{"id": "q1", "text": "a"}\n{"id": "q2", "text": "b"}\n')
    write(tmp_path / "qrels.txt", content)
    source = open_source(tmp_path)
    assert source.qrels() == found.qrels
    assert remark.replace("dup.txt", "qrels.txt") in source.remarks


@pytest.mark.parametrize("grade", [-1, -2, -3])
def test_grades_below_0_are_unjudged_as_trec_eval_has_it(tmp_path: Path, grade: int) -> None:
    qrels, run = f"q1 0 a 1\nq1 0 b {grade}\n", "q1 Q0 b 1 2 t\nq1 Q0 a 2 1 t\n"
    found = read("bp_q.txt", qrels)
    assert found.qrels == {"q1": {"a": 1.0}}
    assert found.remarks == (
        "1 grade below 0 was left out: such documents are unjudged, as trec_eval has it. "
        f"{grade} for q1, b (bp_q.txt, line 2).",
    )
    evaluator = pytrec_eval.RelevanceEvaluator({"q1": {"a": 1, "b": grade}}, {"bpref", "infAP", "ndcg_cut_10"})
    expected = evaluator.evaluate({"q1": {"b": 2.0, "a": 1.0}})["q1"]
    values = evaluate(found.qrels, read_run(write(tmp_path / "r", run)).run, ("Bpref", "nDCG@10", "Judged@2"))
    assert values["Bpref"]["q1"] == expected["bpref"] == 1.0
    assert values["nDCG@10"]["q1"] == pytest.approx(expected["ndcg_cut_10"])
    assert values["Judged@2"]["q1"] == 0.5


QUERIES = [Query("1", "cat  feeding", "owner"), Query("2", "dogs", "owner"), Query("3", "dogs", "vet"), Query("4", "2")]


def test_queries_may_be_named_by_their_text_and_ambiguity_is_told() -> None:
    content = "query,docid,rating\ncat feeding,d1,3.0\ndogs,d1,1\n2,d1,1\nwhales,d1,1\n"
    found = read("text.csv", content, QUERIES)
    assert found.qrels == {"1": {"d1": 3.0}, "2": {"d1": 1.0}}  # an id goes before a text
    assert found.remarks == (
        "1 judgment names the query by its text, not its id.",
        "1 judgment was left out, since several queries have the text: 'dogs' is that of 2, 3.",
        "1 judgment of a query that is not there was left out: whales.",
    )
    with_instruction = "query,instruction,docid,rating\ndogs,vet,d1,1\n"
    assert read("text.csv", with_instruction, QUERIES).qrels == {"3": {"d1": 1.0}}
    assert read("text.tsv", "cat feeding\td1\t2\n", QUERIES).qrels == {"1": {"d1": 2.0}}
    assert read("own.csv", "query id,query,document id,grade\ntext-ab,cat feeding,d1,2\n", QUERIES).qrels == {
        "1": {"d1": 2.0}
    }


def test_nothing_that_fits_is_refused() -> None:
    message = complaint("a.txt", "9 0 d1 1\n", QUERIES)
    assert message.startswith("a.txt: there is no judgment in it that can be used. 1 judgment of a query that is not")
    assert "no judgment" in complaint("a.txt", "")


def test_judgments_of_unknown_documents_are_left_out_and_said() -> None:
    remarks: list[str] = []
    assert of_known_documents({"q": {"a": 1.0, "b": 0.0}, "r": {"b": 1.0}}, {"a"}, remarks) == {"q": {"a": 1.0}}
    assert remarks == ["2 judgments of documents that are not there were left out: b."]


def test_grades_above_the_scale_are_kept_and_said() -> None:
    found = read("a.txt", "q 0 d 12\n")
    assert found.qrels == {"q": {"d": 12.0}}
    assert found.remarks == ("1 grade is above 10, where the scale of the app ends. 12 for q, d (a.txt, line 1).",)


def test_a_list_of_pairs_counts_as_relevant_and_says_so() -> None:
    found = read("a.csv", "query_id,doc_id\nq1,d1\n")
    assert found.qrels == {"q1": {"d1": 1.0}}
    assert found.remarks == (
        "a.csv has no column of grades, so every document in it counts as relevant, with grade 1.",
    )


@pytest.mark.parametrize(
    ("name", "content", "place", "what"),
    [
        ("a.txt", "q1 0 d1 1\nq1 0 d2 much\n", 'a.txt, line 2, column "relevance"', "'much' is not a number"),
        ("a.txt", "q1 0 d1 1\nq1 0 d2 nan\n", "a.txt, line 2", "'nan' is not a number"),
        ("a.txt", "q1 0 d1 1\nq1 0 d2 1e999\n", "a.txt, line 2", "is not a number"),
        ("a.txt", "q1 0 d1 1\nq1 0 d2 1_0\n", "a.txt, line 2", "'1_0' is not a number"),
        ("a.txt", "q1 0 d1 1\nq1 0 d2 ١\n", "a.txt, line 2", "is not a number"),
        ("a.csv", "query_id;doc_id;grade\nq;d;0,5\n", 'a.csv, line 2, column "grade"', "Write decimals with a point."),
        (
            "a.jsonl",
            '{"qid": "q", "docid": "d", "rel": true}',
            'a.jsonl, line 1, column "rel"',
            "'True' is not a number",
        ),
        ("a.jsonl", '{"qid": "q", "docid": "d", "rel": {}}', "a.jsonl, line 1", "is not a number"),
        ("a.json", '{"q1": {"d1": "good"}}', "a.json, line 1", "'good' is not a number"),
        ("a.txt", "q1 0 d1 1\nq1 d2\n", "a.txt, line 2", "expected query id, document id and relevance"),
        ("a.txt", "q1 Q0 d1 1 0.5 tag\n", "a.txt, line 1", "this is a place of a ranking"),
        ("a.csv", "q1,d2,ann,1\n", "a.csv, line 1", "the second is 0 in TREC qrels, not 'd2'"),
        ("a.csv", "query_id,doc_id,bewertung\nq1,d2,1\n", "a.csv, line 2", "Found: query_id, doc_id, bewertung."),
        ("a.csv", "query_id,doc_id,rank,score\nq1,d2,1,0.5\n", "a.csv, line 2", "these are rankings"),
        ("a.tsv", "query-id\tcorpus-id\tscore\nq1\t\t1\n", 'a.tsv, line 2, column "corpus-id"', "expected an id"),
        ("a.tsv", "q1\t \t1\n", "a.tsv, line 1", "expected query id"),
        ("a.jsonl", '{"qid": null, "docid": "d", "rel": 1}', "a.jsonl, line 1", "the query is missing"),
    ],
)
def test_what_cannot_be_meant_is_named_by_its_place(name: str, content: str, place: str, what: str) -> None:
    message = complaint(name, content)
    assert message.startswith(place)
    assert what in message


def test_queries_that_are_not_there_do_not_stop_a_collection(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl", '{"_id": "d1", "text": "a"}\n')
    write(tmp_path / "queries.jsonl", '{"_id": "q1", "text": "one"}\n')
    write(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\nq9\td1\t1\nq9\td2\t1\n")
    source = open_source(tmp_path)
    assert source.qrels() == {"q1": {"d1": 1.0}}
    assert "2 judgments of queries that are not there were left out: q9." in source.remarks


def test_rows_of_any_origin_are_read_like_those_of_files() -> None:
    remarks: list[str] = []
    rows: list[PlacedRow] = [
        (1, {"query_id": 7, "doc_id": " d ", "grade": 2, "by": "ann"}),
        (2, {"r": {"d": 1}, "s": {"e": 0}}),
    ]
    found = checked_qrels(judgments_of_rows(rows, "qrels", "row", remarks), None, remarks)
    assert found == {"7": {"d": 2.0}, "r": {"d": 1.0}, "s": {"e": 0.0}}
    assert remarks == ["Of qrels, these columns are not read: by."]


ANY_IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8) | st.sampled_from(
    [
        "-abc",
        "=1",
        "'-x",
        "''",
        '"',
        "0 d1",
        "Q0 x",
        "%",
        "%41",
        "{",
        '["',
        "query",
        "doc,topic",
        "a b",
        "\u00a0",
        "\ufeff",
    ]
)
IDS = ANY_IDS.map(lambda name: name.replace("\0", "").strip()).filter(bool)
GRADES = st.floats(0, 10, allow_nan=False) | st.integers(0, 10).map(float)


def any_qrels(ids: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, dict[str, float]]]:
    return st.dictionaries(ids, st.dictionaries(ids, GRADES, min_size=1, max_size=4), min_size=1, max_size=4)


@settings(deadline=None, max_examples=200)
@given(qrels=any_qrels(ANY_IDS))
def test_qrels_come_back_with_any_ids(qrels: dict[str, dict[str, float]]) -> None:
    for name in ("a.qrels", "a.txt", "a", "a.tsv"):
        assert read(name, trec_qrels(qrels)) == QrelsRead(qrels, ())


@settings(deadline=None, max_examples=100)
@given(qrels=any_qrels(IDS))
def test_qrels_of_a_collection_folder_come_back(
    tmp_path_factory: pytest.TempPathFactory, qrels: dict[str, dict[str, float]]
) -> None:
    folder = tmp_path_factory.mktemp("written")
    collection_folder(folder, [], [], qrels)
    assert read_qrels(folder / "qrels.tsv") == QrelsRead(qrels, ())


@settings(deadline=None, max_examples=100)
@given(qrels=any_qrels(IDS))
def test_qrels_in_tables_come_back(qrels: dict[str, dict[str, float]]) -> None:
    rows = [(query_id, doc_id, grade) for query_id, judged in qrels.items() for doc_id, grade in judged.items()]
    assert read("a.csv", csv_text(("query_id", "doc_id", "grade"), rows)).qrels == qrels


def test_a_judgment_names_what_a_file_says_of_its_query() -> None:
    [found] = judgments_of_rows([(3, {"query": "cat", "docno": "d", "label": "2"})], "x", "row", [])
    assert (found.query_id, found.text, found.doc_id, found.grade) == ("cat", "cat", "d", 2.0)
    assert isinstance(found, Judgment)
    assert str(found.place) == "x, row 3"
