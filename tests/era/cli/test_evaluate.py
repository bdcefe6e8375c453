"""`evaluate` and `export`: measures worked out by hand, rankings that owe nothing to their labels, other formats."""

import csv
import hashlib
import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest

from era.adapter import light_only
from tests.worlds.command_line import CommandLine, write_animals


@pytest.fixture
def era(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    return CommandLine(capsys, monkeypatch, tmp_path)


@pytest.fixture
def judged(tmp_path: Path) -> None:
    """Write judgments of three queries; one ranking finds each at the top, the other one place lower or not at all."""
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\nq1 0 d2 0\nq2 0 d3 2\nq3 0 d4 1\nq4 0 d1 0\n")
    (tmp_path / "good.run").write_text("q1 Q0 d1 1 9 a\nq2 Q0 d3 1 9 a\nq2 Q0 d1 2 8 a\nq3 Q0 d4 1 7 a\n")
    (tmp_path / "bad.run").write_text("q1 Q0 d2 1 9 b\nq1 Q0 d1 2 8 b\nq2 Q0 d3 1 9 b\nq4 Q0 d1 1 9 b\n")


@pytest.mark.usefixtures("judged")
def test_a_run_is_measured_on_what_it_ranks(era: CommandLine) -> None:
    answer = era("evaluate", "bad.run", "--qrels", "qrels.txt", "--measures", "nDCG@10, RR", "--json")
    assert answer.values["n_queries"] == 2
    assert answer.values["means"]["system"] == {
        "nDCG@10": pytest.approx((1 / math.log2(3) + 1) / 2),
        "RR": pytest.approx(0.75),
    }
    assert "1 of 3 judged queries are not ranked and left out" in answer.err


@pytest.mark.usefixtures("judged")
def test_a_query_without_a_ranking_counts_as_0_if_asked_for(era: CommandLine) -> None:
    found = era.do("evaluate", "bad.run", "--qrels", "qrels.txt", "--measures", "RR", "--complete", "--per-query")
    assert found["n_queries"] == 3
    assert found["means"]["system"]["RR"] == pytest.approx(0.5)
    assert found["queries"]["system"]["RR"] == {"q1": 0.5, "q2": 1.0, "q3": 0.0}


@pytest.mark.usefixtures("judged")
def test_two_runs_are_compared_query_by_query(era: CommandLine) -> None:
    words = ["evaluate", "good.run", "--baseline", "bad.run", "--qrels", "qrels.txt", "--measures", "RR"]
    change = era.do(*words)["differences"]["RR"]
    assert (change["before"], change["after"], change["difference"]) == (0.75, 1.0, 0.25)
    assert (change["n_better"], change["n_same"], change["n_worse"]) == (1, 1, 0)
    lines = era(*words, "--per-query").out.splitlines()
    assert lines[0] == "2 queries, good.run against bad.run"
    assert lines[1].startswith("RR            1.0000  was 0.7500  +0.2500 [too few queries]  p")
    assert lines[3:] == ["q1\t1.0000\t0.5000", "q2\t1.0000\t1.0000"]


@pytest.mark.usefixtures("judged")
def test_differences_are_those_of_the_figures_beside_them_with_a_true_minus(era: CommandLine) -> None:
    words = ["evaluate", "bad.run", "--baseline", "good.run", "--qrels", "qrels.txt", "--measures", "RR, R@2"]
    lines = era(*words).out.splitlines()
    assert lines[1:] == [
        "RR            0.7500  was 1.0000  −0.2500 [too few queries]  p = 1.000  0 better, 1 same, 1 worse",
        "R@2           1.0000  was 1.0000  no difference [too few queries]  0 better, 2 same, 0 worse",
    ]


def test_the_first_measure_is_tested_and_near_copies_count_once(era: CommandLine, tmp_path: Path) -> None:
    """Six queries, of which the first three have the same answer."""
    answers = {f"q{i}": f"d{max(i, 2)}" for i in range(6)}
    (tmp_path / "qrels.txt").write_text("".join(f"{q} 0 {d} 1\n" for q, d in answers.items()))
    (tmp_path / "good.run").write_text("".join(f"{q} Q0 {d} 1 9 a\n" for q, d in answers.items()))
    (tmp_path / "bad.run").write_text("".join(f"{q} Q0 other 1 9 b\n{q} Q0 {d} 2 8 b\n" for q, d in answers.items()))
    words = ["evaluate", "good.run", "--baseline", "bad.run", "--qrels", "qrels.txt", "--measures", "Judged@1, RR, R@1"]
    found = era.do(*words)["differences"]
    assert {name: (each["n_groups"], each.get("p_value")) for name, each in found.items()} == {
        "Judged@1": (4, None), "RR": (4, pytest.approx(2 / 16)), "R@1": (4, None),
    }  # fmt: skip
    lines = era(*words).out.splitlines()
    assert lines[1] == "Near-copies of a query count once, so they count as 4."
    assert ["p = " in line for line in lines[2:]] == [False, True, False]


@pytest.mark.usefixtures("judged")
def test_the_threshold_decides_what_is_relevant(era: CommandLine) -> None:
    found = era.do("evaluate", "good.run", "--qrels", "qrels.txt", "--measures", "RR", "--threshold", 2, "--per-query")
    assert found["queries"]["system"]["RR"] == {"q2": 1.0}


@pytest.mark.usefixtures("judged")
def test_what_cannot_be_measured_is_said(era: CommandLine, tmp_path: Path) -> None:
    assert "no measure 'fun'" in era.fail("evaluate", "good.run", "--qrels", "qrels.txt", "--measures", "fun")
    assert "needs --index" in era.fail("evaluate", "light", "--qrels", "qrels.txt")
    (tmp_path / "other.txt").write_text("x1 0 d1 1\n")
    assert "nothing to measure" in era.fail("evaluate", "good.run", "--qrels", "other.txt")


def test_what_fits_nothing_is_refused_and_what_fits_in_part_is_said(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "a.run").write_text("q1 Q0 d1 1 9 a\nq2 Q0 d2 1 9 a\nq3 Q0 d2 1 9 a\n")
    (tmp_path / "anno.csv").write_text("query_id,doc_id,annotator,grade\nq1,d1,ann,1\nq2,d8,ann,1\n")
    answer = era("evaluate", "a.run", "--qrels", "anno.csv", "--measures", "RR", "--json")
    assert answer.values["means"]["system"]["RR"] == 0.5
    assert answer.values["remarks"] == [
        "Of anno.csv, these columns are not read: annotator.",
        "Of 1 query no ranked document is judged, which counts as 0: q2.",
        "1 ranked query is not judged and left out: q3.",
    ]
    assert all(remark in answer.err for remark in answer.values["remarks"])
    (tmp_path / "elsewhere.txt").write_text("q1 0 ann 1\nq2 0 ann 1\n")
    message = era.fail("evaluate", "a.run", "--qrels", "elsewhere.txt")
    assert "None of the ranked documents is judged" in message
    assert "the judgments name 'ann', the rankings 'd1'" in message


def test_every_command_says_how_judgments_and_queries_were_read(era: CommandLine, tmp_path: Path) -> None:
    write_animals(tmp_path / "animals")
    era.do("index", "animals", "animals.index")
    (tmp_path / "asked.txt").write_text("cat\ndog\n")
    (tmp_path / "rated.csv").write_text(
        "query,docid,rating\ncat,cat-feeding,1\ndog,dog-illness,1\nyak,x,1\ndog,gone,1\n"
    )
    words = ["--index", "animals.index", "--queries", "asked.txt", "--qrels", "rated.csv", "--measures", "R@2"]
    evaluated = era("evaluate", "light", *words, "--json")
    assert evaluated.values["n_queries"] == 2
    expected = [
        "The queries have no ids, so they are numbered from 1.",
        "3 judgments name the query by its text, not its id.",
        "1 judgment of a query that is not there was left out: yak.",
        "1 judgment of a document that is not there was left out: gone.",
    ]
    assert evaluated.values["remarks"] == expected
    adapted = era("adapt", "animals.index", "made", "--queries", "asked.txt", "--qrels", "rated.csv", "--json")
    assert adapted.values["remarks"] == expected
    exported = era("export", "qrels", "rated.csv", "again.jsonl", "--to", "jsonl", "--json")
    assert exported.values["remarks"] == []
    assert era.fail("adapt", "animals.index", "other", "--queries", "asked.txt", "--qrels", "animals/qrels.tsv")


def write_adapter(folder: Path, text: str, instruction: str, is_named: bool) -> None:
    """Save the light model as an adapter that learned from one query, held out with the vector of a moth's illness."""
    vector = np.zeros((1, 11), np.float32)
    vector[0, [7, 9]] = np.sqrt(0.5)
    digest = hashlib.sha256(json.dumps([text, instruction]).encode()).hexdigest()
    adapter = light_only(11)
    about = {"query_ids": ["5"], **({"query_hashes": {"5": digest}} if is_named else {})}
    adapter = type(adapter)(adapter.views, adapter.weight, adapter.bias, about)
    adapter.save(folder, {"held_out": vector})


def test_queries_learned_from_are_ranked_by_what_never_saw_them(era: CommandLine, tmp_path: Path) -> None:
    write_animals(tmp_path / "animals")
    era.do("index", "animals", "animals.index")
    write_adapter(tmp_path / "made", "trout", "owner", is_named=True)
    (tmp_path / "qrels.txt").write_text("trout-owner 0 trout-feeding 1\ntrout-vet 0 trout-illness 1\n")
    words = ["evaluate", "made", "--index", "animals.index", "--qrels", "qrels.txt", "--measures", "R@2", "--per-query"]
    answer = era(*words, "--json")
    assert answer.values["queries"]["system"]["R@2"] == {"trout-owner": 0.0, "trout-vet": 1.0}
    assert "made learned from 1 of these queries; they are ranked by adapters that never saw" in answer.err
    in_sample = era(*words, "--json", "--in-sample")
    assert in_sample.values["queries"]["system"]["R@2"] == {"trout-owner": 1.0, "trout-vet": 1.0}
    assert "in sample" in in_sample.err
    searched = ["search", "animals.index", "--queries", "animals", "--with", "made", "-k", 1]
    assert era.do(*searched, "--held-out")["trout-owner"][0]["doc_id"] == "moth-illness"
    flattering = era(*searched, "--json")
    assert flattering.values["trout-owner"][0]["doc_id"].startswith("trout")
    assert "made learned from 1 of these queries" in flattering.err


def test_an_adapter_that_does_not_name_its_queries_is_said_to_be_unclear(era: CommandLine, tmp_path: Path) -> None:
    write_animals(tmp_path / "animals")
    era.do("index", "animals", "animals.index")
    write_adapter(tmp_path / "made", "trout", "owner", is_named=False)
    answer = era("evaluate", "made", "--index", "animals.index", "--measures", "R@2", "--json")
    assert "made does not say which queries it learned from" in answer.err


def test_an_adapter_of_the_app_is_read_as_it_was_packed(era: CommandLine, tmp_path: Path) -> None:
    write_animals(tmp_path / "animals")
    era.do("index", "animals", "animals.index")
    write_adapter(tmp_path / "made", "trout", "owner", is_named=False)
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        for name in ("adapter.safetensors", "adapter.json"):
            archive.write(tmp_path / "made" / name, name)
        archive.writestr("run.json", json.dumps({"queries": {"5": {"text": "trout", "instruction": "owner"}}}))
        archive.writestr("../escaped.json", "{}")
    searched = ["search", "animals.index", "--queries", "animals", "--with", "run.zip", "-k", 1, "--held-out"]
    assert era.do(*searched)["trout-owner"][0]["doc_id"] == "moth-illness"
    assert not (tmp_path.parent / "escaped.json").exists()


def test_judgments_and_runs_are_written_for_other_tools(era: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "qrels.tsv").write_text("q1\td1\t1\nq1\td2\t0.5\n=q\td3\t2\n")
    assert era("export", "qrels", "qrels.tsv").out == "q1 0 d1 1\nq1 0 d2 0.5\n=q 0 d3 2\n"
    rows = list(csv.reader(io.StringIO(era("export", "qrels", "qrels.tsv", "--to", "csv").out.lstrip("\ufeff"))))
    assert rows[0] == ["query_id", "doc_id", "grade"]
    assert rows[-1][0] == "'\u2060=q"  # no formula for a spreadsheet
    assert era.do("export", "qrels", "qrels.tsv", "out.jsonl", "--to", "jsonl")["lines"] == 3
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first == {"query_id": "q1", "doc_id": "d1", "grade": 1.0}
    (tmp_path / "a.run").write_text("q1 Q0 d2 1 0.5 x\nq1 Q0 d1 2 0.25 x\n")
    assert era("export", "run", "a.run", "--tag", "mine").out == "q1 Q0 d2 1 0.5 mine\nq1 Q0 d1 2 0.25 mine\n"
    jsonl = era("export", "run", "a.run", "--to", "jsonl").out.splitlines()
    assert json.loads(jsonl[1]) == {"query_id": "q1", "doc_id": "d1", "rank": 2, "score": 0.25}


def test_a_model_needs_its_index_and_a_recipe_that_is_one_map(era: CommandLine, tmp_path: Path) -> None:
    write_animals(tmp_path / "animals")
    era.do("index", "animals", "animals.index")
    era.do("adapt", "animals.index", "made")
    assert "--index INDEX TARGET" in era.fail("export", "model", "made", "encoder")
    assert "era-single" in era.fail("export", "model", "made", "encoder", "--index", "animals.index")
    assert not (tmp_path / "encoder").exists()
