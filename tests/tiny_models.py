"""Sentence-transformers models with random weights that know a few words; made in a moment, saved and loaded as any."""

from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tests.fakes import ANIMALS, READERS, TOPICS

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *ANIMALS,
    *TOPICS,
    *READERS,
    "how",
    "are",
    "a",
    "word",
    "long",
    "query",
    ":",
)


def tiny_transformer(folder: Path, include_prompt: bool = True) -> SentenceTransformer:
    """Return a BERT of 16 dimensions that reads 6 words and does not normalise; its files lie in the folder."""
    make: Any = PreTrainedTokenizerFast  # which is not typed
    fast = make(
        tokenizer_object=_tokenizer(), unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    transformer = Transformer(str(folder), max_seq_length=6)
    return SentenceTransformer(modules=[transformer, Pooling(16, include_prompt=include_prompt)], device="cpu")


def tiny_table(seed: int) -> SentenceTransformer:
    """Return a table of word vectors of 12 dimensions that does not normalise."""
    table = np.random.default_rng(seed).normal(size=(len(WORDS), 12)).astype(np.float32)
    return SentenceTransformer(modules=[StaticEmbedding(_tokenizer(), embedding_weights=table)], device="cpu")


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer
