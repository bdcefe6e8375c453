"""Why a document moved: every number against the saved adapter and the vectors themselves, and the arrow beside it."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import storage.label_sets
from annotation.comparing.explain import (
    AS_KEPT,
    BY_DESCENT,
    BY_STRONG,
    BY_WORDS,
    TRAIN_AGAIN,
    Contribution,
    Reasons,
    ScoreChange,
    SideReasons,
    _learned,
    why,
)
from annotation.comparing.rank import compare_query
from annotation.comparing.snapshot import take
from annotation.comparing.view import ComparisonView, read_view
from annotation.errors import InvalidInputError, NotFoundError
from annotation.ranking.rankers import LIGHT, RankingKey
from annotation.ui.payloads.compare_answers import reasons_panel
from era.adapter import QueryAdapter
from era.encoders.base import Vectors
from era.index.lexical import WORD_WEIGHT
from era.intact import read_json, write_json
from era.method.influence import aligned_parts, explain, trained_parts
from era.method.recipes import fit
from era.progress import no_progress
from era.types import Query
from storage.records import PoolDocument
from tests.worlds.desk import Desk, as_json, swapped_topics
from tests.worlds.judging import say
from tests.worlds.words import DOCUMENTS, QRELS, QUERIES

RUN = "run-1"


def view_of(
    desk: Desk, query_id: int | None, sides: str = f"light~{RUN}", is_in_sample: bool = False
) -> ComparisonView:
    return read_view(desk.workspace, desk.page, sides, query_id, is_in_sample=is_in_sample)


def reasons_for(desk: Desk, public_id: str, doc_id: str, sides: str = f"light~{RUN}") -> Reasons:
    return why(desk.workspace, "ann", view_of(desk, desk.query_id(public_id), sides), doc_id)


def side_for(desk: Desk, public_id: str, doc_id: str, sides: str = f"light~{RUN}") -> SideReasons:
    return reasons_for(desk, public_id, doc_id, sides).sides[-1]


def change_for(desk: Desk, public_id: str, doc_id: str, sides: str = f"light~{RUN}") -> ScoreChange:
    change = side_for(desk, public_id, doc_id, sides).change
    assert change is not None
    return change


def named(change: ScoreChange) -> float:
    """Return the sum of everything that is said of a change but the rest."""
    parts = sum(part.amount for part in change.parts)
    own = change.aligning + change.weighing + change.length + change.words + change.rereading
    return parts + own + change.common


def vectors_of(desk: Desk, query: Query, query_id: int) -> dict[str, Vectors]:
    """Return what each ranking searches with for a labelled query."""
    opened = desk.workspace.open(desk.collection.id)
    [light], [aligned] = opened.light().query_vectors([query]), opened.aligned().query_vectors([query])
    return {"light": light, "aligned": aligned, RUN: held_out_vector(desk, query_id)}


def scores(desk: Desk, vector: Vectors) -> Vectors:
    """Return the cosine of a query vector with every document, in the order of DOCUMENTS."""
    index = desk.workspace.open(desk.collection.id).index
    return np.asarray(index.vectors([document.doc_id for document in DOCUMENTS]) @ vector, np.float32)


def held_out_vector(desk: Desk, query_id: int) -> Vectors:
    """Return the vector of a labelled query by adapters that never saw its labels, as the training run saved it."""
    adapter, extra = QueryAdapter.load(desk.workspace.adapter_folder(1))
    return np.asarray(extra["held_out"][adapter.provenance["query_ids"].index(str(query_id))], np.float32)


def aligned_vector(desk: Desk, query: Query) -> Vectors:
    [vector] = desk.workspace.open(desk.collection.id).aligned().query_vectors([query])
    return np.asarray(vector, np.float32)


@pytest.mark.parametrize("sides", [f"light~{RUN}", f"aligned~{RUN}", "light~aligned", f"{RUN}~light", f"{RUN}~aligned"])
@pytest.mark.parametrize("doc_id", ["cat-illness", "cat-feeding", "moth-illness"])
def test_reasons_add_up_to_the_change_against_the_first_side(trained_desk: Desk, doc_id: str, sides: str) -> None:
    query_id, place = trained_desk.query_id("cat-vet"), [each.doc_id for each in DOCUMENTS].index(doc_id)
    vectors = vectors_of(trained_desk, Query("", "cat", "vet"), query_id)
    before, after = (scores(trained_desk, vectors[key]) for key in sides.split("~"))
    side = side_for(trained_desk, "cat-vet", doc_id, sides)
    assert side.change is not None
    assert side.change.before == pytest.approx(before[place], abs=1e-5)
    assert side.change.after == pytest.approx(after[place], abs=1e-5)
    change = after - before  # both rankings show all 16 documents, so they are what the document is compared with
    assert abs(change[place]) > 1e-4
    assert named(side.change) + side.change.rest == pytest.approx(side.change.after - side.change.before, abs=1e-6)
    assert side.change.common == pytest.approx(change.mean(), abs=1e-5)
    assert named(side.change) + side.change.rest - side.change.common == pytest.approx(
        change[place] - change.mean(), abs=1e-5
    )
    assert side.rank_before is not None
    assert side.rank_after is not None
    assert np.sort(before)[-side.rank_before] == pytest.approx(before[place], abs=1e-6)
    assert np.sort(after)[-side.rank_after] == pytest.approx(after[place], abs=1e-6)


def test_aligning_is_the_whole_change_between_the_light_model_and_the_aligned_one(trained_desk: Desk) -> None:
    vectors = vectors_of(trained_desk, Query("", "cat", "vet"), trained_desk.query_id("cat-vet"))
    change = scores(trained_desk, vectors["aligned"]) - scores(trained_desk, vectors["light"])
    for place, document in enumerate(DOCUMENTS):
        found = change_for(trained_desk, "cat-vet", document.doc_id, "light~aligned")
        assert found.aligning == pytest.approx(change[place] - change.mean(), abs=1e-5)
        assert (found.parts, found.weighing, found.length, found.words) == ([], 0.0, 0.0, 0.0)
        assert found.rest == pytest.approx(0.0, abs=1e-5)


def test_what_aligning_did_is_not_laid_to_the_marks(trained_desk: Desk) -> None:
    """Between the light model and a run stands what both steps did: each part is that of its own step."""
    for document in DOCUMENTS:
        both, first, second = (
            change_for(trained_desk, "cat-vet", document.doc_id, sides)
            for sides in (f"light~{RUN}", "light~aligned", f"aligned~{RUN}")
        )
        assert both.aligning == pytest.approx(first.aligning, abs=1e-6)
        assert both.weighing == pytest.approx(second.weighing, abs=1e-6)
        assert both.length == pytest.approx(second.length, abs=1e-6)
        assert [part.amount for part in both.parts] == pytest.approx([part.amount for part in second.parts], abs=1e-6)
        assert both.after - both.before == pytest.approx(
            first.after - first.before + second.after - second.before, abs=1e-6
        )


def test_marks_that_a_run_on_the_left_learned_from_too_are_taken_off(judged_desk: Desk) -> None:
    judged_desk.train()
    judged_desk.mark(judged_desk.query_id("hare-owner"), "hare-feeding", 0.0, 1)
    second = judged_desk.train()
    ways = (f"aligned~{RUN}", f"aligned~run-{second.id}", f"{RUN}~run-{second.id}")
    n_taught = 0
    for document in DOCUMENTS:
        by_first, by_second, by_both = (
            {part.query.id: part.amount for part in change_for(judged_desk, "cat-vet", document.doc_id, way).parts}
            for way in ways
        )
        for query_id, amount in by_both.items():
            if query_id in by_first and query_id in by_second:
                assert amount == pytest.approx(by_second[query_id] - by_first[query_id], abs=1e-6)
                n_taught += 1
    assert n_taught > 0


@pytest.mark.parametrize("sides", [f"light~{RUN}", "light~light+words", f"{RUN}~aligned+words~{RUN}+words"])
def test_reasons_are_about_the_very_scores_and_places_that_stand_side_by_side(trained_desk: Desk, sides: str) -> None:
    view = view_of(trained_desk, trained_desk.query_id("dog-owner"), sides)
    first, *others = compare_query(trained_desk.workspace, "ann", view).sides
    n_shown = 0
    for place, other in enumerate(others):
        before = {row.doc_id: row.score for row in first.results}
        for row in other.results:
            side = why(trained_desk.workspace, "ann", view, row.doc_id).sides[place]
            assert side.change is not None
            assert (side.rank_before, side.rank_after) == (row.ranks[0], row.rank)
            assert side.change.after == pytest.approx(row.score, abs=1e-6)
            if row.doc_id in before:
                assert side.change.before == pytest.approx(before[row.doc_id], abs=1e-6)
                n_shown += 1
    assert n_shown > 0


def test_parts_are_the_five_largest(trained_desk: Desk) -> None:
    change = change_for(trained_desk, "cat-vet", "cat-illness")
    sizes = [abs(part.amount) for part in change.parts]
    assert len(sizes) == 5
    assert sizes == sorted(sizes, reverse=True)
    assert abs(change.rest) <= 5 * sizes[-1]  # of the 10 other queries that are not held out together with it


def test_no_query_of_the_same_text_explains_a_query_that_was_held_out(trained_desk: Desk) -> None:
    for public_id in ("cat-vet", "dog-owner", "hare-vet"):
        animal = public_id.partition("-")[0]
        parts = change_for(trained_desk, public_id, f"{animal}-illness").parts
        assert parts
        assert animal not in {part.query.text for part in parts}


def test_reasons_in_sample_are_of_the_adapter_that_learned_from_the_query(trained_desk: Desk) -> None:
    query_id = trained_desk.query_id("cat-vet")
    view = view_of(trained_desk, query_id, is_in_sample=True)
    change = why(trained_desk.workspace, "ann", view, "cat-illness").sides[-1].change
    assert change is not None
    adapter, _ = QueryAdapter.load(trained_desk.workspace.adapter_folder(1))
    opened = trained_desk.workspace.open(trained_desk.collection.id)
    [vector] = adapter.transform(opened.pair.encode_queries([Query("", "cat", "vet")]))
    expected = float(opened.index.vectors(["cat-illness"])[0] @ vector)
    assert change.after == pytest.approx(expected, abs=1e-5)
    assert expected != pytest.approx(
        float(opened.index.vectors(["cat-illness"])[0] @ held_out_vector(trained_desk, query_id))
    )


def test_marks_are_those_that_the_run_learned_from_relevant_first(trained_desk: Desk) -> None:
    [first, *_] = change_for(trained_desk, "cat-vet", "cat-illness").parts
    assert first.query.public_id is not None
    wanted = sorted(QRELS[first.query.public_id].values(), reverse=True)
    assert [mark.grade for mark in first.marks] == wanted == [1.0, 0.0]
    assert {mark.title for mark in first.marks} == {first.query.text}


def test_marks_of_a_query_that_the_person_is_still_judging_stay_hidden(judged_desk: Desk) -> None:
    judged_desk.train()
    workspace, view = judged_desk.workspace, view_of(judged_desk, judged_desk.query_id("cat-vet"))

    def parts() -> Sequence[Contribution]:
        change = why(workspace, "ben", view, "cat-illness").sides[-1].change
        assert change is not None
        return change.parts

    [first, *_] = parts()
    assert first.marks
    pool = [PoolDocument(doc_id, {"light": 1}) for doc_id in ("seal-illness", "moth-illness")]
    with workspace.writing() as session:
        storage.label_sets.add_to_pool(session, judged_desk.label_set_id, first.query.id, pool)
    say(judged_desk, "ben", first.query.id, "seal-illness", 0.0)
    by_query = {part.query.id: part for part in parts()}
    assert by_query[first.query.id].marks == ()
    assert all(part.marks for query_id, part in by_query.items() if query_id != first.query.id)
    say(judged_desk, "ben", first.query.id, "moth-illness", 0.0)
    assert {part.query.id: part for part in parts()}[first.query.id].marks == first.marks


def test_words_are_what_matching_words_add_to_the_cosine(trained_desk: Desk) -> None:
    opened = trained_desk.workspace.open(trained_desk.collection.id)
    found, spread = opened.words().search("cat", 100)
    cosines = scores(trained_desk, held_out_vector(trained_desk, trained_desk.query_id("cat-vet")))
    added = {doc_id: WORD_WEIGHT * cosines.std() / spread * score for doc_id, score in found.items()}
    mean = sum(added.values()) / len(DOCUMENTS)
    for doc_id, expected in (("cat-illness", added["cat-illness"] - mean), ("moth-illness", -mean)):
        change = change_for(trained_desk, "cat-vet", doc_id, f"{RUN}~{RUN}+words")
        assert change.words == pytest.approx(expected, rel=1e-4)
        assert change.common == pytest.approx(mean, rel=1e-4)
        assert (change.parts, change.aligning, change.weighing, change.length) == ([], 0.0, 0.0, 0.0)
        less = change_for(trained_desk, "cat-vet", doc_id, f"{RUN}+words~{RUN}")
        assert less.words == pytest.approx(-expected, rel=1e-4)
    assert change_for(trained_desk, "cat-vet", "cat-illness").words == 0.0


def test_rereading_is_what_the_strong_model_adds_by_reading(trained_desk: Desk) -> None:
    query_id = trained_desk.query_id("cat-vet")
    vector = held_out_vector(trained_desk, query_id)
    opened = trained_desk.workspace.open(trained_desk.collection.id)
    ids = [document.doc_id for document in DOCUMENTS]
    encoded = opened.pair.encode_queries([Query("", "cat", "vet")])
    strong = (
        trained_desk.strong.encode_documents([d.content for d in DOCUMENTS]) @ (encoded.instructed + encoded.plain)[0]
    ) / 2
    cosines = scores(trained_desk, vector)
    added = 2 * cosines.std() / strong.std() * (strong - strong.mean())  # all 16 documents are alignment texts
    for doc_id in ("cat-illness", "cat-feeding", "moth-illness"):
        change = side_for(trained_desk, "cat-vet", doc_id, f"{RUN}~{RUN}+reread").change
        assert change is not None
        assert change.rereading == pytest.approx(added[ids.index(doc_id)], abs=1e-5)
        assert list(change.parts) == []
        assert change.aligning == pytest.approx(0)
        assert change.words == 0
        assert change.rest == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("first", ["light", "aligned"])
def test_the_sentence_says_how_many_places_against_the_first_side_and_whose_share_is_largest(
    trained_desk: Desk, first: str
) -> None:
    label = {"light": "light model alone", "aligned": "aligned, no labels, vectors alone"}[first]
    n_moved = n_by_marks = 0
    for public_id in QRELS:
        for document in DOCUMENTS:
            side = side_for(trained_desk, public_id, document.doc_id, f"{first}~{RUN}")
            assert side.rank_before is not None
            assert side.rank_after is not None
            assert side.change is not None
            n_places = side.rank_before - side.rank_after
            if not n_places:
                assert side.text.startswith(f"In place {side.rank_after} as in “{label}”")
                continue
            n_moved += 1
            found = re.match(rf"(Up|Down) (\d+) places? against “{label}”; (.*)\.$", side.text)
            assert found is not None, side.text
            assert (found[1], int(found[2])) == ("Up" if n_places > 0 else "Down", abs(n_places))
            change, way = side.change, 1 if n_places > 0 else -1
            pushing = [part for part in change.parts if part.amount * way > 0]
            further = {
                "aligning the two models, which needs no marks": change.aligning * way,
                "the parts of the query counting differently": change.weighing * way,
                "scaling the query's vector to length 1": change.length * way,
            }
            largest = max([*(part.amount * way for part in pushing), *further.values()])
            if largest <= 5e-7:
                assert found[3] == "no share of its change points that way, so the documents around it moved"
                continue
            name = found[3].removeprefix("the largest share of the change: ")
            if name in further:
                assert further[name] == largest
                continue
            n_by_marks += 1
            assert name.startswith("your marks on ")
            first_named, *others = re.findall("“([^”]*)”", name)
            assert largest in [part.amount * way for part in pushing if part.query.text == first_named]
            assert set(others) <= {part.query.text for part in pushing}
    assert n_by_marks > 0
    assert n_moved > 0


@pytest.mark.parametrize(
    ("sides", "whose", "reason"),
    [
        ("light~bm25", "BM25, matching words alone", BY_WORDS),
        (f"bm25~{RUN}", "BM25, matching words alone", BY_WORDS),
        (f"light~{RUN}~bm25", "BM25, matching words alone", BY_WORDS),
    ],
)
def test_a_change_that_cannot_be_split_says_so_and_between_what(
    trained_desk: Desk, sides: str, whose: str, reason: str
) -> None:
    labels = {
        "light": "light model alone",
        RUN: "after your marks (run 1), vectors alone",
        "bm25": "BM25, matching words alone",
    }
    reasons = reasons_for(trained_desk, "cat-vet", "cat-illness", sides)
    first, *others = sides.split("~")
    assert [side.key for side in reasons.sides] == others
    assert reasons.sides[-1].change is None
    assert reasons.sides[-1].text == (
        f"What moved it between “{labels[first]}” and “{labels[others[-1]]}” cannot be split: “{whose}” {reason}."
    )
    split = [side for side in reasons.sides if side.change is not None]
    assert len(split) == len(others) - 1
    assert reasons.words == (split or reasons.sides)[-1].text


def test_a_kept_ranking_and_the_strong_model_cannot_be_split(judged_desk: Desk) -> None:
    query_id = judged_desk.query_id("cat-vet")
    slug = take(judged_desk.workspace, "ann", view_of(judged_desk, query_id, "light~aligned"), "Monday").slug
    kept = side_for(judged_desk, "cat-vet", "cat-illness", f"light~snap-{slug}-1")
    assert kept.change is None
    assert kept.text.endswith(f"“Monday: aligned, no labels, vectors alone” {AS_KEPT}.")
    judged_desk.workspace.open(judged_desk.collection.id).strong_reading.read(no_progress)
    for key in ("strong", "strong+words"):
        side = side_for(judged_desk, "cat-vet", "cat-illness", f"light~{key}")
        assert side.change is None
        assert f"“strong model {'+ matching words' if '+' in key else 'alone'}” {BY_STRONG}." in side.text


def test_a_run_of_before_reasons_were_kept_asks_to_train_again(judged_desk: Desk) -> None:
    run = judged_desk.finish_by_hand(swapped_topics())
    side = side_for(judged_desk, "cat-vet", "cat-illness", f"light~run-{run.id}")
    assert side.change is None
    assert side.text.endswith(f"“after your marks (run 1), vectors alone” {TRAIN_AGAIN}.")


def test_reasons_are_as_they_were_when_the_strong_model_has_read_on_since(judged_desk: Desk) -> None:
    workspace, collection_id = judged_desk.workspace, judged_desk.collection.id
    opened = workspace.open(collection_id)
    opened.aligned()
    few, all_texts = opened.aligned_by(opened.alignment_texts().first(9)), opened.alignment_texts()
    assert workspace.replace_opened(collection_id, opened, few)
    judged_desk.train()
    before = change_for(judged_desk, "cat-vet", "cat-illness")
    assert workspace.replace_opened(collection_id, few, few.aligned_by(all_texts))
    after = change_for(judged_desk, "cat-vet", "cat-illness")
    assert (before.aligning, before.rest) != (0, 0)
    for name in ("before", "after", "aligning", "weighing", "length", "rest"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=1e-6), name


def test_what_taught_a_run_is_read_again_where_another_run_was_written_to_its_folder(trained_desk: Desk) -> None:
    assert change_for(trained_desk, "cat-vet", "cat-illness").parts
    run = trained_desk.workspace.adapter_folder(int(RUN.removeprefix("run-")))
    kept = (run / "adapter.json").read_text()
    about = read_json(run / "adapter.json")
    about["provenance"]["influence"] = None
    try:
        write_json(run / "adapter.json", about)
        assert _learned(run) is None
    finally:
        (run / "adapter.json").write_text(kept)
    assert _learned(run) is not None


@pytest.mark.usefixtures("brief_paper")
def test_the_published_recipe_leaves_no_account(judged_desk: Desk) -> None:
    run = judged_desk.train("paper")
    side = side_for(judged_desk, "cat-vet", "cat-illness", f"light~run-{run.id}")
    assert side.change is None
    assert side.text.endswith(f"“after your marks (run 1, paper recipe), vectors alone” {BY_DESCENT}.")


def test_a_run_that_aligned_otherwise_is_explained_from_its_own_start(judged_desk: Desk) -> None:
    opened = judged_desk.workspace.open(judged_desk.collection.id)
    numbers = {judged_desk.query_id(public_id): grades for public_id, grades in QRELS.items()}
    queries = [Query(str(n), judged_desk.query(n).text, judged_desk.query(n).instruction) for n in numbers]
    qrels = {str(query_id): grades for query_id, grades in numbers.items()}
    fitted = fit("era-dual", opened.alignment_texts(), opened.index, opened.pair, queries, qrels)
    assert fitted.influence is not None
    run = judged_desk.finish_by_hand(swapped_topics())
    folder = judged_desk.workspace.adapter_folder(run.id)
    about = dict(QueryAdapter.load(folder)[0].provenance)
    about |= {"query_ids": fitted.query_ids, "config": fitted.config, "influence": fitted.influence.facts()}
    shutil.rmtree(folder)
    extra = {f"influence_{name}": array for name, array in fitted.influence.arrays().items()}
    replace(fitted.adapter, provenance=about).save(folder, {"held_out": fitted.held_out_vectors, **extra})

    change = change_for(judged_desk, "cat-vet", "cat-illness", f"aligned~run-{run.id}")
    [before] = fitted.aligned.transform(opened.pair.encode_queries([Query("", "cat", "vet")]))
    after = fitted.held_out_vectors[fitted.query_ids.index(str(judged_desk.query_id("cat-vet")))]
    [document] = opened.index.vectors(["cat-illness"])
    usual = aligned_vector(judged_desk, Query("", "cat", "vet"))
    assert change.before == pytest.approx(float(document @ usual), abs=1e-5)
    assert change.after == pytest.approx(float(document @ after), abs=1e-5)
    vectors = opened.index.vectors([each.doc_id for each in DOCUMENTS])
    lead = document - vectors.mean(axis=0)
    assert change.aligning == pytest.approx(float(lead @ (before - usual)), abs=1e-5)
    assert abs(change.aligning) > 1e-4


def test_why_needs_a_query_and_a_document_of_the_collection(trained_desk: Desk) -> None:
    view = view_of(trained_desk, None)
    with pytest.raises(InvalidInputError, match="Choose a query"):
        why(trained_desk.workspace, "ann", view, "cat-illness")
    view = replace(view, query_id=trained_desk.query_id("cat-vet"))
    with pytest.raises(NotFoundError, match="document"):
        why(trained_desk.workspace, "ann", view, "unicorn")
    with pytest.raises(NotFoundError, match="adapter"):
        why(trained_desk.workspace, "ann", replace(view, sides=(LIGHT, RankingKey("run-99"))), "cat-illness")


def test_reasons_panel_is_json_with_the_labels_of_the_sides(trained_desk: Desk) -> None:
    reasons = reasons_for(trained_desk, "cat-vet", "cat-illness")
    shown = as_json(reasons_panel(reasons, {"light": "light model", RUN: "run 1"}))
    assert (shown["doc_id"], shown["words"]) == ("cat-illness", reasons.words)
    [side] = shown["sides"]
    assert side["label"] == "run 1"
    part = side["change"]["parts"][0]
    assert part.keys() == {"query_id", "query", "instruction", "amount", "marks"}
    assert reasons.sides[0].change is not None
    assert part["amount"] == pytest.approx(reasons.sides[0].change.parts[0].amount, abs=5e-4)
    not_split = as_json(reasons_panel(reasons_for(trained_desk, "cat-vet", "cat-illness", f"bm25~{RUN}"), {}))
    assert not_split["sides"][0]["change"] is None
    assert "cannot be split" in not_split["words"]


@pytest.mark.parametrize(
    "sides",
    [
        f"light~{RUN}",
        f"aligned~{RUN}+words",
        f"{RUN}~light+words",
        f"light~{RUN}+words+reread",
        f"{RUN}+reread~aligned+reread",
    ],
)
def test_what_is_shown_of_a_change_adds_up_as_it_is_shown(trained_desk: Desk, sides: str) -> None:
    for document in DOCUMENTS:
        reasons = reasons_for(trained_desk, "cat-vet", document.doc_id, sides)
        shown = reasons_panel(reasons, {})["sides"][0]["change"]
        parts = [*shown["parts"], *shown["more"]]
        thousandths = [round(1000 * each["amount"]) for each in parts]
        assert all(thousandths)
        assert sum(thousandths) == round(1000 * shown["after"]) - round(1000 * shown["before"])
        assert sum(thousandths) == round(1000 * shown["total"])
        rest = sum(each["amount"] for each in parts if each.get("label") == "everything smaller, and rounding")
        assert reasons.sides[0].change is not None
        assert abs(rest - reasons.sides[0].change.rest) < 0.0005 * 11  # half a thousandth of each number shown


def test_the_rest_is_what_the_smaller_contributions_add_up_to(trained_desk: Desk) -> None:
    folder = trained_desk.workspace.adapter_folder(1)
    learned = _learned(folder)
    assert learned is not None
    opened, query_id = trained_desk.workspace.open(trained_desk.collection.id), trained_desk.query_id("cat-vet")
    encoded, aligned = opened.pair.encode_queries([Query("", "cat", "vet")]), opened.aligned().adapter
    before = aligned_parts(aligned, encoded)
    after = trained_parts(learned[0], aligned, encoded, str(query_id))
    vectors = opened.index.vectors([document.doc_id for document in DOCUMENTS])
    for place, document in enumerate(DOCUMENTS):
        change = change_for(trained_desk, "cat-vet", document.doc_id)
        amounts = explain(before, after, vectors[place], vectors).by_query
        named = {str(part.query.id) for part in change.parts}
        assert len(amounts.keys() - named) == len(QUERIES) - 5
        others = sum(amount for other_id, amount in amounts.items() if other_id not in named)
        assert change.rest == pytest.approx(others, abs=1e-5)
