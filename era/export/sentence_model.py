"""An adapter and its two embedders as one standard sentence-transformers model, for use without this project.

Its query route is strong embedder, adapter, unit length; its document route the light embedder. Only module classes of
sentence-transformers itself are used, so that it loads without trusting any code. Not every adapter is such a model:
those that weigh several readings of a query cannot leave in this form.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from era.adapter import QueryAdapter
from era.encoders.base import INSTRUCTION_TEMPLATE, Embedder, EmbedderPair
from era.errors import IdentityMismatchError, NotExportableError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

EXPORTABLE_RECIPES = ("era-single", "paper")
"""Those whose adapters are one linear map of one strong vector."""


def require_exportable(adapter: QueryAdapter) -> None:
    """Check that an adapter can be a part of one sentence-transformers model.

    Raises:
        NotExportableError: saying why not, and with which recipe it could.
    """
    if adapter.views != ("instructed",):
        recipe = adapter.provenance.get("recipe")
        name = f"The recipe “{recipe}”" if recipe else "This adapter"
        raise NotExportableError(
            f"{name} reads a query in several ways ({', '.join(adapter.views)}), which no single sentence-transformers "
            "model does. It can be taken out as an adapter (safetensors and JSON). For a sentence-transformers model, "
            f"train with the recipe “{EXPORTABLE_RECIPES[0]}” or “{EXPORTABLE_RECIPES[1]}”."
        )


def sentence_model(pair: EmbedderPair, adapter: QueryAdapter) -> "SentenceTransformer":
    """Return the model whose `encode_query` is the adapted query side and whose `encode_document` is the index's.

    A query with an instruction is encoded with `prompt=instruction_prompt(instruction)`. Weights are shared with the
    strong embedder where that computes in 32 bits; one of fewer bits is copied and widened, since its vectors are
    multiplied by the adapter in 32 bits here as well.

    Raises:
        NotExportableError: if the adapter is not one linear map of one strong vector, or an embedder is not a
            sentence-transformers model of this process.
        IdentityMismatchError: if the adapter's dimensions are not those of the embedders.
    """
    require_exportable(adapter)
    expected = (pair.strong.identity.dimension, pair.light.identity.dimension)
    if adapter.weight.shape != expected:
        raise IdentityMismatchError(
            f"The adapter leads from {adapter.weight.shape[0]} to {adapter.weight.shape[1]} dimensions, the embedders "
            f"{pair.strong.identity.name} and {pair.light.identity.name} have {expected[0]} and {expected[1]}. "
            "Load the embedders that it was trained with."
        )
    strong, light = _model_of(pair.strong), _model_of(pair.light)

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Router

    adapted = Dense(
        *expected,
        bias=True,
        activation_function=None,
        init_weight=_tensor(adapter.weight.T),
        init_bias=_tensor(adapter.bias),
    )
    is_shared = str(strong.device) == str(light.device)
    router = Router.for_query_document(
        [*_unit_modules(strong), adapted, Normalize()],
        _unit_modules(light if is_shared else copy.deepcopy(light)),  # the export is on one device, that of the strong
    )
    model = SentenceTransformer(
        modules=[router],
        device=str(strong.device),
        prompts={"query": pair.strong.identity.query_prompt, "document": pair.light.identity.document_prompt},
        similarity_fn_name="cosine",
    )
    return model.eval()


def save_model(pair: EmbedderPair, adapter: QueryAdapter, folder: Path, card: str) -> None:
    """Write `sentence_model` into a folder that is empty or does not exist, with a model card as its README.md.

    Raises:
        NotExportableError: as `sentence_model` does.
        IdentityMismatchError: likewise.
    """
    model = sentence_model(pair, adapter)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(str(folder), create_model_card=False, safe_serialization=True)
    (folder / "README.md").write_text(card, encoding="utf-8")


def instruction_prompt(instruction: str) -> str:
    """Return what stands before the text of a query with this instruction, as `encode_query(texts, prompt=...)`."""
    return INSTRUCTION_TEMPLATE.format(instruction=instruction, text="")


def _model_of(embedder: Embedder) -> "SentenceTransformer":
    model: SentenceTransformer | None = getattr(embedder, "model", None)
    if model is None:
        raise NotExportableError(
            f"{embedder.identity.name} does not run as a sentence-transformers model here, so it cannot be packed into "
            "one. Take out the adapter (safetensors and JSON) instead, and use it after that embedder."
        )
    return model


def _unit_modules(model: "SentenceTransformer") -> list[Any]:
    """Return the modules of a model, and after them what its embedder does to vectors: shorten, then length 1."""
    import torch
    from sentence_transformers.base.modules import Dense, Normalize

    if any(p.is_floating_point() and p.dtype != torch.float32 for p in model.parameters()):
        model = copy.deepcopy(model).float()
    modules = list(model)
    if model.truncate_dim is not None:
        # the untruncated size, since a model that truncates tells the truncated one
        with model.truncate_embeddings(None):
            n_full = int(model.get_embedding_dimension() or 0)
        if model.truncate_dim < n_full:
            kept = torch.eye(model.truncate_dim, n_full)
            modules.append(Dense(n_full, model.truncate_dim, False, None, init_weight=kept))
    if not isinstance(modules[-1], Normalize):
        modules.append(Normalize())
    return modules


def _tensor(array: Any) -> Any:
    import torch

    return torch.from_numpy(np.array(array, np.float32))  # a copy, which shares no memory with the adapter
