"""Documents that change later: only what is new is embedded, judgments stay, and nobody searches half a collection."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import storage.collections
from annotation.collections.import_source import store_queries
from annotation.collections.imports import ImportRequest, start_import
from annotation.collections.page import list_label_sets
from annotation.collections.update import UpdatePlan, changed_judgments, plan_update, remove_documents
from annotation.errors import InvalidInputError, NotAllowedError
from annotation.judging.review import lay_out_again
from annotation.retrieval.endpoint_costs import EndpointCosts
from annotation.settings import Settings
from annotation.training.start import labels_to_learn_from, outlook, rerun_with_same_labels
from annotation.ui.payloads.importing import update_payload
from era.corpus import Corpus
from era.encoders.spec import BUNDLED, EmbedderSpec, PairSpec
from era.errors import EmbedderUnavailableError
from era.index.dense import DenseIndex
from era.types import Document, Query
from tests.worlds.desk import Desk, as_json
from tests.worlds.importing import ListedSource, import_and_wait, left_behind, stored, write_documents
from tests.worlds.judging import bring_reference, say, write_query
from tests.worlds.words import DOCUMENTS, light_embedder

CHANGED = replace(DOCUMENTS[1], text="illness illness feeding")  # cat-illness
ADDED = Document("owl-feeding", "owl", "feeding")
BY_ID = {document.doc_id: document for document in DOCUMENTS}


def update(desk: Desk, tmp_path: Path, documents: Sequence[Document], kind: str = "add") -> None:
    file = write_documents(tmp_path / "update.jsonl", documents)
    request = ImportRequest(kind="add", path=str(file), collection_id=desk.collection.id)
    job = import_and_wait(desk.workspace, replace(request, kind=kind))  # type: ignore[arg-type]
    assert (job.state, job.error) == ("finished", "")


def texts(desk: Desk) -> dict[str, str]:
    return {document.doc_id: document.text for document in stored(desk.workspace, desk.collection.id)}


def index_of(desk: Desk) -> DenseIndex:
    return desk.workspace.open(desk.collection.id).index


@pytest.fixture
def quiet(desk: Desk) -> Desk:
    """The small world with its light embedder's reading forgotten."""
    desk.light.texts_read.clear()
    return desk


def test_plan_counts_what_would_happen_and_changes_nothing(desk: Desk) -> None:
    cat = write_query(desk, "cat")
    say(desk, "ann", cat.id, "cat-illness", 1.0)
    say(desk, "ann", cat.id, "moth-feeding", 0.0)
    bring_reference(desk, cat.id, "cat-illness", 1.0)  # the same document a second time
    source = ListedSource([DOCUMENTS[0], CHANGED, ADDED])
    plan = plan_update(desk.workspace, desk.collection.id, source, "add")
    free = EndpointCosts(0, None)
    counted = {"n_facts_changed": 0, "n_same": 1, "n_judged_changed": 1, "n_queries": 2, "n_judgments": 3}
    assert plan == UpdatePlan(1, 1, 0, n_judged_removed=0, costs=free, **counted)
    plan = plan_update(desk.workspace, desk.collection.id, source, "replace")
    assert plan == UpdatePlan(1, 1, 14, n_judged_removed=1, costs=free, **counted)
    assert texts(desk) == {document.doc_id: document.text for document in DOCUMENTS}


def test_plan_says_what_the_endpoint_of_a_collection_is_sent(desk: Desk) -> None:
    endpoint = EmbedderSpec("openai", "big", document_prompt="1234", price_per_million_tokens=1e6)
    with desk.workspace.writing() as session:
        spec = PairSpec(BUNDLED.strong, endpoint).to_json()
        storage.collections.set_embedders(session, desk.collection.id, spec)
    plan = plan_update(desk.workspace, desk.collection.id, ListedSource([DOCUMENTS[0], CHANGED, ADDED]), "add")
    tokens = sum(math.ceil(len("1234" + text) / 4) for text in (CHANGED.content, ADDED.content))
    assert plan.costs == EndpointCosts(tokens, float(tokens))
    assert update_payload(plan, "add")["sentences"][-1] == plan.costs.text
    nothing = plan_update(desk.workspace, desk.collection.id, ListedSource(DOCUMENTS), "add")
    assert nothing.costs.text == ""


