"""Sentence-transformers models small enough to be made in a test: random weights, real files."""

from pathlib import Path
from typing import Any

import torch

WORDS = ("cat", "dog", "trout", "wren", "feeding", "illness", "owner", "vet", "query", "passage", "instruct", ":")


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: place for place, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=32,
    )


def save_bert(folder: Path, prompts: dict[str, str] | None = None, seed: int = 0) -> Path:
    """Save a transformer of one layer, 16 dimensions and 32 positions as a sentence-transformers model."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=4 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=1.0,
    )
    inner = folder.with_name(f"{folder.name}-inner")
    BertModel(config).save_pretrained(inner)
    _tokenizer().save_pretrained(inner)
    modules = [Transformer(str(inner)), Pooling(16, "mean"), Normalize()]
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder))
    return folder


def save_static(folder: Path, seed: int = 0) -> Path:
    """Save a table of word vectors of 8 dimensions as a sentence-transformers model."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    table = torch.randn(4 + len(WORDS), 8, generator=torch.Generator().manual_seed(seed))
    SentenceTransformer(modules=[StaticEmbedding(_tokenizer(), embedding_weights=table)], device="cpu").save(
        str(folder)
    )
    return folder
