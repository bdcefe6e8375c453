"""The collection screen."""

from collections.abc import Sequence

from annotation.collections.catalogue import CollectionFacts, IndexFacts
from annotation.collections.page import LabelSetSummary, OpenPage
from annotation.comparing.measure import JudgedShare
from annotation.judging.agreement import Agreement, People, in_words
from annotation.judging.setup import FOUR_GRADES, DeskSetup, left_out
from annotation.ui.payloads.wording import Payload, count, labels_in_words, page_ids
from era.evaluation.figures import figure


def collection_panel(
    page: OpenPage,
    author: str | None,
    collections: Sequence[CollectionFacts],
    label_sets: Sequence[LabelSetSummary],
    setup: DeskSetup,
    people: People,
    error: str = "",
) -> Payload:
    """Return the collection screen.

    Args:
        page: the open collection and label set.
        author: who looks; None may not write.
        collections: all there are, as this person may treat them.
        label_sets: of the open collection.
        setup: how judging is set up in it.
        people: who judged the open label set.
        error: what went wrong, if anything.
    """
    n_offered = sum(each.collection.archived_at is None for each in collections)
    return {
        "page": page_ids(page),
        "can_write": author is not None,
        "error": error,
        "suggested_name": f"{author}'s labels" if author else "",
        "is_first": len(collections) == 1,
        "why_fixed": next((each.why_fixed for each in collections if each.collection.id == page.collection.id), ""),
        "collections": [
            {
                "id": each.collection.id,
                "name": each.collection.name,
                "description": each.collection.description,
                "is_open": each.collection.id == page.collection.id,
                "is_archived": each.collection.archived_at is not None,
                "why_fixed": each.why_fixed,
                "can_go": n_offered > 1 or each.collection.archived_at is not None,
                "facts": _facts(each),
            }
            for each in collections
        ],
        "label_sets": [
            {
                "id": summary.label_set.id,
                "name": summary.label_set.name,
                "counts": labels_in_words(summary.counts),
                "is_open": summary.label_set.id == page.label_set.id,
            }
            for summary in label_sets
        ],
        "setup": {
            "grade_names": list(setup.grade_names),
            "four_grades": list(FOUR_GRADES),
            "guidelines": setup.guidelines,
            "templates": [{"name": each.name, "instruction": each.instruction} for each in setup.templates],
            "n_judges": setup.n_judges,
            "depth": setup.depth,
            "is_blind": setup.is_blind,
        },
        "people": _people(people),
        "url": {"collection": page.collection.id, "labels": page.label_set.id},
    }


def coverage_panel(found: JudgedShare | None) -> Payload:
    """Return how much of the first ten is judged."""
    words = "Once a query has a relevant document, this says how much of the first ten is judged."
    if found is not None:
        words = (
            f"Of the first ten documents, {found.before:.0%} are judged for the light model alone and "
            f"{found.after:.0%} for the ranking in use (Judged@10, {count(found.n_queries, 'query', 'queries')} with a "
            "relevant document). What is not judged counts as not relevant."
        )
    return {"text": words}


def _people(people: People) -> Payload:
    return {
        "n_conflicts": people.n_conflicts,
        "hidden_note": f"In the shares and the agreement: {left_out(people.n_hidden)}" if people.n_hidden else "",
        "agreement": _agreement(people.agreement) if people.agreement else None,
        "work": [
            {
                "author": each.author,
                "n_graded": each.counts.n_graded,
                "n_unsure": each.counts.n_unsure,
                "n_queries": each.counts.n_queries,
                "share_relevant": each.share_relevant,
                "kept": f"{each.drawn.n_kept:,} of {each.drawn.n:,}" if each.drawn.n else "",
                "median_seconds": each.median_seconds,
                "first_at": each.first_at.isoformat(),
                "last_at": each.last_at.isoformat(),
            }
            for each in people.work
        ],
        "pairs": [
            {"first": each.first, "second": each.second, "n": each.n_common, "share": each.share_equal}
            for each in people.pairs[:20]
        ],
        "with_imported": [
            {"first": each.first, "second": each.second, "n": each.n_common, "share": each.share_equal}
            for each in people.with_imported[:20]
        ],
    }


def _agreement(found: Agreement) -> Payload:
    said = "Agreement"
    if found.alpha is not None:
        said += f": {figure(found.alpha)}"
    if found.low is not None and found.high is not None:
        said += f", likely between {figure(found.low)} and {figure(found.high)}"
    positive = "" if found.positive is None else f" On what one calls relevant, others agree in {found.positive:.0%}."
    return {
        "text": f"{said}: {in_words(found)}.{positive}",
        "title": f"Krippendorff's alpha for ordered grades, over {count(found.n_pairs, 'document', 'documents')} of "
        f"{count(found.n_queries, 'query', 'queries')} judged by at least two of {found.n_people} people; 1 is "
        "perfect, 0 is what chance gives. Imported marks are not among them. The interval is for 95 times out of 100, "
        "drawing other queries; its lower end decides what is said.",
    }


def _facts(facts: CollectionFacts) -> list[list[str]]:
    record, index = facts.collection, facts.index
    listed = [
        ["Documents", f"{record.n_documents:,}", ""],
        ["Queries", f"{facts.n_queries:,}", ""],
        [
            "Judged documents",
            f"{facts.n_judged:,}",
            "Relevant or not relevant to a query; added up over all label sets",
        ],
    ]
    strong, light = facts.embedders.strong.label, facts.embedders.light.label
    if index is not None:
        strong = f"{index.strong_name}, {index.strong_dimension} dimensions"
        light = f"{index.light_name}, {index.light_dimension} dimensions"
    listed += [
        ["Query embedder", strong, "The strong model: reads your query and instruction, and some documents once"],
        ["Document embedder", light, "The light model: has read every document once"],
    ]
    if index is not None and index.n_texts:
        listed.append(["Alignment", _alignment(index), "Documents that both models have read, to be brought together"])
    if index is not None:
        listed += [
            ["Index", f"{index.n_bytes / 2**20:.1f} MiB", "Built once; training never changes it"],
            ["Fingerprint", index.fingerprint[:16], "Changes if and only if a document vector does"],
        ]
    return [*listed, ["Last used", f"{record.last_used_at:%Y-%m-%d}", ""]]


def _alignment(index: IndexFacts) -> str:
    read = f"{count(index.n_texts, 'document', 'documents')} read by the strong model"
    if index.n_texts == index.n_texts_wanted:
        return read
    return f"{read} so far; it reads on in the background, up to {index.n_texts_wanted:,}"