def test_adding_embeds_only_texts_that_are_new_and_searches_them(quiet: Desk, tmp_path: Path) -> None:
    before = index_of(quiet)
    update(quiet, tmp_path, [DOCUMENTS[0], CHANGED, ADDED])
    assert quiet.light.texts_read == [CHANGED.content, ADDED.content]
    after = index_of(quiet)
    assert after.fingerprint != before.fingerprint
    listed = [CHANGED if each.doc_id == CHANGED.doc_id else each for each in DOCUMENTS] + [ADDED]
    assert [d.doc_id for d in stored(quiet.workspace, quiet.collection.id)] == [d.doc_id for d in listed]
    expected = light_embedder().encode_documents([document.content for document in listed])
    assert after.fingerprint == DenseIndex([d.doc_id for d in listed], expected, after.embedder).fingerprint
    assert quiet.workspace.open(quiet.collection.id).corpus.fingerprint == Corpus(listed).fingerprint
    assert left_behind(quiet.workspace) == []


def test_updated_collection_is_opened_by_the_next_process_without_embedding(quiet: Desk, tmp_path: Path) -> None:
    update(quiet, tmp_path, [CHANGED, ADDED], "replace")
    fingerprint = index_of(quiet).fingerprint
    again = quiet.again()
    assert index_of(again).fingerprint == fingerprint
    assert not {CHANGED.content, ADDED.content} & set(again.light.texts_read)
    again.workspace.close()


def test_replacing_removes_what_the_file_lacks_and_embeds_a_renamed_document_not_again(
    quiet: Desk, tmp_path: Path
) -> None:
    renamed = replace(DOCUMENTS[2], doc_id="renamed")
    update(quiet, tmp_path, [DOCUMENTS[0], renamed], "replace")
    assert texts(quiet) == {DOCUMENTS[0].doc_id: DOCUMENTS[0].text, "renamed": renamed.text}
    assert quiet.light.texts_read == []
    expected = light_embedder().encode_documents([DOCUMENTS[0].content, renamed.content])
    assert index_of(quiet).vectors([DOCUMENTS[0].doc_id, "renamed"]).tolist() == expected.tolist()


def test_what_else_is_known_of_a_document_changes_without_embedding(quiet: Desk, tmp_path: Path) -> None:
    file = tmp_path / "update.jsonl"
    file.write_text('{"id": "cat-feeding", "title": "cat", "text": "feeding", "year": "1999"}\n')
    request = ImportRequest(kind="add", path=str(file), collection_id=quiet.collection.id)
    assert import_and_wait(quiet.workspace, request).state == "finished"
    assert quiet.light.texts_read == []
    assert stored(quiet.workspace, quiet.collection.id)[0].metadata == {"year": "1999"}


def test_plan_counts_other_facts_queries_and_judgments_as_changes(desk: Desk) -> None:
    def words(source: ListedSource) -> tuple[bool, list[str]]:
        plan = plan_update(desk.workspace, desk.collection.id, source, "add")
        payload = update_payload(plan, "add")
        assert payload["facts"][-1] == ["The same", f"{plan.n_same}", ""]
        assert plan.n_same + plan.n_facts_changed == 2
        return payload["is_change"], payload["sentences"]

    known = DOCUMENTS[:2]
    nothing = [False, ["Nothing would change: all these documents are here already, word for word."]]
    assert list(words(ListedSource(known, [], {}))) == nothing
    facts = {DOCUMENTS[0].doc_id: {"year": "1999"}}
    is_change, sentences = words(ListedSource(known, [], {}, facts))
    assert (is_change, sentences[0]) == (True, "1 document has other facts, and the same text.")
    is_change, sentences = words(ListedSource(known))
    assert (is_change, sentences[0]) == (True, "2 queries and 3 judgments come along.")
    is_change, sentences = words(ListedSource(known, [Query("q1", "newt")], {}))
    assert (is_change, sentences[0]) == (True, "1 query comes along.")


