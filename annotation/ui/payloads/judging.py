"""The judging desk as the page draws it: the desk, what a delivery of marks changed, and the query list."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annotation.judging.marks import Delivery, Saved
from annotation.judging.queries import NOT_STORED, ImportOutcome, QueryLine, query_hash
from annotation.judging.setup import Place
from annotation.judging.view import Card, Desk, Revealed, Said, Undoable
from annotation.labels.current import QueryStanding, QueryState
from annotation.ranking.rankers import Ranker, RankingKey
from annotation.ui.payloads.markdown import markdown_tree
from annotation.ui.payloads.wording import Payload, page_ids
from era.corpus import content_hash
from era.method.reranking import N_REREAD
from storage.records import QueryRecord

_STOP_WORDS = frozenset(
    (
        "a about after all an and any are as at be been but by can could do does each for from get give had has have "
        "how i if in into is it its just like me more my need no not of on one only or other our out over several "
        "should so some than that the their them then there these they this those through to under up want was we "
        "what when where which while who with without would you your"
    ).split()
)


def query_terms(text: str) -> list[str]:
    """Return the stems of a query's content words, safe to put into a regular expression."""
    words = dict.fromkeys(word.lower() for word in re.findall(r"[^\W_]{3,}", text))
    stems = [re.sub(r"(?<=\w{4})(es|s|ing|ed)$", "", word) for word in words if word not in _STOP_WORDS]
    return list(dict.fromkeys(stems))[:40]


def settings_panel(
    place: Place,
    *,
    in_use: str,
    must_acknowledge: bool,
    instructions: Sequence[str],
    rankers: Sequence[Ranker],
    may_describe: Sequence[str] = (),
    may_settle: bool = False,
) -> Payload:
    """Return what a page of the desk is told once, and again when its version has changed.

    Args:
        place: the open collection and label set, and who looks.
        in_use: key of the ranking in use.
        must_acknowledge: whether the guidelines have to be read first.
        instructions: used in the collection so far.
        rankers: every way to rank.
        may_describe: of which queries the author may say what they need: "all" or "own".
        may_settle: whether the author may settle what judges disagree about.
    """
    setup = place.setup
    return {
        "version": place.version,
        "setup": {
            "grades": list(setup.grade_names),
            "guidelines": markdown_tree(setup.guidelines),
            "guidelines_hash": setup.guidelines_hash,
            "templates": [{"name": each.name, "instruction": each.instruction} for each in setup.templates],
            "is_blind": setup.is_blind,
        },
        "must_acknowledge": must_acknowledge,
        "instructions": list(dict.fromkeys([*(each.instruction for each in setup.templates), *instructions])),
        "rankers": [offered_ranker(each) for each in rankers],
        "in_use": in_use,
        "may_describe": list(may_describe),
        "may_settle": may_settle,
        "n_reread": N_REREAD,
        "n_documents": place.page.collection.n_documents,
    }


def offered_ranker(ranker: Ranker) -> Payload:
    """Return a ranking of the desk; `base` is the key of its vectors alone, `reread` that with its top read anew."""
    key = ranker.key.without_rereading()
    return {
        "key": key,
        "base": key.base,
        "has_words": key.has_words,
        "reread": key.with_rereading(),
        "run": ranker.run,
        "is_usual": not ranker.group,
    }


def judge_panel(
    place: Place,
    desk: Desk,
    ranker: RankingKey,
    settings: Payload | None = None,
    *,
    phrase: str = "",
    like: tuple[str, str] | None = None,
    error: str = "",
) -> Payload:
    """Return the judging desk.

    Args:
        place: the open collection and label set, and who looks; without an author nothing can be written.
        desk: the documents.
        ranker: the chosen one.
        settings: as `settings_panel` returns them; None where the page has them.
        phrase: that documents have to contain, if any.
        like: (id, title) of the document that these are similar to, if any.
        error: what went wrong, if anything.
    """
    query, author, page = desk.query, place.author, place.page
    is_stored = query is not None and query.id != NOT_STORED
    return {
        "page": page_ids(page),
        **({} if settings is None else {"settings": settings}),
        "version": place.version,
        "can_write": author is not None and (query is None or is_stored),
        "person": author,
        "error": error,
        "query": {
            "id": query.id if query and is_stored else None,
            "text": query.text if query else "",
            "instruction": query.instruction if query else "",
            "need": query.need if query else "",
            "need_tree": markdown_tree(query.need) if query and query.need else [],
            "is_mine": is_stored and query is not None and author is not None and query.author == author,
        },
        "ranker": ranker,
        "view": desk.view,
        "phrase": phrase,
        "like_title": like[1] if like else "",
        "cards": [card_payload(card, query) for card in desk.cards],
        "said": {str(query_id): said_payload(said) for query_id, said in desk.said.items()},
        "settled": {str(query_id): said_payload(said) for query_id, said in desk.settled.items()},
        "revealed": {str(query_id): revealed_payload(each) for query_id, each in desk.revealed.items()},
        "undoable": _acts(desk.undoable, query),
        "n_by_others": desk.n_by_others,
        "is_finished": desk.is_finished,
        "seconds_per_document": place.pace,
        "took_ms": desk.took_ms,
        "terms": query_terms(query.text) if query else [],
        "url": {
            "collection": page.collection.id,
            "labels": page.label_set.id,
            "query": query.id if query and is_stored else None,
            "view": desk.view if desk.view in ("ranking", "again", "conflicts") else None,
            "by": ranker if desk.view == "ranking" else None,
        },
    }


