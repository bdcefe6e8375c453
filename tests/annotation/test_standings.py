"""Standings: brought up to date from the log, compared with a recount of a log that the test keeps itself."""

import random
import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy.orm import Session

import storage.judgments
from annotation.judging.marks import start_label_set
from annotation.labels.current import UNTOUCHED, QueryStanding, Standings
from storage.records import Hand, JudgmentRole, StandingMark
from tests.worlds.desk import PATIENCE_S, Desk
from tests.worlds.judging import append, bring_reference, decide, say, write_query

Key = tuple[int, int, str, str, bool]
"""Label set, query, document, author, and whether it is an adjudication."""

PEOPLE = ["ann", "ben", "cora"]
TEXTS = ["cat", "dog", "trout"]
DOCS = ["cat-feeding", "dog-illness", "wren-feeding"]


class Log:
    """What the test has said, counted in the plainest way; the last word of each key stands."""

    def __init__(self) -> None:
        self.said: dict[Key, tuple[float | None, bool]] = {}

    def add(self, key: Key, grade: float | None, is_unsure: bool) -> None:
        self.said.pop(key, None)  # what is said last stands at the end
        self.said[key] = (grade, is_unsure)

    def grades(self, label_set_id: int, query_id: int, doc_id: str, is_adjudication: bool) -> list[float]:
        return [
            grade
            for (place, q, d, _, a), (grade, _) in self.said.items()
            if (place, q, d, a) == (label_set_id, query_id, doc_id, is_adjudication) and grade is not None
        ]

    def agreed(self, label_set_id: int, query_id: int, doc_id: str) -> float | None:
        settled = self.grades(label_set_id, query_id, doc_id, True)
        if settled:
            return settled[-1]
        judged = sorted(self.grades(label_set_id, query_id, doc_id, False))
        n_relevant = len([grade for grade in judged if grade > 0])
        if not judged or n_relevant == len(judged) - n_relevant:
            return None
        return {1: judged[0], 2: judged[0], 3: judged[len(judged) // 2]}[len(judged)]

    def is_in_conflict(self, label_set_id: int, query_id: int, doc_id: str) -> bool:
        judged = self.grades(label_set_id, query_id, doc_id, False)
        settled = self.grades(label_set_id, query_id, doc_id, True)
        return not settled and 0.0 in judged and 1.0 in judged

    def standing(self, label_set_id: int, query_id: int, author: str) -> QueryStanding:
        agreed = [self.agreed(label_set_id, query_id, doc_id) for doc_id in DOCS]
        judges = [
            who
            for (place, q, _, who, a), (grade, is_unsure) in self.said.items()
            if (place, q, a) == (label_set_id, query_id, False) and (grade is not None or is_unsure)
        ]
        places = [(label_set_id, query_id, doc_id) for doc_id in DOCS]
        return QueryStanding(
            n_relevant=agreed.count(1.0),
            n_not_relevant=agreed.count(0.0),
            n_undecided=sum(
                bool(self.grades(*place, True) or self.grades(*place, False)) and grade is None
                for place, grade in zip(places, agreed, strict=True)
            ),
            n_conflicts=sum(self.is_in_conflict(*place) for place in places),
            n_mine=judges.count(author),
            n_people=len(set(judges)),
        )


def check(board: Standings, log: Log, label_set_id: int, query_ids: Sequence[int]) -> None:
    agreed = {q: {d: g for d in DOCS if (g := log.agreed(label_set_id, q, d)) is not None} for q in query_ids}
    assert {q: dict(grades) for q, grades in board.qrels().items()} == {q: each for q, each in agreed.items() if each}
    assert sorted(board.conflicts()) == sorted(
        (q, d) for q in query_ids for d in DOCS if log.is_in_conflict(label_set_id, q, d)
    )
    for author in PEOPLE:
        progress = board.progress(author)
        for query_id in query_ids:
            expected = log.standing(label_set_id, query_id, author)
            assert board.of_query(query_id, author) == expected
            assert progress.get(query_id, UNTOUCHED) == expected
    standing = {
        (query_id, doc_id, author, JudgmentRole.ADJUDICATOR if is_adjudication else JudgmentRole.JUDGE, grade)
        for (place, query_id, doc_id, author, is_adjudication), (grade, is_unsure) in log.said.items()
        if place == label_set_id and (grade is not None or is_unsure)
    }
    marks = board.marks()
    assert {(m.query_id, m.doc_id, m.author, m.role, m.grade) for m in marks} == standing
    assert len(marks) == len(standing)
    assert [mark for query_id in query_ids for mark in board.marks_of(query_id)] == marks


def say_at_random(
    desk: Desk, log: Log, drawn: random.Random, label_sets: Sequence[int], query_ids: Sequence[int]
) -> None:
    place, query_id = drawn.choice(label_sets), drawn.choice(query_ids)
    doc_id, who = drawn.choice(DOCS), drawn.choice(PEOPLE)
    is_adjudication = drawn.random() < 0.15
    grade = drawn.choice([0.0, 1.0, None])
    is_unsure = grade is None and drawn.random() < 0.5
    if is_adjudication:
        decide(desk, who, query_id, doc_id, grade, label_set_id=place, is_unsure=is_unsure)
    else:
        say(desk, who, query_id, doc_id, grade, place, is_unsure=is_unsure)
    log.add((place, query_id, doc_id, who, is_adjudication), grade, is_unsure)


@pytest.mark.parametrize("seed", range(3))
def test_standings_agree_with_a_recount_after_random_marks_in_two_label_sets(desk: Desk, seed: int) -> None:
    drawn, log = random.Random(seed), Log()
    label_sets = [desk.label_set_id, start_label_set(desk.workspace, "ann", desk.collection.id, "Others")]
    query_ids = [write_query(desk, text).id for text in TEXTS]
    n_conflicts = 0
    for _ in range(90):
        say_at_random(desk, log, drawn, label_sets, query_ids)
        if drawn.random() < 0.3:
            looked_at = drawn.choice(label_sets)
            check(desk.workspace.standings(looked_at), log, looked_at, query_ids)
            n_conflicts += len(desk.workspace.standings(looked_at).conflicts())
    for label_set_id in label_sets:
        check(desk.workspace.standings(label_set_id), log, label_set_id, query_ids)
    assert n_conflicts > 5


def test_standings_agree_with_a_recount_when_several_threads_judge_and_look(desk: Desk) -> None:
    label_set_id, query_ids = desk.label_set_id, [write_query(desk, text).id for text in TEXTS]
    logs, errors = {author: Log() for author in PEOPLE}, list[BaseException]()
    for query_id in query_ids:
        say(desk, "ann", query_id, DOCS[0], 1.0)
        logs["ann"].add((label_set_id, query_id, DOCS[0], "ann", False), 1.0, False)
    stop = threading.Event()

    def write(author: str) -> None:
        drawn = random.Random(author)
        for _ in range(20):
            query_id, doc_id, grade = drawn.choice(query_ids), drawn.choice(DOCS), drawn.choice([0.0, 1.0, None])
            say(desk, author, query_id, doc_id, grade)
            logs[author].add((label_set_id, query_id, doc_id, author, False), grade, False)
            assert any(
                (mark.doc_id, mark.author) == (doc_id, author)
                for mark in desk.workspace.standings(label_set_id).marks_of(query_id)
            ) == (grade is not None)

    def watch() -> None:
        while not stop.is_set():
            board = desk.workspace.standings(label_set_id)
            assert {mark.query_id for mark in board.marks()} <= set(query_ids)
            board.progress("ann")

    def catching(work: Any, *args: str) -> None:
        try:
            work(*args)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the test
            errors.append(error)

    writers = [threading.Thread(target=catching, args=(write, author)) for author in PEOPLE]
    watchers = [threading.Thread(target=catching, args=(watch,)) for _ in range(2)]
    for thread in [*watchers, *writers]:
        thread.start()
    for thread in writers:
        thread.join(PATIENCE_S)
    stop.set()
    for thread in watchers:
        thread.join(PATIENCE_S)
    assert errors == []
    together = Log()
    together.said = {key: said for log in logs.values() for key, said in log.said.items()}
    check(desk.workspace.standings(label_set_id), together, label_set_id, query_ids)


class _Counting:
    """Notes which queries are read again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[set[int] | None] = []
        read = storage.judgments.standing

        def noting(session: Session, label_set_id: int, query_ids: Collection[int] | None = None) -> Any:
            self.asked.append(None if query_ids is None else set(query_ids))
            return read(session, label_set_id, query_ids)

        monkeypatch.setattr(storage.judgments, "standing", noting)


def test_standings_read_only_what_changed_since_the_last_look(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    cat, dog = (write_query(desk, text).id for text in ("cat", "dog"))
    place = desk.label_set_id
    other = start_label_set(desk.workspace, "ann", desk.collection.id, "Others")
    append(desk, "ann", cat, DOCS[0], 1.0, JudgmentRole.JUDGE, label_set_id=place)
    append(desk, "ann", dog, DOCS[0], 1.0, JudgmentRole.JUDGE, label_set_id=place)
    counting = _Counting(monkeypatch)
    desk.workspace.standings(place)
    assert counting.asked == [None]
    desk.workspace.standings(place)
    assert counting.asked == [None]
    append(desk, "ben", dog, DOCS[1], 0.0, JudgmentRole.JUDGE, label_set_id=place)
    append(desk, "ben", cat, DOCS[1], 0.0, JudgmentRole.JUDGE, label_set_id=other)
    board = desk.workspace.standings(place)
    assert counting.asked == [None, {dog}]
    assert board.qrels() == {cat: {DOCS[0]: 1.0}, dog: {DOCS[0]: 1.0, DOCS[1]: 0.0}}
    append(desk, "ben", cat, DOCS[2], 0.0, JudgmentRole.JUDGE, label_set_id=other)
    assert desk.workspace.standings(place) is board
    assert counting.asked[2:] in ([], [set()])
    assert desk.workspace.standings(other).qrels() == {cat: {DOCS[1]: 0.0, DOCS[2]: 0.0}}


def test_standings_leave_a_tie_out_until_somebody_breaks_or_settles_it(desk: Desk) -> None:
    cat = write_query(desk, "cat").id
    say(desk, "ann", cat, DOCS[0], 1.0)
    say(desk, "ann", cat, DOCS[1], 1.0)
    say(desk, "ben", cat, DOCS[0], 0.0)
    say(desk, "ben", cat, DOCS[1], 0.0)

    def looked() -> tuple[Mapping[int, Mapping[str, float]], list[tuple[int, str]]]:
        board = desk.workspace.standings(desk.label_set_id)
        return board.qrels(), board.conflicts()

    assert looked() == ({}, [(cat, DOCS[0]), (cat, DOCS[1])])
    say(desk, "cora", cat, DOCS[0], 0.0)  # breaks the tie, though it is still a conflict
    assert looked() == ({cat: {DOCS[0]: 0.0}}, [(cat, DOCS[0]), (cat, DOCS[1])])
    say(desk, "dan", cat, DOCS[1], None, is_unsure=True, is_adjudication=True)
    assert looked() == ({cat: {DOCS[0]: 0.0}}, [(cat, DOCS[0]), (cat, DOCS[1])])
    say(desk, "dan", cat, DOCS[1], 1.0, is_adjudication=True)
    assert looked() == ({cat: {DOCS[0]: 0.0, DOCS[1]: 1.0}}, [(cat, DOCS[0])])
    say(desk, "dan", cat, DOCS[1], None, is_adjudication=True)
    assert looked()[1] == [(cat, DOCS[0]), (cat, DOCS[1])]


def test_standings_forget_a_query_whose_last_mark_is_taken_back(desk: Desk) -> None:
    cat = write_query(desk, "cat").id
    say(desk, "ann", cat, DOCS[0], 1.0)
    board = desk.workspace.standings(desk.label_set_id)
    assert (board.of_query(cat, "ann").n_mine, board.of_query(cat, None).n_mine) == (1, 0)
    say(desk, "ann", cat, DOCS[0], None)
    board = desk.workspace.standings(desk.label_set_id)
    assert (board.qrels(), list(board.marks_of(cat)), board.of_query(cat, "ann")) == ({}, [], UNTOUCHED)


def test_standings_know_who_ever_judged_a_query(desk: Desk) -> None:
    cat, dog = write_query(desk, "cat").id, write_query(desk, "dog").id
    bring_reference(desk, cat, DOCS[0], 1.0)
    say(desk, "ann", cat, DOCS[0], 1.0)
    board = desk.workspace.standings(desk.label_set_id)
    assert (board.hands_of(cat), board.hands_of(dog)) == ({Hand(cat, "ann", JudgmentRole.JUDGE, False)}, set())
    say(desk, "ann", cat, DOCS[0], None)
    decide(desk, "ben", cat, DOCS[0], 1.0, client_id="import-1")
    say(desk, "ben", dog, DOCS[0], None, note="no grade")
    expected = {Hand(cat, "ann", JudgmentRole.JUDGE, False), Hand(cat, "ben", JudgmentRole.ADJUDICATOR, True)}
    fresh = Standings(desk.label_set_id)
    with desk.workspace.reading() as session:
        fresh.refresh(session)
    for each in (desk.workspace.standings(desk.label_set_id), fresh):
        assert each.hands_of(cat) == expected
        assert each.hands_of(dog) == {Hand(dog, "ben", JudgmentRole.JUDGE, False)}


def test_standings_take_a_reference_until_a_judge_speaks(desk: Desk) -> None:
    cat = write_query(desk, "cat").id
    bring_reference(desk, cat, DOCS[0], 1.0)
    assert desk.workspace.standings(desk.label_set_id).qrels() == {cat: {DOCS[0]: 1.0}}
    say(desk, "ann", cat, DOCS[0], 0.0)
    board = desk.workspace.standings(desk.label_set_id)
    assert (board.qrels(), board.conflicts()) == ({cat: {DOCS[0]: 0.0}}, [])
    assert board.marks_of(cat)[0] == StandingMark(cat, DOCS[0], "import", JudgmentRole.REFERENCE, 1.0)


def test_standings_can_be_read_while_another_thread_puts_in_new_queries(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, errors, readers = Standings(desk.label_set_id), list[Exception](), list[threading.Thread]()
    for text in TEXTS:
        say(desk, "ann", write_query(desk, text).id, DOCS[0], 1.0)

    def look() -> None:
        try:
            board.progress("ann")
        except Exception as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    def looking(*args: Any) -> Any:
        readers.append(threading.Thread(target=look))
        readers[-1].start()
        readers[-1].join(0.2)  # it may have to wait for the refresh
        return Counter(*args)

    monkeypatch.setattr("annotation.labels.current.Counter", looking)
    with desk.workspace.reading() as session:
        board.refresh(session)
    for reader in readers:
        reader.join(PATIENCE_S)
    assert readers
    assert errors == []