def test_old_index_is_used_and_nothing_changes_while_the_new_one_fails(quiet: Desk, tmp_path: Path) -> None:
    before, known = index_of(quiet), texts(quiet)
    light = quiet.workspace.open(quiet.collection.id).pair.light

    def fail(*_: object) -> None:
        raise EmbedderUnavailableError("The server does not answer.")

    light.encode_documents = fail  # type: ignore[assignment,method-assign]
    file = write_documents(tmp_path / "update.jsonl", [CHANGED, ADDED])
    job = import_and_wait(
        quiet.workspace, ImportRequest(kind="replace", path=str(file), collection_id=quiet.collection.id)
    )
    assert (job.state, job.error, job.can_resume) == ("failed", "The server does not answer.", True)
    assert (index_of(quiet).fingerprint, texts(quiet)) == (before.fingerprint, known)


def test_nothing_is_left_of_an_update_that_cannot_be_read(quiet: Desk, tmp_path: Path) -> None:
    file = write_documents(tmp_path / "update.jsonl", [CHANGED])
    file.write_text(file.read_text() + "[]\n")
    job = import_and_wait(quiet.workspace, ImportRequest(kind="add", path=str(file), collection_id=quiet.collection.id))
    assert (job.state, job.can_resume) == ("failed", False)
    assert "line 2" in job.error
    assert texts(quiet)[CHANGED.doc_id] == BY_ID[CHANGED.doc_id].text
    assert left_behind(quiet.workspace) == []


def test_judgments_of_removed_documents_count_neither_in_training_nor_in_measures_until_they_are_back(
    judged_desk: Desk, tmp_path: Path
) -> None:
    desk, query_id = judged_desk, judged_desk.query_id("cat-owner")
    before = outlook(desk.workspace, desk.collection.id, desk.label_set_id)
    [summary] = list_label_sets(desk.workspace, desk.collection.id)
    assert desk.qrels()[query_id] == {"cat-feeding": 1.0, "cat-illness": 0.0}
    assert remove_documents(desk.workspace, "ann", desk.collection.id, ["cat-feeding", "unknown"]) == 1
    assert desk.qrels()[query_id] == {"cat-illness": 0.0}
    assert "cat-feeding" not in labels_to_learn_from(desk.workspace, desk.label_set_id)[str(query_id)]
    after = outlook(desk.workspace, desk.collection.id, desk.label_set_id)
    assert (after.counts.n_labelled, after.counts.n_relevant) == (
        before.counts.n_labelled - 1,
        before.counts.n_relevant - 1,
    )
    assert list_label_sets(desk.workspace, desk.collection.id)[0].counts.n_judged == summary.counts.n_judged - 2
    update(desk, tmp_path, [BY_ID["cat-feeding"]])
    assert desk.qrels()[query_id] == {"cat-feeding": 1.0, "cat-illness": 0.0}
    assert outlook(desk.workspace, desk.collection.id, desk.label_set_id) == before


def test_removing_changes_index_and_documents_and_embeds_nothing(quiet: Desk) -> None:
    gone = ["cat-feeding", "moth-illness"]
    assert remove_documents(quiet.workspace, "ann", quiet.collection.id, gone) == 2
    assert quiet.light.texts_read == []
    assert "cat-feeding" not in index_of(quiet)
    assert len(index_of(quiet)) == len(texts(quiet)) == 14
    assert remove_documents(quiet.workspace, "ann", quiet.collection.id, gone) == 0
    assert left_behind(quiet.workspace) == []


def test_removing_everything_is_refused(quiet: Desk) -> None:
    with pytest.raises(InvalidInputError, match="No document would be left"):
        remove_documents(quiet.workspace, "ann", quiet.collection.id, [document.doc_id for document in DOCUMENTS])
    assert len(texts(quiet)) == 16


def test_removing_needs_its_owner(desk: Desk, tmp_path: Path) -> None:
    people = tmp_path / "people"
    people.write_text("ann:a\nben:b\n")
    desk.workspace.settings = Settings(data_dir=desk.workspace.folder, device="cpu", people=people, space_id=None)
    for author in (None, "ben"):
        with pytest.raises(NotAllowedError):
            remove_documents(desk.workspace, author, desk.collection.id, ["cat-feeding"])
    assert remove_documents(desk.workspace, "ann", desk.collection.id, ["cat-feeding"]) == 1


