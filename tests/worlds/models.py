"""Sentence-transformers models small enough to be made in a test: random weights, real files."""

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tests.worlds.words import ANIMALS, READERS, TOPICS

OTHER_WORDS = ("how", "are", "a", "word", "long", "query", "passage", "instruct", ":")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *ANIMALS, *TOPICS, *READERS, *OTHER_WORDS)
N_POSITIONS = 32


def _tokenizer() -> Any:
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(word, WORDS.index(word)) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    make: Any = PreTrainedTokenizerFast  # which is not typed
    return make(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=N_POSITIONS,
    )


def _bert(folder: Path, seed: int) -> Path:
    """Save a BERT of one layer and 16 dimensions."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=N_POSITIONS,
        initializer_range=1.0,
    )
    BertModel(config).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def tiny_transformer(folder: Path, include_prompt: bool = True) -> SentenceTransformer:
    """Return a BERT of 16 dimensions that reads 6 tokens and does not normalise; its files lie in the folder."""
    transformer = Transformer(str(_bert(folder, seed=0)), max_seq_length=6)
    return SentenceTransformer(modules=[transformer, Pooling(16, include_prompt=include_prompt)], device="cpu")


def tiny_table(seed: int, dimension: int = 12) -> SentenceTransformer:
    """Return a table of word vectors that does not normalise."""
    table = torch.randn(len(WORDS), dimension, generator=torch.Generator().manual_seed(seed))
    return SentenceTransformer(modules=[StaticEmbedding(_tokenizer(), embedding_weights=table)], device="cpu")


def save_bert(folder: Path, prompts: dict[str, str] | None = None, seed: int = 0) -> Path:
    """Save a BERT of 16 dimensions that reads 32 tokens and normalises as a sentence-transformers model."""
    inner = _bert(folder.with_name(f"{folder.name}-inner"), seed)
    modules = [Transformer(str(inner)), Pooling(16, "mean"), Normalize()]
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder))
    return folder


def save_static(folder: Path, seed: int = 0) -> Path:
    """Save a table of word vectors of 8 dimensions as a sentence-transformers model."""
    tiny_table(seed, 8).save(str(folder))
    return folder
