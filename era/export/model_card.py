"""The model card of an exported query encoder: what it was made of and from, what it measured, how to use it.

Everything in it is text of its own or numbers; what people wrote is put in as text, never as markup.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from era.encoders.base import INSTRUCTION_TEMPLATE, EmbedderIdentity
from era.evaluation.figures import NO_DIFFERENCE, difference, figure, interval

_DECIMALS = 4
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|!&~])")
_RANKINGS = (
    ("light", "document embedder alone"),
    ("aligned", "aligned, before any label"),
    ("after", "this model"),
)


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a model card tells.

    Attributes:
        title: of the model.
        strong: what reads queries.
        light: what reads documents.
        recipe: how the adapter was learned.
        seed: of that.
        collection: what the documents are called; empty if they have no name.
        n_documents: of the collection; 0 if unknown.
        n_queries: labelled queries it learned from.
        n_relevant: relevant marks among the labels.
        n_not_relevant: not-relevant marks among them.
        labels_hash: SHA-256 of the labels.
        measures: of held-out queries as a training run keeps them: `n`, `means` and `from_light`; empty if unknown.
        index_fingerprint: of the document index it was made for.
        corpus_fingerprint: of the documents.
        versions: package -> version that made it.
        model_name: how the example code loads it, a repository or a folder.
    """

    title: str
    strong: EmbedderIdentity
    light: EmbedderIdentity
    recipe: str
    seed: int
    collection: str
    n_documents: int
    n_queries: int
    n_relevant: int
    n_not_relevant: int
    labels_hash: str
    measures: Mapping[str, Any]
    index_fingerprint: str
    corpus_fingerprint: str
    versions: Mapping[str, str]
    model_name: str


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown with the front matter that the Hugging Face Hub reads."""
    parts = [
        _front_matter(facts),
        f"# {_plain(facts.title)}",
        "A query encoder for documents that were indexed once: a strong model reads the query, a small linear adapter, "
        "learned from people's judgments, leads its vector into the space of a light model, which reads the documents. "
        "Documents need not be embedded anew.",
        "## How to use it",
        _usage(facts),
        "## What it is made of",
        _list(
            [
                f"Queries: {_embedder(facts.strong)}",
                f"Documents: {_embedder(facts.light)}",
                f"Adapter: one linear map with bias from {facts.strong.dimension} to {facts.light.dimension} "
                f"dimensions, recipe “{_plain(facts.recipe)}”, seed {facts.seed}",
                "Vectors have length 1; compare them by dot product or cosine",
            ]
        ),
        "## What it learned from",
        _list(_data(facts)),
        "## How it did",
        _measures(facts),
        "## Limits",
        "It was adapted to one collection and to the questions that people asked of it; elsewhere it may do worse than "
        "the models it is made of. The licences of both base models apply.",
    ]
    if facts.versions:
        made = ", ".join(f"{_plain(name)} {_plain(number)}" for name, number in sorted(facts.versions.items()))
        parts.append(f"Made with {made}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(facts: CardFacts) -> str:
    lines = ["---", "library_name: sentence-transformers", "pipeline_tag: sentence-similarity", "tags:"]
    lines += [f"- {tag}" for tag in ("sentence-transformers", "feature-extraction", "retrieval", "router", "era")]
    bases = dict.fromkeys(each.name for each in (facts.strong, facts.light) if _HUB_NAME.fullmatch(each.name))
    if bases:
        lines += ["base_model:", *(f"- {name}" for name in bases)]
    return "\n".join([*lines, "---"])


def _usage(facts: CardFacts) -> str:
    prompt = INSTRUCTION_TEMPLATE.format(instruction="Find what answers the question", text="")
    return (
        "```python\n"
        "from sentence_transformers import SentenceTransformer\n\n"
        f"model = SentenceTransformer({facts.model_name!r})\n"
        'documents = model.encode_document(["A title\\nThe text", "Another title\\nAnother text"])\n'
        'queries = model.encode_query(["what is asked"])\n'
        f'instructed = model.encode_query(["what is asked"], prompt={prompt!r})\n'
        "scores = model.similarity(instructed, documents)\n"
        "```\n\n"
        "A document is its title, a line break and its text. `encode` without “query” takes the way of documents. No "
        "remote code is needed."
    )


def _data(facts: CardFacts) -> list[str]:
    marks = f"{facts.n_relevant:,} relevant and {facts.n_not_relevant:,} not-relevant marks"
    documents = f", {facts.n_documents:,} documents" if facts.n_documents else ""
    lines = [f"Collection: {_plain(facts.collection)}{documents}"] if facts.collection else []
    lines.append(f"Labels: {facts.n_queries:,} queries with {marks}")
    named = {
        "SHA-256 of the labels": facts.labels_hash,
        "Fingerprint of the documents": facts.corpus_fingerprint,
        "Fingerprint of their index": facts.index_fingerprint,
    }
    return lines + [f"{name}: `{_plain(value)}`" for name, value in named.items() if value]


def _measures(facts: CardFacts) -> str:
    """Return the table of held-out measures, and what its main number is worth."""
    means, n = facts.measures.get("means"), facts.measures.get("n")
    if not means or not n:
        return "It was not measured."
    rankings = [(key, words) for key, words in _RANKINGS if key in means]
    names = list(means[rankings[-1][0]])
    table = [
        f"| {' | '.join(['measure', *(words for _, words in rankings)])} |",
        f"|{' --- |' * (len(rankings) + 1)}",
        *(
            f"| {' | '.join([_plain(name), *(figure(means[key][name], _DECIMALS) for key, _ in rankings)])} |"
            for name in names
        ),
    ]
    queries = "1 query" if n == 1 else f"{n:,} queries"
    text = (
        f"Means over {queries}, each ranked by an adapter that had not seen its labels (cross-fitted); unjudged "
        "documents count as not relevant.\n\n" + "\n".join(table)
    )
    gain = facts.measures.get("from_light")
    if gain:
        by = difference(gain["before"], gain["after"], _DECIMALS)
        held = "too few queries for an interval"
        if gain["low"] is not None:
            held = f"95 % interval {' to '.join(interval(gain['low'], gain['high'], _DECIMALS))}"
        n_groups = gain.get("n_groups", n)
        counted = "" if n_groups == n else f"; near-copies count once, so {n} queries as {n_groups}"
        p = "< 0.001" if gain["p_value"] < 0.001 else f"= {gain['p_value']:.3f}"
        does = "does not change" if by == NO_DIFFERENCE else f"changes by {by}"
        text += (
            f"\n\nAgainst the document embedder alone, nDCG@10 {does} ({held}, p {p}, "
            f"{gain['n_better']} better, {gain['n_same']} same, {gain['n_worse']} worse{counted})."
        )
    return text


def _embedder(identity: EmbedderIdentity) -> str:
    length = f", at most {identity.max_length} tokens" if identity.max_length else ""
    revision = f", revision `{_plain(identity.revision[:12])}`" if identity.revision else ""
    return f"{_plain(identity.name)}, {identity.dimension} dimensions{length}{revision}"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