def test_marks_of_another_text_are_shown_to_their_author_until_they_are_made_again(desk: Desk, tmp_path: Path) -> None:
    cat = write_query(desk, "cat")
    say(desk, "ann", cat.id, "cat-illness", 1.0)
    say(desk, "ben", cat.id, "cat-illness", 0.0)
    say(desk, "ann", cat.id, "cat-feeding", 0.0)
    assert list(changed_judgments(desk.workspace, desk.label_set_id)) == []
    update(desk, tmp_path, [CHANGED])
    outdated = changed_judgments(desk.workspace, desk.label_set_id)
    assert [(mark.query_id, mark.doc_id, mark.author) for mark in outdated] == [
        (cat.id, "cat-illness", "ann"),
        (cat.id, "cat-illness", "ben"),
    ]
    laid_out = lay_out_again(desk.workspace, "ann", desk.collection.id, desk.label_set_id)
    [card] = laid_out.cards
    assert (card.document.text, card.why) == (
        CHANGED.text,
        {"code": "text-changed", "rank": None, "other": None, "other_grade": None},
    )
    assert as_json(dict(card.why))["code"] == "text-changed"
    say(desk, "ann", cat.id, "cat-illness", 1.0)
    assert lay_out_again(desk.workspace, "ann", desk.collection.id, desk.label_set_id).cards == []
    assert [mark.author for mark in changed_judgments(desk.workspace, desk.label_set_id)] == ["ben"]


def test_training_run_stays_usable_when_documents_change(judged_desk: Desk, tmp_path: Path) -> None:
    run = judged_desk.train()
    folder = judged_desk.workspace.adapter_folder(run.id)
    before, _ = judged_desk.workspace.open(judged_desk.collection.id).trained(folder)
    update(judged_desk, tmp_path, [CHANGED, ADDED])
    after, _ = judged_desk.workspace.open(judged_desk.collection.id).trained(folder)
    query = [Query("", "cat", "owner")]
    assert after.query_vectors(query).tolist() == before.query_vectors(query).tolist()
    assert len(after.index) == 17


def test_run_with_earlier_labels_measures_without_the_documents_that_were_removed(judged_desk: Desk) -> None:
    for animal in ("dog", "newt"):  # relevant beside cat-feeding, and then gone
        say(judged_desk, "ann", judged_desk.query_id("cat-owner"), f"{animal}-illness", 1.0)
    before = judged_desk.train()
    remove_documents(judged_desk.workspace, "ann", judged_desk.collection.id, ["dog-illness", "newt-illness"])
    rerun = rerun_with_same_labels(judged_desk.workspace, "ann", before.id)
    today = judged_desk.train()
    again = judged_desk.wait_for(rerun.id)
    assert again.measures is not None
    assert today.measures is not None
    assert again.n_relevant > today.n_relevant
    assert again.measures["means"]["light"] == today.measures["means"]["light"]


def test_update_brings_queries_and_judgments_along(desk: Desk) -> None:
    source = ListedSource(
        asked=[Query("n1", "newt laws")], judged={"n1": {"newt-illness": 1.0, "nowhere": 1.0}}, listed=[]
    )
    for _ in range(2):  # a resumed import does it again
        done = store_queries(desk.workspace, source, desk.collection.id, "ann", "import-1-9")
        assert (done.n_queries, done.n_judgments) == (1, 1)
        assert done.remarks == ["Left out: 1 judgment of documents that are not in the collection."]
    label_set = next(
        each for each in list_label_sets(desk.workspace, desk.collection.id) if each.label_set.name == "Imported labels"
    )
    assert label_set.counts.n_judged == 1
    qrels = desk.workspace.standings(label_set.label_set.id).qrels()
    assert qrels == {desk.query_id("n1"): {"newt-illness": 1.0}}
    assert list(changed_judgments(desk.workspace, label_set.label_set.id)) == []


def test_remove_waits_for_an_import_of_the_same_collection(desk: Desk, tmp_path: Path) -> None:
    file = write_documents(tmp_path / "update.jsonl", [ADDED])
    start_import(desk.workspace, "ann", ImportRequest(kind="add", path=str(file), collection_id=desk.collection.id))
    with pytest.raises(InvalidInputError, match="An import changes this collection"):
        remove_documents(desk.workspace, "ann", desk.collection.id, ["cat-feeding"])
