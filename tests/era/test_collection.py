"""The front door: build, search, adapt and measure a collection, from files or from memory, over made-up encoders."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import era
from era import Collection, Document, Query, TrainedAdapter
from era.encoders.base import EmbedderPair
from era.errors import AdapterDamagedError, FormatError, IdentityMismatchError, IndexDamagedError
from era.progress import no_progress
from era.types import ScoredDoc
from tests.worlds.command_line import contents_of, write_animals
from tests.worlds.words import ANIMALS, TOPICS, WordEmbedder, light_embedder, word_pair

DOCUMENTS = [Document(f"{a}-{t}", a, t) for a in ANIMALS for t in TOPICS]
READS = (("owner", "feeding"), ("vet", "illness"))
QUERIES = [Query(f"{a}-{reader}", a, reader) for a in ANIMALS for reader, _ in READS]
QRELS = {f"{a}-{reader}": {f"{a}-{t}": int(t == topic) for t in TOPICS} for a in ANIMALS for reader, topic in READS}


def build(documents: Any, pair: EmbedderPair | None = None, folder: Path | None = None) -> Collection:
    return Collection.build(documents, pair or word_pair(), folder, progress=no_progress)


@pytest.fixture(scope="module")
def docs() -> Collection:
    return build(DOCUMENTS)


@pytest.fixture(scope="module")
def learned(docs: Collection) -> TrainedAdapter:
    return docs.fit(QUERIES, QRELS)


def ids(hits: list[era.collection.Hit]) -> list[str]:
    return [hit.doc_id for hit in hits]


def test_the_front_door_has_the_names_of_the_readme_and_loads_nothing_by_itself() -> None:
    names = {"Collection", "TrainedAdapter", "Document", "Query", "load_encoders", "evaluate", "compare", "__version__"}
    heavy = "{'torch', 'numpy', 'pandas', 'faiss'}"
    code = f"import era, sys; print(sorted(dir(era))); print(sorted({heavy} & {{*sys.modules}}))"
    root = Path(__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    listed, loaded = said.splitlines()
    assert set(json.loads(listed.replace("'", '"'))) == names
    assert loaded == "[]"
    with pytest.raises(AttributeError, match="no attribute 'Colection'"):
        _ = era.Colection


@pytest.mark.parametrize(
    "documents",
    [
        DOCUMENTS,
        {document.doc_id: {"title": document.title, "text": document.text} for document in DOCUMENTS},
        [{"id": document.doc_id, "title": document.title, "text": document.text} for document in DOCUMENTS],
        pd.DataFrame([(d.doc_id, d.title, d.text) for d in DOCUMENTS], columns=["doc_id", "title", "text"]),
        pd.DataFrame([(d.title, d.text) for d in DOCUMENTS], columns=["title", "text"]).set_index(
            pd.Index([d.doc_id for d in DOCUMENTS], name="docno")
        ),
    ],
    ids=["documents", "by id", "dicts", "frame", "frame with index"],
)
def test_documents_come_in_from_memory(documents: Any) -> None:
    made = build(documents)
    assert list(made.corpus) == DOCUMENTS
    assert made["cat-feeding"] == DOCUMENTS[0]
    assert made.folder is None
    assert ids(made.search("cat feeding", k=1)) == ["cat-feeding"]


def test_numbers_and_missing_values_of_a_frame_are_read_as_people_mean_them() -> None:
    frame = pd.DataFrame({"id": [1.0, 2.0], "title": ["cat", None], "text": ["feeding", "trout illness"]})
    made = build(frame)
    assert list(made.corpus) == [Document("1", "cat", "feeding"), Document("2", "", "trout illness")]


def test_bare_texts_are_numbered_and_that_is_said() -> None:
    made = build(["cat feeding", "dog illness"])
    assert [document.doc_id for document in made.corpus] == ["1", "2"]
    assert made.remarks == ["There is no column of ids, so the documents are numbered."]
    assert repr(made).endswith(made.remarks[0])


def test_what_is_no_document_is_named() -> None:
    with pytest.raises(TypeError, match="Expected a path, a data frame, a mapping or a list, got int"):
        build(3)
    with pytest.raises(FormatError, match="the id 'a' was used"):
        build([{"id": "a", "text": "cat"}, {"id": "a", "text": "dog"}])
    with pytest.raises(FormatError, match="no document with any text"):
        build([])


def test_search_gives_texts_and_a_table(docs: Collection) -> None:
    hits = docs.search("cat illness", k=2)
    assert (hits[0].doc_id, hits[0].title, hits[0].text) == ("cat-illness", "cat", "illness")
    assert hits[0].score == pytest.approx(1.0)
    frame = hits.to_frame()
    assert list(frame.columns) == ["rank", "doc_id", "score", "title", "text"]
    assert frame["rank"].tolist() == [1, 2]
    assert repr(hits).splitlines()[0] == "  1  1.0000  cat-illness  cat illness"
    assert "<table" in hits._repr_html_()
    with pytest.raises(ValueError, match="the query is empty"):
        docs.search(" ")
    with pytest.raises(ValueError, match="no ranking 'best'"):
        docs.search("cat", adapter="best")


def test_matching_words_count_but_in_the_light_model_alone(docs: Collection, learned: TrainedAdapter) -> None:
    [alone] = docs.search("cat illness", k=1)
    [with_words] = docs.search("cat illness", k=1, words=True)
    assert with_words.score > alone.score
    [usual] = docs.search("cat", "vet", adapter=learned, k=1)
    [vectors] = docs.search("cat", "vet", adapter=learned, k=1, words=False)
    assert usual.score > vectors.score
    assert ids(docs.search("newt", adapter="bm25")) == ["newt-feeding", "newt-illness"]


def test_fitting_learns_what_the_instructions_mean_and_shows_it(docs: Collection, learned: TrainedAdapter) -> None:
    assert ids(docs.search("cat", "vet", adapter=learned, k=1)) == ["cat-illness"]
    assert ids(docs.search("cat", "owner", adapter=learned, k=1)) == ["cat-feeding"]
    assert learned.query_ids == sorted(query.query_id for query in QUERIES)
    assert learned.labels == {name: {d: float(g) for d, g in judged.items()} for name, judged in QRELS.items()}
    shown = repr(learned).splitlines()
    assert shown[0] == "TrainedAdapter(era)"
    assert [line[:20].strip() for line in shown[2:5]] == ["light model alone", "aligned, no labels", "after, held out"]
    assert shown[1].split()[0] == "nDCG@10"
    assert shown[5].startswith("nDCG@10 +")
    means = learned.measures["means"]
    assert means["after+words"]["nDCG@10"] > means["light"]["nDCG@10"]
    before, after = (f"{means[name]['nDCG@10']:.3f}" for name in ("light", "after+words"))
    assert (shown[2].split()[3], shown[4].split()[3]) == (before, after)


@pytest.mark.parametrize("form", ["files", "dicts", "frames", "lists"])
def test_queries_and_judgments_come_in_every_form(
    docs: Collection, learned: TrainedAdapter, tmp_path: Path, form: str
) -> None:
    rows = [(q, d, g) for q, judged in QRELS.items() for d, g in judged.items()]
    queries: Any = QUERIES
    qrels: Any = QRELS
    if form == "files":
        write_animals(tmp_path / "animals")
        queries, qrels = tmp_path / "animals" / "queries.jsonl", str(tmp_path / "animals" / "qrels.tsv")
    elif form == "dicts":
        queries = {query.query_id: {"query": query.text, "instruction": query.instruction} for query in QUERIES}
    elif form == "frames":
        asked = [(query.query_id, query.text, query.instruction) for query in QUERIES]
        queries = pd.DataFrame(asked, columns=["qid", "query", "instruction"])
        qrels = pd.DataFrame(rows, columns=["query_id", "docid", "relevance"])
    else:
        queries = [{"id": q.query_id, "text": q.text, "instruction": q.instruction} for q in QUERIES]
        qrels = rows
    again = docs.fit(queries, qrels)
    np.testing.assert_array_equal(again.adapter.weight, learned.adapter.weight)
    assert again.labels == learned.labels


def test_relevant_documents_may_be_listed_without_grades(docs: Collection) -> None:
    measured = docs.evaluate(None, {"1": "cat feeding"}, {"1": ["cat-feeding"]}, "RR")
    assert measured.means().loc["system", "RR"] == 1.0


def test_queries_that_were_learned_from_are_measured_as_if_they_had_not_been(
    docs: Collection, learned: TrainedAdapter
) -> None:
    systems = {"light": None, "after": learned}
    honest = docs.evaluate(systems, QUERIES, QRELS, ["nDCG@10"])
    seen = docs.evaluate(systems, QUERIES, QRELS, ["nDCG@10"], in_sample=True)
    assert honest.means().loc["after", "nDCG@10"] == pytest.approx(learned.measures["means"]["after+words"]["nDCG@10"])
    assert "never saw their judgments" in honest.remarks[0]
    assert "in sample" in seen.remarks[0]
    assert seen.means().loc["after", "nDCG@10"] >= honest.means().loc["after", "nDCG@10"]


def test_measures_are_a_frame_with_a_row_for_each_query_and_measure(docs: Collection) -> None:
    measured = docs.evaluate({"light": None, "words": "bm25"}, QUERIES[:2], QRELS, "RR P@1")
    frame = measured.to_frame()
    assert list(frame.columns) == ["query_id", "measure", "light", "words"]
    assert frame[["query_id", "measure"]].to_numpy().tolist() == [
        ["cat-owner", "RR"],
        ["cat-vet", "RR"],
        ["cat-owner", "P@1"],
        ["cat-vet", "P@1"],
    ]
    # both documents of the cat tie for both queries, and only one is relevant to each: one query finds it first
    assert sorted(frame.loc[frame["measure"] == "RR", "light"]) == [0.5, 1.0]
    assert "2 queries" in repr(measured)
    assert "<table" in measured._repr_html_()
    assert measured.compare("light", "words").difference == 0.0


def test_rankings_of_other_systems_are_measured_beside(docs: Collection, tmp_path: Path) -> None:
    best = {"cat-vet": ["cat-illness", "dog-illness"]}
    frame = pd.DataFrame({"query_id": ["cat-vet"] * 2, "doc_id": ["dog-illness", "cat-illness"], "score": [0.2, 0.1]})
    (tmp_path / "other.run").write_text("cat-vet Q0 cat-illness 1 2.0 x\n")
    systems = {"best": best, "frame": frame, "file": tmp_path / "other.run"}
    measured = docs.evaluate(systems, QUERIES, {"cat-vet": QRELS["cat-vet"]}, "RR")
    assert measured.means()["RR"].to_dict() == {"best": 1.0, "frame": 0.5, "file": 1.0}


def test_judgments_of_documents_that_are_not_there_are_told(docs: Collection) -> None:
    measured = docs.evaluate(None, {"1": "cat feeding"}, {"1": {"cat-feeding": 1, "gone": 2}}, "RR")
    assert measured.remarks == ["1 judgment of a document that is not there was left out: gone."]


def test_runs_come_out_as_frames_and_files(docs: Collection, tmp_path: Path) -> None:
    found = docs.run(QUERIES[:2], k=3)
    assert list(found.to_frame().columns) == ["query_id", "doc_id", "rank", "score"]
    assert found.to_frame()["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    found.save(tmp_path / "light.run")
    assert (tmp_path / "light.run").read_text().startswith("cat-owner Q0 cat-")
    assert repr(found) == "Rankings(2 queries)"


def test_an_adapter_comes_back_as_it_was_saved(docs: Collection, learned: TrainedAdapter, tmp_path: Path) -> None:
    assert learned.save(tmp_path / "first") == tmp_path / "first"
    learned.save(str(tmp_path / "first.zip"))
    for path in (tmp_path / "first", str(tmp_path / "first.zip")):
        again = TrainedAdapter.load(path)
        np.testing.assert_array_equal(again.adapter.weight, learned.adapter.weight)
        assert repr(again) == repr(learned)
        assert again.queries == {query.query_id: query for query in QUERIES}
        for query in QUERIES:
            mine, own = again.held_out_for(query), learned.held_out_for(query)
            assert mine is not None
            assert own is not None
            np.testing.assert_array_equal(mine.vector, own.vector)
        assert docs.search("cat", "vet", adapter=again) == docs.search("cat", "vet", adapter=learned)
    for path in (tmp_path / "first", tmp_path / "first.zip"):
        with pytest.raises(FileExistsError, match="never overwritten"):
            learned.save(path)
    with pytest.raises(AdapterDamagedError, match="There is no adapter"):
        TrainedAdapter.load(tmp_path / "nothing")


def test_an_adapter_of_other_encoders_is_refused(learned: TrainedAdapter) -> None:
    other = EmbedderPair(WordEmbedder("other", [*ANIMALS, *TOPICS, "owner", "vet"]), light_embedder())
    with pytest.raises(IdentityMismatchError, match="made with strong as its strong embedder, but other is loaded"):
        build(DOCUMENTS, other).search("cat", adapter=learned)


def test_the_aligned_adapter_is_one_that_has_seen_no_label(docs: Collection, tmp_path: Path) -> None:
    aligned = docs.align()
    assert repr(aligned) == "TrainedAdapter(era, no labels)"
    assert aligned.query_ids == []
    assert docs.search("cat", adapter=aligned) == docs.search("cat", adapter="aligned")


def test_the_same_labels_give_the_same_adapter(docs: Collection, learned: TrainedAdapter, tmp_path: Path) -> None:
    learned.save(tmp_path / "one")
    docs.fit(QUERIES, QRELS).save(tmp_path / "two")
    assert contents_of(tmp_path / "one") == contents_of(tmp_path / "two")


def test_a_collection_is_kept_and_opened_again(tmp_path: Path) -> None:
    write_animals(tmp_path / "animals")
    pair = word_pair()
    made = build(tmp_path / "animals", pair)
    assert made.folder == tmp_path / "animals.era"
    assert made.n_embedded == len(DOCUMENTS)
    assert made.queries == QUERIES
    learned = made.fit()
    opened = Collection.open(tmp_path / "animals.era", pair, progress=no_progress)
    assert repr(opened) == (
        f"Collection(16 documents in {tmp_path / 'animals.era'}; strong reads queries, light has read the documents)"
    )
    read = list(pair.light.texts_read)  # type: ignore[attr-defined]
    assert opened.search("cat", "vet", adapter=learned) == made.search("cat", "vet", adapter=learned)
    assert opened.evaluate("aligned").means().equals(made.evaluate("aligned").means())
    again = build(tmp_path / "animals", pair)
    assert again.n_embedded == 0
    assert pair.light.texts_read[len(read) :].count("cat\nfeeding") == 0  # type: ignore[attr-defined]


def test_building_again_reads_new_texts_only_and_keeps_what_the_strong_encoder_read(tmp_path: Path) -> None:
    write_animals(tmp_path / "animals")
    pair = word_pair()
    build(tmp_path / "animals", pair).align()
    n_read = len(pair.strong.texts_read)  # type: ignore[attr-defined]
    with (tmp_path / "animals" / "corpus.jsonl").open("a") as stream:
        stream.write('{"id": "new", "text": "trout owner"}\n')
    again = build(tmp_path / "animals", pair)
    assert (len(again), again.n_embedded) == (len(DOCUMENTS) + 1, 1)
    again.align()
    assert pair.strong.texts_read[n_read:] == []  # type: ignore[attr-defined]  # nearly all texts are still there


def test_a_build_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("era.index.building._KEPT_AT_ONCE", 5)
    write_animals(tmp_path / "animals")
    pair, n_calls = word_pair(), 0

    def stop(stage: str, fraction: float, detail: str = "") -> None:
        nonlocal n_calls
        n_calls += stage == "embedding"
        if n_calls == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Collection.build(tmp_path / "animals", pair, progress=stop)
    assert not (tmp_path / "animals.era").exists()
    n_read = len(pair.light.texts_read)  # type: ignore[attr-defined]
    made = build(tmp_path / "animals", pair)
    assert 0 < made.n_embedded < len(DOCUMENTS)
    assert len(pair.light.texts_read) == n_read + made.n_embedded  # type: ignore[attr-defined]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["animals", "animals.era"]


def test_a_folder_of_something_else_is_neither_opened_nor_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="exists already"):
        build(DOCUMENTS, folder=tmp_path / "mine")
    with pytest.raises(IndexDamagedError, match="is not an index folder"):
        Collection.open(tmp_path / "mine", word_pair())
    build(DOCUMENTS, folder=tmp_path / "docs")
    with pytest.raises(IdentityMismatchError, match="does not name its encoders"):
        Collection.open(tmp_path / "docs", progress=no_progress)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(PermissionError, match=r"docs cannot be written\. Name another place"):
        build(DOCUMENTS, folder=tmp_path / "docs")


def test_runs_are_measured_and_compared_without_a_collection(tmp_path: Path) -> None:
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}}
    before, after = {"q1": ["b", "a"], "q2": ["a", "b"]}, {"q1": {"a": 2.0, "b": 1.0}, "q2": [ScoredDoc("a", 1.0)]}
    measured = era.evaluate({"before": before, "after": after}, qrels, "RR")
    assert measured.means()["RR"].to_dict() == {"before": 0.5, "after": 0.5}
    alone = era.evaluate(before, qrels, "RR")
    assert alone.means().loc["run", "RR"] == 0.5
    assert era.compare(before, after, qrels, "RR").n_better == 1
    with pytest.raises(ValueError, match="No ranked query has a relevant document"):
        era.evaluate(before, {"q9": {"a": 1}})


def test_an_adapter_is_pushed_with_a_card_and_fetched_again(
    learned: TrainedAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"

    class FakeHub:
        def __init__(self, token: str | None) -> None:
            assert token == "secret"

        def create_repo(self, repo_id: str, **named: Any) -> Any:
            assert named == {"private": True, "exist_ok": True, "repo_type": "model"}
            return type("Url", (str,), {"repo_id": repo_id})(f"https://hub/{repo_id}")

        def upload_folder(self, *, folder_path: Path, **named: Any) -> None:
            hub.mkdir()
            for file in folder_path.iterdir():
                (hub / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr("huggingface_hub.HfApi", FakeHub)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repo_id, allow_patterns: str(hub))
    assert learned.push_to_hub("ann/animals", token="secret") == "https://hub/ann/animals"
    assert sorted(contents_of(hub)) == ["README.md", "adapter.json", "adapter.safetensors"]
    assert 'TrainedAdapter.load("ann/animals")' in (hub / "README.md").read_text()
    assert repr(TrainedAdapter.load("ann/animals")) == repr(learned)
