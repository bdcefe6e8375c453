"""Which embedders there are to choose from, which are in use, and what a change of them means."""

from collections.abc import Sequence

from annotation.collections.embedders import ChangePlan
from annotation.retrieval.endpoint_costs import EndpointCosts
from annotation.ui.payloads.wording import Payload, count
from era.encoders.spec import EmbedderSpec, PairSpec, Preset


def presets_payload(presets: Sequence[Preset]) -> list[Payload]:
    """Return the pairs that are offered by name."""
    return [
        {
            "key": preset.key,
            "label": preset.label,
            "words": preset.words,
            "needs": " ".join(filter(None, (_download(preset.download_gb), preset.machine))),
            "spec": preset.spec.to_json(),
        }
        for preset in presets
    ]


def embedders_payload(spec: PairSpec, presets: Sequence[Preset]) -> Payload:
    """Return the embedders of a collection."""
    key = next((preset.key for preset in presets if preset.spec == spec), "own")
    return {"preset": key, "spec": spec.to_json(), "words": pair_words(spec)}


def pair_words(spec: PairSpec) -> str:
    """Return in words which embedder reads what."""
    return f"{_words(spec.strong)} reads queries, {_words(spec.light)} has read the documents."


def change_payload(plan: ChangePlan, is_change: bool) -> Payload:
    """Return what it would mean to use other embedders; `is_change` says whether anything at all is different."""
    facts = []
    if plan.index_fingerprint:
        afterwards = (
            "another, of the new index" if plan.needs_new_index else f"{plan.index_fingerprint[:16]}, unchanged"
        )
        facts = [
            [
                "Fingerprint of the index now",
                plan.index_fingerprint[:16],
                "Changes if and only if a document vector does",
            ],
            ["Fingerprint afterwards", afterwards, ""],
        ]
    return {
        "text": plan.text if is_change else "These are the embedders in use; nothing would change.",
        "facts": facts if is_change else [],
        "is_change": is_change,
        "button": "Build the new index" if plan.needs_new_index else "Use these embedders",
    }


def costs_payload(n_documents: int, costs: EndpointCosts) -> Payload:
    """Return what has to be agreed to before the documents of a new collection are sent to an endpoint."""
    return {"text": f"{count(n_documents, 'document', 'documents')}. {costs.text}".strip()}


def _words(spec: EmbedderSpec) -> str:
    return f"{spec.label} at an endpoint" if spec.kind == "openai" else spec.label


def _download(gigabytes: float) -> str:
    if not gigabytes:
        return "Nothing is downloaded."
    size = f"{gigabytes:.0f}" if gigabytes >= 10 else f"{gigabytes:.1f}"
    return f"{size} GB are downloaded once."