def card_payload(card: Card, query: QueryRecord | None) -> Payload:
    """Return a card; cards of another query than the open one say which."""
    is_other = query is None or card.query.id != query.id
    return {
        "query_id": card.query.id,
        "query_hash": query_hash(card.query),
        **({"query_text": card.query.text, "terms": query_terms(card.query.text)} if is_other else {}),
        "doc_id": card.document.doc_id,
        "title": card.document.title or card.document.doc_id,
        "text": card.document.text,
        "rank": card.rank,
        "score": card.score,
        "content_hash": content_hash(card.document),
        "duplicates": [
            {"doc_id": d.doc_id, "title": d.title or d.doc_id, "text": d.text, "content_hash": content_hash(d)}
            for d in card.duplicates
        ],
        "why": dict(card.why),
        "is_adjudication": card.is_adjudication,
    }


def said_payload(said: Mapping[str, Said]) -> Payload:
    """Return what a person says, by document id."""
    return {doc_id: {"grade": each.grade, "unsure": each.is_unsure, "note": each.note} for doc_id, each in said.items()}


def revealed_payload(revealed: Mapping[str, Revealed]) -> Payload:
    """Return sources and what others said, by document id."""
    return {
        doc_id: {
            "sources": [_source(RankingKey(key), rank) for key, rank in each.sources.items()],
            "opinions": [
                {"author": o.author, "role": o.role.value, "grade": o.grade, "note": o.note} for o in each.opinions
            ],
        }
        for doc_id, each in revealed.items()
    }


def _source(key: RankingKey, rank: int | None) -> Payload:
    is_run = key.run_id is not None
    return {"base": key.base, "is_alone": key == key.base, "has_words": key.has_words, "is_run": is_run, "rank": rank}


def saved_panel(saved: Saved) -> Payload:
    """Return what a delivery of marks changed; of two answers the page believes the progress of the newer one."""
    return {
        "stored": [_named(delivery) for delivery in saved.stored],
        "refused": {_named(delivery): reason for delivery, reason in saved.refused.items()},
        "said": {str(query_id): said_payload(said) for query_id, said in saved.said.items()},
        "settled": {str(query_id): said_payload(said) for query_id, said in saved.settled.items()},
        "revealed": {str(query_id): revealed_payload(each) for query_id, each in saved.revealed.items()},
        "finished": {str(query_id): each for query_id, each in saved.finished.items()},
        "progress": {str(query_id): _progress(*each) for query_id, each in saved.progress.items()},
        "as_of": saved.as_of,
    }


def query_list(lines: Sequence[QueryLine], as_of: int) -> Payload:
    """Return the query list, as one text: the page takes hundreds of lines apart much faster than Gradio does.

    `as_of` is the newest event that the progress counts for certain.
    """
    queries = [
        {
            "id": line.progress.query.id,
            "text": line.progress.query.text,
            "instruction": line.progress.query.instruction,
            "is_mine": line.is_own,
            **_progress(line.progress.standing, line.state),
        }
        for line in lines
    ]
    return {"list": queries, "as_of": as_of}


def import_panel(outcome: ImportOutcome, is_done: bool) -> Payload:
    """Return what a file of queries would bring, or has brought."""
    return {
        "n_new": len(outcome.new),
        "n_known": outcome.n_known,
        "examples": [
            {"text": each.query.text[:200], "instruction": each.query.instruction[:200]} for each in outcome.new[:5]
        ],
        "remarks": list(outcome.remarks),
        "is_done": is_done,
    }


def _progress(standing: QueryStanding, state: QueryState) -> Payload:
    return {
        "n_relevant": standing.n_relevant,
        "n_not_relevant": standing.n_not_relevant,
        "n_imported": standing.n_imported,
        "n_conflicts": standing.n_conflicts,
        "n_mine": standing.n_mine,
        "state": state,
    }


def _named(delivery: Delivery) -> str:
    return f"{delivery[0]}:{delivery[1]}"


def _acts(undoable: Iterable[Undoable], query: QueryRecord | None) -> list[list[dict[str, Any]]]:
    """Return what can be undone, identical documents together with the one they were judged with."""
    acts: list[list[dict[str, Any]]] = []
    for each in undoable:
        before = {"grade": each.before.grade, "unsure": each.before.is_unsure, "note": each.before.note}
        mark = {
            "client_id": each.client_id,
            "sequence": each.sequence,
            "query_id": query.id if query else None,
            "doc_id": each.doc_id,
            "before": before,
        }
        if each.together_with and acts and acts[-1][0]["doc_id"] == each.together_with:
            acts[-1].append(mark)
        else:
            acts.append([mark])
    return acts
