"""Why a document moved: every number against the saved adapter and the vectors themselves."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

import storage.pools
from annotation.comparing.reasons import NO_ACCOUNT, NOT_LEARNED, TRAIN_AGAIN, Reasons, SideReasons, _account, why
from annotation.comparing.views import ComparisonView, read_view
from annotation.errors import InvalidInputError, NotFoundError
from annotation.presenting.reasons import reasons_panel
from era.adapter import QueryAdapter
from era.embedders import Vectors
from era.lexical import WORD_WEIGHT
from era.recipes import fit
from era.types import Query
from storage.records import PoolDocument
from tests.annotation.conftest import DOCUMENTS, QRELS, Desk, as_json, swapped_topics
from tests.annotation.judging_world import say

RUN = "run-1"


def view_of(
    desk: Desk, query_id: int | None, sides: str = f"light~{RUN}", is_in_sample: bool = False
) -> ComparisonView:
    return read_view(desk.workspace, desk.page, sides, query_id, is_in_sample=is_in_sample)


def reasons_for(desk: Desk, public_id: str, doc_id: str, sides: str = f"light~{RUN}") -> Reasons:
    return why(desk.workspace, "ann", view_of(desk, desk.query_id(public_id), sides), doc_id)


def side_for(desk: Desk, public_id: str, doc_id: str, sides: str = f"light~{RUN}") -> SideReasons:
    return reasons_for(desk, public_id, doc_id, sides).sides[-1]


def scores(desk: Desk, vector: Vectors) -> Vectors:
    """Return the cosine of a query vector with every document, in the order of DOCUMENTS."""
    index = desk.workspace.library(desk.collection.id).index
    return np.asarray(index.vectors([document.doc_id for document in DOCUMENTS]) @ vector, np.float32)


def held_out_vector(desk: Desk, query_id: int) -> Vectors:
    """Return the vector of a labelled query by adapters that never saw its labels, as the training run saved it."""
    adapter, extra = QueryAdapter.load(desk.workspace.adapter_folder(1))
    return np.asarray(extra["held_out"][adapter.provenance["query_ids"].index(str(query_id))], np.float32)


def aligned_vector(desk: Desk, query: Query) -> Vectors:
    [vector] = desk.workspace.library(desk.collection.id).aligned().query_vectors([query])
    return np.asarray(vector, np.float32)


@pytest.mark.parametrize("doc_id", ["cat-illness", "cat-feeding", "moth-illness"])
def test_reasons_add_up_to_how_the_score_changed_among_all_documents(trained_desk: Desk, doc_id: str) -> None:
    query_id, place = trained_desk.query_id("cat-vet"), [each.doc_id for each in DOCUMENTS].index(doc_id)
    before = scores(trained_desk, aligned_vector(trained_desk, Query("", "cat", "vet")))
    after = scores(trained_desk, held_out_vector(trained_desk, query_id))
    side = side_for(trained_desk, "cat-vet", doc_id)
    assert side.before == pytest.approx(before[place], abs=1e-5)
    assert side.after == pytest.approx(after[place], abs=1e-5)
    change = after - before  # both rankings show all 16 documents, so they are what the document is compared with
    total = sum(part.amount for part in side.parts) + side.others + side.weighing
    assert total == pytest.approx(change[place] - change.mean(), abs=1e-5)
    assert abs(total) > 1e-3
    assert side.rank_before is not None
    assert side.rank_after is not None
    assert np.sort(before)[-side.rank_before] == pytest.approx(before[place], abs=1e-6)
    assert np.sort(after)[-side.rank_after] == pytest.approx(after[place], abs=1e-6)


def test_parts_are_the_five_largest_and_share_out_what_moved_it(trained_desk: Desk) -> None:
    side = side_for(trained_desk, "cat-vet", "cat-illness")
    sizes = [abs(part.amount) for part in side.parts]
    assert len(sizes) == 5
    assert sizes == sorted(sizes, reverse=True)
    assert all(
        part.share / side.parts[0].share == pytest.approx(size / sizes[0])
        for part, size in zip(side.parts, sizes, strict=True)
    )
    assert sum(part.share for part in side.parts) <= 1


def test_no_query_of_the_same_text_explains_a_query_that_was_held_out(trained_desk: Desk) -> None:
    for public_id in ("cat-vet", "dog-owner", "hare-vet"):
        animal = public_id.partition("-")[0]
        parts = side_for(trained_desk, public_id, f"{animal}-illness").parts
        assert parts
        assert animal not in {part.query.text for part in parts}


def test_reasons_in_sample_are_of_the_adapter_that_learned_from_the_query(trained_desk: Desk) -> None:
    query_id = trained_desk.query_id("cat-vet")
    view = view_of(trained_desk, query_id, is_in_sample=True)
    side = why(trained_desk.workspace, "ann", view, "cat-illness").sides[-1]
    adapter, _ = QueryAdapter.load(trained_desk.workspace.adapter_folder(1))
    library = trained_desk.workspace.library(trained_desk.collection.id)
    [vector] = adapter.transform(library.pair.encode_queries([Query("", "cat", "vet")]))
    expected = float(library.index.vectors(["cat-illness"])[0] @ vector)
    assert side.after == pytest.approx(expected, abs=1e-5)
    assert expected != pytest.approx(
        float(library.index.vectors(["cat-illness"])[0] @ held_out_vector(trained_desk, query_id))
    )


def test_marks_are_those_that_the_run_learned_from_relevant_first(trained_desk: Desk) -> None:
    [first, *_] = side_for(trained_desk, "cat-vet", "cat-illness").parts
    assert first.query.public_id is not None
    wanted = sorted(QRELS[first.query.public_id].values(), reverse=True)
    assert [mark.grade for mark in first.marks] == wanted == [1.0, 0.0]
    assert {mark.title for mark in first.marks} == {first.query.text}


def test_marks_of_a_query_that_the_person_is_still_judging_stay_hidden(judged_desk: Desk) -> None:
    judged_desk.train()
    workspace, view = judged_desk.workspace, view_of(judged_desk, judged_desk.query_id("cat-vet"))
    [first, *_] = why(workspace, "ben", view, "cat-illness").sides[-1].parts
    assert first.marks
    pool = [PoolDocument(doc_id, {"light": 1}) for doc_id in ("seal-illness", "moth-illness")]
    with workspace.writing() as session:
        storage.pools.add(session, judged_desk.label_set_id, first.query.id, pool)
    say(judged_desk, "ben", first.query.id, "seal-illness", 0.0)
    parts = {part.query.id: part for part in why(workspace, "ben", view, "cat-illness").sides[-1].parts}
    assert parts[first.query.id].marks == ()
    assert all(part.marks for query_id, part in parts.items() if query_id != first.query.id)
    say(judged_desk, "ben", first.query.id, "moth-illness", 0.0)
    parts = {part.query.id: part for part in why(workspace, "ben", view, "cat-illness").sides[-1].parts}
    assert parts[first.query.id].marks == first.marks


def test_words_are_what_matching_words_add_to_the_cosine(trained_desk: Desk) -> None:
    side = side_for(trained_desk, "cat-vet", "cat-illness", f"light~{RUN}+words")
    library = trained_desk.workspace.library(trained_desk.collection.id)
    found, spread = library.words().search("cat", 100)
    cosines = scores(trained_desk, held_out_vector(trained_desk, trained_desk.query_id("cat-vet")))
    expected = WORD_WEIGHT * cosines.std() / spread * found["cat-illness"]
    assert side.words == pytest.approx(expected, rel=1e-4)
    assert side_for(trained_desk, "cat-vet", "cat-illness").words is None


def test_the_sentence_says_how_many_places_and_whose_marks(trained_desk: Desk) -> None:
    n_moved = 0
    for public_id in QRELS:
        for document in DOCUMENTS:
            side = side_for(trained_desk, public_id, document.doc_id, f"aligned~{RUN}")
            assert side.rank_before is not None
            assert side.rank_after is not None
            n_places = side.rank_before - side.rank_after
            if not n_places:
                assert side.text.startswith(f"In place {side.rank_after} as in the aligned ranking")
                continue
            n_moved += 1
            found = re.match(r"(Up|Down) (\d+) places? against the aligned ranking, mainly because ", side.text)
            assert found is not None, side.text
            assert (found[1], int(found[2])) == ("Up" if n_places > 0 else "Down", abs(n_places))
            for text in re.findall("“([^”]*)”", side.text):
                amounts = {part.query.text: part.amount for part in side.parts if part.amount * n_places > 0}
                assert text in amounts
    assert n_moved > 0


def test_the_sentence_tells_what_aligning_had_done_where_the_light_model_is_compared_with(trained_desk: Desk) -> None:
    told = {document.doc_id: side_for(trained_desk, "cat-vet", document.doc_id).text for document in DOCUMENTS}
    moved = [text for text in told.values() if "Aligning the two models, which needs no marks" in text]
    assert moved
    assert "Aligning" not in side_for(trained_desk, "cat-vet", "cat-illness", f"aligned~{RUN}").text


def test_sides_that_learned_nothing_say_so(trained_desk: Desk) -> None:
    reasons = reasons_for(trained_desk, "cat-vet", "cat-illness", f"bm25~{RUN}~aligned")
    assert [reasons.sides[0].text, reasons.sides[2].text] == [NOT_LEARNED, NOT_LEARNED]
    assert reasons.sides[0].after is None
    assert reasons.words == reasons.sides[1].text
    assert reasons_for(trained_desk, "cat-vet", "cat-illness", "bm25~light").words == NOT_LEARNED


def test_a_run_of_before_reasons_were_kept_asks_to_train_again(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    assert side_for(judged_desk, "cat-vet", "cat-illness", f"light~run-{run.id}").text == TRAIN_AGAIN


def test_what_taught_a_run_is_read_again_where_another_run_was_written_to_its_folder(trained_desk: Desk) -> None:
    before = side_for(trained_desk, "cat-vet", "cat-illness")
    assert before.parts
    run = trained_desk.workspace.adapter_folder(int(RUN.removeprefix("run-")))
    about = json.loads((run / "adapter.json").read_text())
    kept = json.dumps(about)
    about["provenance"]["influence"] = None
    try:
        (run / "adapter.json").write_text(json.dumps(about))
        assert _account(run) is None
    finally:
        (run / "adapter.json").write_text(kept)
    assert _account(run) is not None


def test_the_published_recipe_leaves_no_account(judged_desk: Desk) -> None:
    run = judged_desk.train("paper")
    assert side_for(judged_desk, "cat-vet", "cat-illness", f"light~run-{run.id}").text == NO_ACCOUNT


def test_a_run_that_aligned_otherwise_is_explained_from_its_own_start(judged_desk: Desk) -> None:
    library = judged_desk.workspace.library(judged_desk.collection.id)
    numbers = {judged_desk.query_id(public_id): grades for public_id, grades in QRELS.items()}
    queries = [Query(str(n), judged_desk.query(n).text, judged_desk.query(n).instruction) for n in numbers]
    qrels = {str(query_id): grades for query_id, grades in numbers.items()}
    fitted = fit("era-dual", library.alignment_texts(), library.index, library.pair, queries, qrels)
    assert fitted.influence is not None
    run = judged_desk.finish_by_hand(swapped_topics())
    folder = judged_desk.workspace.adapter_folder(run.id)
    about = dict(QueryAdapter.load(folder)[0].provenance)
    about |= {"query_ids": fitted.query_ids, "config": fitted.config, "influence": fitted.influence.facts()}
    shutil.rmtree(folder)
    extra = {f"influence_{name}": array for name, array in fitted.influence.arrays().items()}
    replace(fitted.adapter, provenance=about).save(folder, {"held_out": fitted.held_out_vectors, **extra})

    side = side_for(judged_desk, "cat-vet", "cat-illness", f"light~run-{run.id}")
    [before] = fitted.aligned.transform(library.pair.encode_queries([Query("", "cat", "vet")]))
    after = fitted.held_out_vectors[fitted.query_ids.index(str(judged_desk.query_id("cat-vet")))]
    [document] = library.index.vectors(["cat-illness"])
    assert side.before == pytest.approx(float(document @ before), abs=1e-5)
    assert side.after == pytest.approx(float(document @ after), abs=1e-5)
    assert side.before != pytest.approx(
        float(document @ aligned_vector(judged_desk, Query("", "cat", "vet"))), abs=1e-4
    )


def test_why_needs_a_query_and_a_document_of_the_collection(trained_desk: Desk) -> None:
    view = view_of(trained_desk, None)
    with pytest.raises(InvalidInputError, match="Choose a query"):
        why(trained_desk.workspace, "ann", view, "cat-illness")
    view = replace(view, query_id=trained_desk.query_id("cat-vet"))
    with pytest.raises(NotFoundError, match="document"):
        why(trained_desk.workspace, "ann", view, "unicorn")
    with pytest.raises(NotFoundError, match="adapter"):
        why(trained_desk.workspace, "ann", replace(view, sides=("light", "run-99")), "cat-illness")


def test_reasons_panel_is_json_with_the_labels_of_the_sides(trained_desk: Desk) -> None:
    reasons = reasons_for(trained_desk, "cat-vet", "cat-illness")
    shown = as_json(reasons_panel(reasons, {"light": "light model", RUN: "run 1"}))
    assert (shown["kind"], shown["doc_id"], shown["words"]) == ("why", "cat-illness", reasons.words)
    assert [side["label"] for side in shown["sides"]] == ["light model", "run 1"]
    assert shown["sides"][0]["parts"] == []
    part = shown["sides"][1]["parts"][0]
    assert part.keys() == {"query_id", "query", "instruction", "amount", "share", "marks"}
    assert part["amount"] == reasons.sides[1].parts[0].amount
