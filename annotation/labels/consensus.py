"""What several judges say of a document together: the agreed grade, and where they contradict each other.

Nothing is read from the database here; how much is judged is counted in `annotation.labels.counts`, and how well
the judges agree overall is measured in `annotation.judging.agreement`.
"""

from collections.abc import Iterable, Mapping, Sequence

from storage.records import JudgmentRole, StandingMark

CONFLICT_DISTANCE = 2.0
"""From this many grades apart two judges contradict each other, even if both call the document relevant."""


def agreed_grade(marks: Sequence[StandingMark]) -> float | None:
    """Return what counts as the grade of one document for one query.

    The last adjudicator's grade settles it. Without one it is the median of the judges' grades, for an even number
    the lower middle; without judges likewise the median of the references.

    Args:
        marks: of one query and document, oldest first, at most one per author and role.

    Returns:
        None if nobody gave a grade, or if exactly as many judges call the document relevant as not: it is left out
        of training and measuring until somebody decides.
    """
    if len(marks) == 1:
        return marks[0].grade
    adjudicated: float | None = None
    judged: list[float] = []
    references: list[float] = []
    for mark in marks:
        if mark.grade is None:
            continue
        if mark.role == JudgmentRole.ADJUDICATOR:
            adjudicated = mark.grade
        elif mark.role == JudgmentRole.JUDGE:
            judged.append(mark.grade)
        else:
            references.append(mark.grade)
    if adjudicated is not None:
        return adjudicated
    if judged:
        is_tie = 2 * sum(grade > 0 for grade in judged) == len(judged)
        return None if is_tie else _lower_median(judged)
    return _lower_median(references) if references else None


def is_conflict(marks: Sequence[StandingMark]) -> bool:
    """Say whether judges contradict each other about one document and nobody settled it yet.

    They do if one calls it relevant and another not, or if two grades lie `CONFLICT_DISTANCE` or more apart.
    References take no part, and an adjudicator who could not tell settles nothing.

    Args:
        marks: of one query and document, at most one per author and role.
    """
    if len(marks) < 2:
        return False
    judged: list[float] = []
    for mark in marks:
        if mark.grade is None:
            continue
        if mark.role == JudgmentRole.ADJUDICATOR:
            return False
        if mark.role == JudgmentRole.JUDGE:
            judged.append(mark.grade)
    if len(judged) < 2:
        return False
    low, high = min(judged), max(judged)
    return low == 0 < high or high - low >= CONFLICT_DISTANCE


def agreed_qrels(marks: Iterable[StandingMark]) -> dict[int, dict[str, float]]:
    """Return query id -> document id -> agreed grade; what has none is left out, and so are queries without any."""
    qrels: dict[int, dict[str, float]] = {}
    for (query_id, doc_id), group in by_document(marks).items():
        grade = agreed_grade(group)
        if grade is not None:
            qrels.setdefault(query_id, {})[doc_id] = grade
    return qrels


def conflicts(marks: Iterable[StandingMark]) -> list[tuple[int, str]]:
    """Return the (query id, document id) in conflict, by query id and then in the order of their first marks."""
    found = [key for key, group in by_document(marks).items() if is_conflict(group)]
    return sorted(found, key=lambda key: key[0])


def by_document(marks: Iterable[StandingMark]) -> Mapping[tuple[int, str], list[StandingMark]]:
    """Return (query id, document id) -> its marks, both in the order given."""
    groups: dict[tuple[int, str], list[StandingMark]] = {}
    for mark in marks:
        key = (mark.query_id, mark.doc_id)
        group = groups.get(key)
        if group is None:
            groups[key] = [mark]
        else:
            group.append(mark)
    return groups


def _lower_median(grades: list[float]) -> float:
    return sorted(grades)[(len(grades) - 1) // 2]
