"""Storing a collection: all of it or nothing, once, and never over another one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage.collections
import storage.documents
import storage.judgments
import storage.label_sets
import storage.queries
from annotation.collections import import_source
from annotation.collections.import_source import import_now
from annotation.collections.page import list_collections, list_label_sets, open_page
from annotation.collections.preparation import prepare
from annotation.collections.store_whole import CollectionContent, ensure_demos, store, store_demo
from annotation.demo.demo import Demo
from annotation.demo.emoji_symbols import emoji_symbols
from annotation.demo.python_docs import python_docs
from annotation.errors import CollectionFileError
from annotation.workspace import Workspace
from era.corpus import content_hash
from era.encoders.base import EmbedderPair
from era.encoders.spec import BUNDLED
from era.errors import FormatError
from era.io.content import SourceDocument
from era.io.opening import open_source
from era.types import Document, Query
from storage.errors import NameTaken
from storage.records import CollectionRecord, JudgmentRole
from tests.worlds.desk import settings_at
from tests.worlds.importing import ListedSource, left_behind, stored
from tests.worlds.words import light_embedder, strong_embedder

PETS = CollectionContent(
    name="pets",
    description="Two animals",
    documents=[Document("d1", "Cats", "They purr."), Document("d2", "", "Dogs bark.")],
    queries=[Query("q1", "who purrs", "find pets"), Query("q2", "who barks")],
    qrels={"q1": {"d1": 1.0, "d2": 0.0}, "q2": {"d2": 2.5}},
)


def store_pets(workspace: Workspace, content: CollectionContent = PETS) -> CollectionRecord:
    return store(workspace, content, author="ann", labels="Ann's labels", is_demo=False)


def test_store_keeps_documents_queries_and_judgments(bare_workspace: Workspace) -> None:
    collection = store_pets(bare_workspace)
    assert (collection.name, collection.description, collection.n_documents, collection.is_demo) == (
        "pets", "Two animals", 2, False,
    )  # fmt: skip
    with bare_workspace.reading() as session:
        documents = list(storage.documents.iter_all(session, collection.id))
        queries = storage.queries.list_all(session, collection.id)
        [label_set] = storage.label_sets.list_names(session, collection.id)
        [mark] = storage.judgments.current_for_query(session, label_set.id, queries[1].id)
    assert [(d.doc_id, d.title, d.text) for d in documents] == [("d1", "Cats", "They purr."), ("d2", "", "Dogs bark.")]
    assert [d.content_hash for d in documents] == [content_hash(d) for d in PETS.documents]
    assert [(q.public_id, q.text, q.instruction, q.author) for q in queries] == [
        ("q1", "who purrs", "find pets", "ann"),
        ("q2", "who barks", "", "ann"),
    ]
    assert (label_set.name, label_set.created_by) == ("Ann's labels", "ann")
    assert bare_workspace.standings(label_set.id).qrels() == {
        queries[0].id: {"d1": 1.0, "d2": 0.0},
        queries[1].id: {"d2": 2.5},
    }
    assert queries[1].instruction_id != queries[0].instruction_id
    assert (mark.author, mark.role, mark.content_hash, mark.instruction_id) == (
        "ann",
        JudgmentRole.REFERENCE,
        documents[1].content_hash,
        queries[1].instruction_id,
    )


def test_store_keeps_what_else_is_known_of_a_document(bare_workspace: Workspace) -> None:
    collection = store_pets(bare_workspace, replace(PETS, metadata={"d2": {"year": "1999", "lang": "en"}}))
    with bare_workspace.reading() as session:
        documents = list(storage.documents.iter_all(session, collection.id))
    assert [document.metadata for document in documents] == [None, {"year": "1999", "lang": "en"}]


def test_imported_marks_are_nobodys_work_at_the_desk(bare_workspace: Workspace) -> None:
    collection = store_pets(bare_workspace)
    [summary] = list_label_sets(bare_workspace, collection.id)
    with bare_workspace.reading() as session:
        [first, _] = storage.queries.list_all(session, collection.id)
        assert storage.judgments.work_by_author(session, summary.label_set.id) == []
    standing = bare_workspace.standings(summary.label_set.id).of_query(first.id, "ann")
    assert (standing.n_imported, standing.n_relevant, standing.n_not_relevant) == (2, 1, 1)
    assert (standing.n_mine, standing.n_people) == (0, 0)


def test_store_starts_an_empty_label_set_when_nothing_is_judged(bare_workspace: Workspace) -> None:
    collection = store_pets(bare_workspace, replace(PETS, qrels={}))
    [summary] = list_label_sets(bare_workspace, collection.id)
    assert (summary.label_set.name, summary.counts.n_judged) == ("My labels", 0)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (storage.documents, "add_many"),
        (storage.label_sets, "get_or_create"),
        (storage.queries, "get_or_create"),
        (storage.judgments, "append_many"),
    ],
)
def test_store_leaves_nothing_when_a_step_fails(
    bare_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    step: Callable[..., Any] = getattr(module, name)

    def step_and_fail(*arguments: Any) -> Any:
        step(*arguments)
        raise OSError("the disk is full")

    monkeypatch.setattr(module, name, step_and_fail)
    with pytest.raises(OSError, match="disk is full"):
        store_pets(bare_workspace)
    monkeypatch.undo()
    assert not list_collections(bare_workspace)
    assert store_pets(bare_workspace).name == "pets"


def test_store_leaves_nothing_when_a_document_id_repeats(bare_workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="share the id 'd1'"):
        store_pets(bare_workspace, replace(PETS, documents=[*PETS.documents, Document("d1", "", "again")]))
    assert not list_collections(bare_workspace)


def test_store_refuses_a_name_that_is_taken(bare_workspace: Workspace) -> None:
    store_pets(bare_workspace)
    with pytest.raises(NameTaken, match="'pets'"):
        store_pets(bare_workspace)
    assert len(list_collections(bare_workspace)) == 1


def pets_source(**changes: Any) -> ListedSource:
    judged = {query_id: dict(grades) for query_id, grades in PETS.qrels.items()}
    return replace(ListedSource(list(PETS.documents), list(PETS.queries), judged), **changes)


def test_import_now_stores_once_and_opens_it_after_that(bare_workspace: Workspace) -> None:
    first = import_now(bare_workspace, pets_source(), "ann")
    store_pets(bare_workspace, replace(PETS, name="later"))
    second = import_now(bare_workspace, pets_source(), "ann")
    assert (second.id, second.name, second.created_by) == (first.id, "pets", "ann")
    assert second.last_used_at > first.last_used_at
    assert open_page(bare_workspace, None, None).collection.id == first.id
    [summary] = list_label_sets(bare_workspace, first.id)
    assert (summary.label_set.name, summary.label_set.created_by) == ("Imported labels", "ann")
    assert summary.counts.n_judged == 3
    with bare_workspace.reading() as session:
        queries = storage.queries.list_all(session, first.id)
        assert storage.judgments.work_by_author(session, summary.label_set.id) == []
    assert bare_workspace.standings(summary.label_set.id).qrels() == {
        queries[0].id: {"d1": 1.0, "d2": 0.0},
        queries[1].id: {"d2": 2.5},
    }


def test_import_now_leaves_embedding_to_the_opening(data_dir: Path) -> None:
    light = light_embedder()
    workspace = Workspace(settings_at(data_dir), lambda spec, device: EmbedderPair(strong_embedder(), light))
    collection = import_now(workspace, pets_source(), "ann")
    assert light.texts_read == []
    prepare(workspace)
    assert light.texts_read[:2] == [document.content for document in PETS.documents]
    assert len(workspace.open(collection.id).index) == 2
    workspace.close()


@pytest.mark.parametrize(
    "documents",
    [
        PETS.documents[:1],
        [*PETS.documents, Document("d3", "", "Fish are silent.")],
        [Document("d1", "Cats", "They hiss."), PETS.documents[1]],
        [Document("d9", "Cats", "They purr."), PETS.documents[1]],
    ],
    ids=["one less", "one more", "another text", "another id"],
)
def test_import_now_refuses_other_documents_of_the_same_name(
    bare_workspace: Workspace, documents: list[Document]
) -> None:
    first = import_now(bare_workspace, pets_source(), "ann")
    with pytest.raises(CollectionFileError, match=r"'pets' is stored already, with other documents\. Rename"):
        import_now(bare_workspace, pets_source(listed=documents, judged={}), "ann")
    with bare_workspace.reading() as session:
        assert storage.documents.count(session, first.id) == 2


def test_import_now_leaves_nothing_when_it_fails(bare_workspace: Workspace) -> None:
    with pytest.raises(OSError, match="disk is gone"):
        import_now(bare_workspace, pets_source(stop_after=1), "ann")
    with pytest.raises(CollectionFileError, match="holds no document with any text"):
        import_now(bare_workspace, pets_source(listed=[], judged={}), "ann")
    assert not list_collections(bare_workspace)
    assert left_behind(bare_workspace) == []
    assert import_now(bare_workspace, pets_source(), "ann").name == "pets"


@pytest.mark.parametrize("is_same", [True, False])
def test_import_now_goes_on_after_a_kill_and_begins_anew_when_the_files_have_changed(
    bare_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, is_same: bool
) -> None:
    monkeypatch.setattr(import_source, "BATCH", 1)

    class KilledSource(ListedSource):
        def documents(self) -> Iterator[SourceDocument]:
            yield from list(super().documents())[:1]
            raise KeyboardInterrupt

    killed = KilledSource(list(PETS.documents), [], {})
    with pytest.raises(KeyboardInterrupt):
        import_now(bare_workspace, killed, "ann")
    assert not list_collections(bare_workspace)
    [staged] = left_behind(bare_workspace)
    assert staged == "pets"
    added: list[str] = []
    add_many = storage.documents.add_many

    def noted(session: Any, collection_id: int, documents: Iterable[Any]) -> int:
        listed = list(documents)
        added.extend(document.doc_id for document in listed)
        return add_many(session, collection_id, listed)

    monkeypatch.setattr(storage.documents, "add_many", noted)
    listed = PETS.documents if is_same else [Document("d1", "Cats", "They hiss."), PETS.documents[1]]
    collection = import_now(bare_workspace, pets_source(listed=list(listed)), "ann")
    assert added == (["d2"] if is_same else ["d1", "d2"])
    assert [d.text for d in stored(bare_workspace, collection.id)] == [d.text for d in listed]
    assert left_behind(bare_workspace) == []


def test_import_now_takes_or_refuses_half_a_character_in_plain_words(bare_workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text('{"id": "d\\ud83d", "text": "half a pair: \\ud83d"}\n')
    with suppress(FormatError):  # to refuse it, naming the line, is as good as to take it cleaned
        import_now(bare_workspace, open_source(file), "ann")


def test_import_now_stores_texts_as_they_are(bare_workspace: Workspace) -> None:
    texts = ["<script>alert(1)</script>", "a\x00b\x07", "🦉 naïve ﷽", "'); DROP TABLE document; --"]
    source = ListedSource([Document(f"d{i}", text, text) for i, text in enumerate(texts)], [], {})
    collection = import_now(bare_workspace, source, "ann")
    assert import_now(bare_workspace, source, "ann").id == collection.id
    assert [d.text for d in stored(bare_workspace, collection.id)] == texts


def test_import_now_keeps_the_embedders_that_were_chosen(bare_workspace: Workspace) -> None:
    chosen = replace(BUNDLED, light=replace(BUNDLED.light, batch_size=7))
    collection = import_now(bare_workspace, pets_source(), "ann", chosen)
    assert bare_workspace.spec_of(collection.id) == chosen


def test_queries_that_are_the_same_become_one_and_it_is_said(bare_workspace: Workspace) -> None:
    source = pets_source(asked=[Query("q1", "who purrs"), Query("q2", "who purrs")])
    collection = import_now(bare_workspace, source, "ann")
    with bare_workspace.reading() as session:
        assert len(storage.queries.list_all(session, collection.id)) == 1
    again = import_source.store_queries(bare_workspace, source, collection.id, "ann", f"import-{collection.id}")
    assert again.remarks == ["Queries q1 and q2 are the same and became one."]


@pytest.mark.parametrize("made", [python_docs, emoji_symbols])
def test_store_demo_stores_all_of_it_with_its_labels(bare_workspace: Workspace, made: Callable[[], Demo]) -> None:
    demo = made()
    collection = store_demo(bare_workspace, demo)
    assert (collection.name, collection.is_demo) == (demo.name, True)
    assert collection.n_documents == len(demo.documents)
    [summary] = list_label_sets(bare_workspace, collection.id)
    assert (summary.label_set.name, summary.label_set.created_by) == ("Demo labels", "demo")
    assert summary.counts.n_judged == sum(len(judged) for judged in demo.judgments.values())
    with bare_workspace.reading() as session:
        listed = storage.queries.list_all(session, collection.id)
        marks = storage.judgments.current_for_query(session, summary.label_set.id, listed[0].id)
        stored = {document.doc_id for document in storage.documents.iter_all(session, collection.id)}
    assert [query.public_id for query in listed] == [query.query_id for query in demo.queries]
    assert {query.author for query in listed} == {"demo"}
    assert {(mark.author, mark.role) for mark in marks} == {("demo", JudgmentRole.REFERENCE)}
    assert stored == {document.doc_id for document in demo.documents}


def test_ensure_demos_stores_both_once_and_the_emoji_open_first(bare_workspace: Workspace) -> None:
    ensure_demos(bare_workspace)
    stored = list_collections(bare_workspace)
    assert [each.name for each in stored] == [emoji_symbols().name, python_docs().name]
    assert open_page(bare_workspace, None, None).collection.id == stored[0].id
    labels = [list_label_sets(bare_workspace, each.id) for each in stored]
    ensure_demos(bare_workspace)
    assert list_collections(bare_workspace) == stored
    assert [list_label_sets(bare_workspace, each.id) for each in stored] == labels


def test_ensure_demos_adds_none_to_a_data_folder_that_has_one(bare_workspace: Workspace) -> None:
    store_demo(bare_workspace, python_docs())
    ensure_demos(bare_workspace)
    assert [each.name for each in list_collections(bare_workspace)] == [python_docs().name]
