"""The judging desk as the page gets it: JSON, texts as they are, and nothing that the desk left out."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.collections.page import OpenPage, QueryProgress
from annotation.judging.marks import Saved
from annotation.judging.queries import NOT_STORED, ImportOutcome, QueryLine, query_hash
from annotation.judging.setup import DeskSetup, Place, Template
from annotation.judging.view import Card, Opinion, Revealed, Said, Undoable
from annotation.judging.view import Desk as LaidOut
from annotation.labels.current import QueryStanding
from annotation.ranking.rankers import Ranker, RankingKey
from annotation.ui.payloads.judging import (
    card_payload,
    import_panel,
    judge_panel,
    query_list,
    query_terms,
    saved_panel,
    settings_panel,
)
from era.corpus import content_hash
from era.io.content import SourceQuery
from era.types import Document, Query
from storage.records import CollectionRecord, JudgmentRole, LabelSetRecord, QueryRecord
from tests.worlds.desk import as_json

AT = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = OpenPage(
    CollectionRecord(1, "animals", "Made up", False, "", 16, "", None, AT, AT),
    LabelSetRecord(2, 1, "mine", "ann", AT, ""),
    "",
)
QUERY = QueryRecord(7, 1, None, "Which cats purr?", 3, "as an owner", "What **purrs**", "ann", AT)
OTHER = QueryRecord(8, 1, "q8", "dog matching", 3, "as an owner", "", "bob", AT)
CATS, COPY, DOGS = Document("d1", "Cats", "They purr."), Document("d2", "", "They purr."), Document("d3", "", "Bark.")
RANKERS = [
    Ranker(RankingKey("light"), "light model alone"),
    Ranker(RankingKey("run-1+words"), "after your marks (run 1)", "1", "others"),
]
HOSTILE = "<script>alert('x')</script> & \"quoted\" </textarea>"


def panel(laid_out: LaidOut, author: str | None = "ann", setup: DeskSetup | None = None, **more: Any) -> dict[str, Any]:
    ranker = more.pop("ranker", "light")
    return as_json(
        judge_panel(Place(author, PAGE, setup or DeskSetup(), (), more.pop("pace", None)), laid_out, ranker, **more)
    )


def source(base: str, rank: int | None, is_run: bool = False) -> dict[str, Any]:
    return {"base": base, "is_alone": True, "has_words": False, "is_run": is_run, "rank": rank}


def told_once(setup: DeskSetup, instructions: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    chosen = {"in_use": "light", "must_acknowledge": False, "rankers": RANKERS, "instructions": instructions}
    return as_json(settings_panel(Place("ann", PAGE, setup, ()), **{**chosen, **more}))


def test_judge_panel_shows_the_desk() -> None:
    setup = DeskSetup(("no", "yes"), "*Read*", (Template("Vet", "as a vet"),), is_blind=False)
    laid_out = LaidOut(
        view="ranking",
        query=QUERY,
        cards=[Card(QUERY, CATS, 1, 0.75, (COPY,)), Card(QUERY, DOGS, 2, 0.5)],
        said={7: {"d1": Said(1.0, False, ""), "d3": Said(None, True, "Hm.")}},
        revealed={
            7: {
                "d1": Revealed(
                    {"run-1": 1, "light": 4, "random": None}, (Opinion("bob", JudgmentRole.JUDGE, 0.0, "No."),)
                )
            }
        },
        settled={8: {"d3": Said(0.0, False, "")}},
        n_by_others=3,
        is_finished=True,
        took_ms=12.5,
    )
    shown = panel(
        laid_out, setup=setup, pace=8.5, phrase="they", like=("d3", "Dogs"), error="Wait.", settings={"told": "once"},
    )  # fmt: skip
    assert len(shown.pop("version")) == 16
    assert shown == {
        "page": {"collection_id": 1, "label_set_id": 2, "label_set": "mine", "remark": ""},
        "settings": {"told": "once"},
        "can_write": True,
        "person": "ann",
        "error": "Wait.",
        "query": {
            "id": 7,
            "text": "Which cats purr?",
            "instruction": "as an owner",
            "need": "What **purrs**",
            "need_tree": [["p", {}, ["What ", ["strong", {}, ["purrs"]]]]],
            "is_mine": True,
        },
        "ranker": "light",
        "view": "ranking",
        "phrase": "they",
        "like_title": "Dogs",
        "cards": [
            {
                "query_id": 7, "query_hash": query_hash(QUERY),
                "doc_id": "d1", "title": "Cats", "text": "They purr.", "rank": 1, "score": 0.75,
                "content_hash": content_hash(CATS), "why": {}, "is_adjudication": False,
                "duplicates": [
                    {"doc_id": "d2", "title": "d2", "text": "They purr.", "content_hash": content_hash(COPY)}
                ],
            },
            {
                "query_id": 7, "query_hash": query_hash(QUERY),
                "doc_id": "d3", "title": "d3", "text": "Bark.", "rank": 2, "score": 0.5,
                "content_hash": content_hash(DOGS), "why": {}, "is_adjudication": False, "duplicates": [],
            },
        ],
        "said": {
            "7": {
                "d1": {"grade": 1.0, "unsure": False, "note": ""},
                "d3": {"grade": None, "unsure": True, "note": "Hm."},
            }
        },
        "settled": {"8": {"d3": {"grade": 0.0, "unsure": False, "note": ""}}},
        "revealed": {
            "7": {
                "d1": {
                    "sources": [source("run-1", 1, is_run=True), source("light", 4), source("random", None)],
                    "opinions": [{"author": "bob", "role": "judge", "grade": 0.0, "note": "No."}],
                }
            }
        },
        "undoable": [],
        "n_by_others": 3,
        "is_finished": True,
        "seconds_per_document": 8.5,
        "took_ms": 12.5,
        "terms": ["cats", "purr"],
        "url": {"collection": 1, "labels": 2, "query": 7, "view": "ranking", "by": "light"},
    }  # fmt: skip


def test_settings_panel_says_what_changes_seldom() -> None:
    setup = DeskSetup(("no", "yes"), "*Read*", (Template("Vet", "as a vet"),), is_blind=False)
    told = told_once(
        setup, ["as a vet", "as an owner", ""], must_acknowledge=True, may_settle=True, may_describe=("own",)
    )
    assert len(told.pop("version")) == 16
    assert told == {
        "setup": {
            "grades": ["no", "yes"],
            "guidelines": [["p", {}, [["em", {}, ["Read"]]]]],
            "guidelines_hash": hashlib.sha256(b"*Read*").hexdigest(),
            "templates": [{"name": "Vet", "instruction": "as a vet"}],
            "is_blind": False,
        },
        "must_acknowledge": True,
        "instructions": ["as a vet", "as an owner", ""],
        "rankers": [
            {
                "key": "light", "base": "light", "has_words": False, "reread": "light+reread", "run": "",
                "is_usual": True,
            },
            {
                "key": "run-1+words", "base": "run-1", "has_words": True, "reread": "run-1+words+reread", "run": "1",
                "is_usual": False,
            },
        ],
        "in_use": "light",
        "may_describe": ["own"],
        "may_settle": True,
        "n_reread": 50,
        "n_documents": 16,
    }  # fmt: skip


def test_judge_panel_says_so_when_what_was_told_once_is_another_now() -> None:
    now = panel(LaidOut("pool", None, ()))
    assert now["version"] == told_once(DeskSetup())["version"]
    others = [
        panel(LaidOut("pool", None, ()), "bob"),
        panel(LaidOut("pool", None, ()), setup=DeskSetup(guidelines="Look.")),
    ]
    assert len({now["version"], *(other["version"] for other in others)}) == 3


def test_judge_panel_without_a_query_is_empty() -> None:
    shown = panel(LaidOut("pool", None, ()), None)
    assert (shown["can_write"], shown["person"], shown["cards"], shown["terms"]) == (False, None, [], [])
    assert shown["query"] == {
        "id": None,
        "text": "",
        "instruction": "",
        "need": "",
        "need_tree": [],
        "is_mine": False,
    }
    assert shown["url"] == {"collection": 1, "labels": 2, "query": None, "view": None, "by": None}


def test_judge_panel_names_no_query_that_is_not_stored() -> None:
    shown = panel(LaidOut("pool", replace(QUERY, id=NOT_STORED), ()), None)
    assert (shown["query"]["id"], shown["query"]["text"]) == (None, "Which cats purr?")
    assert shown["url"]["query"] is None


@pytest.mark.parametrize(
    ("view", "in_url", "by"),
    [
        ("pool", None, None),
        ("ranking", "ranking", "run-1"),
        ("similar", None, None),
        ("again", "again", None),
        ("conflicts", "conflicts", None),
    ],
)
def test_judge_panel_puts_into_the_address_what_can_be_opened_again(view: Any, in_url: str | None, by: str) -> None:
    shown = panel(LaidOut(view, QUERY, ()), ranker="run-1")
    assert (shown["view"], shown["url"]["view"], shown["url"]["by"]) == (view, in_url, by)


def test_judge_panel_offers_each_instruction_once_templates_first() -> None:
    setup = DeskSetup(templates=(Template("Vet", "as a vet"), Template("Both", "as both")))
    assert told_once(setup, ["as an owner", "as both", ""])["instructions"] == [
        "as a vet",
        "as both",
        "as an owner",
        "",
    ]


def test_card_of_another_query_says_which() -> None:
    card = Card(OTHER, DOGS, why={"code": "conflict"}, is_adjudication=True)
    own, other, none_open = (card_payload(card, query) for query in (OTHER, QUERY, None))
    assert "query_text" not in own
    assert other == none_open == {**own, "query_text": "dog matching", "terms": ["dog", "match"]}
    assert (other["why"], other["is_adjudication"]) == ({"code": "conflict"}, True)


def undoable(sequence: int, doc_id: str, together_with: str | None = None, before: Said | None = None) -> Undoable:
    return Undoable("page-1", sequence, doc_id, together_with, before or Said(None, False, ""))


def test_identical_documents_are_undone_with_the_one_they_were_judged_with() -> None:
    laid_out = LaidOut(
        "pool",
        QUERY,
        (),
        undoable=[
            undoable(1, "d1", None, Said(0.0, False, "Hm.")),
            undoable(2, "d2", "d1"),
            undoable(3, "d4", "d1"),
            undoable(4, "d3"),
            undoable(5, "d2", "d1"),  # not next to it any more
        ],
    )
    acts = panel(laid_out)["undoable"]
    assert [[each["sequence"] for each in act] for act in acts] == [[1, 2, 3], [4], [5]]
    assert acts[0][0] == {
        "client_id": "page-1",
        "sequence": 1,
        "query_id": 7,
        "doc_id": "d1",
        "before": {"grade": 0.0, "unsure": False, "note": "Hm."},
    }


def test_judge_panel_passes_texts_on_unchanged() -> None:
    query = replace(QUERY, text=HOSTILE, instruction=HOSTILE, need=HOSTILE)
    laid_out = LaidOut(
        "again",
        query,
        [Card(replace(query, id=9), Document(HOSTILE, HOSTILE, HOSTILE), why={"other": HOSTILE})],
        said={7: {HOSTILE: Said(1.0, False, HOSTILE)}},
        revealed={7: {HOSTILE: Revealed({HOSTILE: 1}, (Opinion(HOSTILE, JudgmentRole.JUDGE, 1.0, HOSTILE),))}},
    )
    setup = DeskSetup(guidelines=HOSTILE, templates=(Template(HOSTILE[:60], HOSTILE),))
    shown = panel(laid_out, HOSTILE, setup, phrase=HOSTILE, like=("d1", HOSTILE))
    [card] = shown["cards"]
    assert {card[name] for name in ("doc_id", "title", "text", "query_text")} == {HOSTILE}
    assert {shown["query"][name] for name in ("text", "instruction", "need")} == {HOSTILE}
    assert (shown["person"], shown["phrase"], shown["like_title"], card["why"]) == (
        HOSTILE, HOSTILE, HOSTILE, {"other": HOSTILE},
    )  # fmt: skip
    told = told_once(setup)
    assert told["instructions"] == [HOSTILE]
    assert shown["said"]["7"][HOSTILE]["note"] == HOSTILE
    revealed = shown["revealed"]["7"][HOSTILE]
    assert (revealed["sources"], revealed["opinions"][0]["note"]) == ([source(HOSTILE, 1)], HOSTILE)
    assert told["setup"]["guidelines"] == shown["query"]["need_tree"] == [["p", {}, [HOSTILE]]]


def test_saved_panel_says_what_a_delivery_changed() -> None:
    saved = Saved(
        stored=(("page-1", 4), ("page-2", 1)),
        refused={("page-1", 5): "A grade is 0 or 1 here."},
        said={7: {"d1": Said(1.0, False, "Yes.")}},
        settled={7: {}},
    )
    standing = QueryStanding(n_relevant=1, n_not_relevant=2, n_imported=1, n_conflicts=1, n_mine=2, n_people=2)
    assert as_json(
        saved_panel(
            replace(
                saved,
                revealed={7: {"d1": Revealed({"run-1": 2}, ())}},
                finished={7: True},
                progress={7: (standing, "begun")},
                as_of=12,
            )
        )
    ) == {
        "stored": ["page-1:4", "page-2:1"],
        "refused": {"page-1:5": "A grade is 0 or 1 here."},
        "said": {"7": {"d1": {"grade": 1.0, "unsure": False, "note": "Yes."}}},
        "settled": {"7": {}},
        "revealed": {"7": {"d1": {"sources": [source("run-1", 2, is_run=True)], "opinions": []}}},
        "finished": {"7": True},
        "progress": {
            "7": {
                "n_relevant": 1,
                "n_not_relevant": 2,
                "n_imported": 1,
                "n_conflicts": 1,
                "n_mine": 2,
                "state": "begun",
            }
        },
        "as_of": 12,
    }


def test_query_list_says_what_is_mine_and_what_is_done() -> None:
    begun = QueryStanding(n_relevant=1, n_not_relevant=2, n_conflicts=1, n_mine=2, n_people=2)
    lines = [
        QueryLine(QueryProgress(QUERY, begun), is_own=True, state="begun"),
        QueryLine(QueryProgress(OTHER, replace(begun, n_conflicts=0)), is_own=False, state="done"),
    ]
    shown = as_json(query_list(lines, as_of=12))
    assert shown["as_of"] == 12
    counts = {"n_relevant": 1, "n_not_relevant": 2, "n_imported": 0, "n_mine": 2}
    assert shown["list"] == [
        {
            "id": 7, "text": "Which cats purr?", "instruction": "as an owner", "is_mine": True, "state": "begun",
            "n_conflicts": 1, **counts,
        },
        {
            "id": 8, "text": "dog matching", "instruction": "as an owner", "is_mine": False, "state": "done",
            "n_conflicts": 0, **counts,
        },
    ]  # fmt: skip


def test_import_panel_shows_five_examples_in_short() -> None:
    new = [SourceQuery(Query("", f"{number}" * 300, "i" * 300)) for number in range(7)]
    shown = as_json(import_panel(ImportOutcome(new, 2, ("Said.",)), is_done=False))
    assert shown == {
        "n_new": 7,
        "n_known": 2,
        "examples": [{"text": f"{number}" * 200, "instruction": "i" * 200} for number in range(5)],
        "remarks": ["Said."],
        "is_done": False,
    }


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("How do I read large files?", ["read", "large", "file"]),
        ("the and of it", []),
        ("Matching matched matches match", ["match"]),
        ("C++ (a|b)* [x-z] .* \\d $^ vector_search", ["vector", "search"]),
        ("naïve Größe 検索方法", ["naïve", "größe", "検索方法"]),
        ("cats cats CATS", ["cats"]),
    ],
)
def test_query_terms_are_the_stems_of_content_words(text: str, terms: list[str]) -> None:
    assert query_terms(text) == terms


@given(st.text(max_size=200))
def test_query_terms_are_safe_in_a_regular_expression(text: str) -> None:
    terms = query_terms(text)
    assert len(terms) <= 40
    for term in terms:
        assert term
        assert not set(term) & set("\\^$.|?*+()[]{}/-#&~<>\"'` \t\n")


def test_query_terms_are_at_most_forty() -> None:
    assert len(query_terms(" ".join(f"word{number}x" for number in range(100)))) == 40
