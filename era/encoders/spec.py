"""Which embedders to use, as values that are stored and sent: specifications, pairs of them, and presets.

Nothing is loaded here; `era.encoders.loading` makes embedders of these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, StrictStr, ValidationError, model_validator
from pydantic.dataclasses import dataclass as validated_dataclass
from pydantic.fields import FieldInfo

from era.errors import EmbedderUnavailableError

EmbedderKind = Literal["bundled-strong", "bundled-light", "sentence-transformers", "openai"]
Dtype = Literal["", "float32", "float16", "bfloat16"]

# what is expected of a field is said by its description
_Text = Annotated[StrictStr, Field(description="a text")]
_Prompt = Annotated[StrictStr | None, Field(description="a text, or nothing for the model's own")]
_Count = Annotated[int | None, Field(strict=True, gt=0, description="a whole number above 0, or nothing")]
_Price = Annotated[
    float | None, Field(strict=True, ge=0, allow_inf_nan=False, description="dollars from 0 on, or nothing")
]

N_ALIGNMENT_TEXTS = 1000
"""Documents that the strong embedder reads before anything is aligned; fewer if there are no more."""

MAX_ALIGNMENT_TEXTS = 5000
"""Documents that it reads for the alignment in the end where nothing else is said, unless it may cost money."""

_NAMED_KINDS = ("sentence-transformers", "openai")
_BUNDLED_NAMES = {"bundled-strong": "all-MiniLM-L6-v2", "bundled-light": "WordLlama 256"}


@validated_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class EmbedderSpec:
    """What it takes to load one embedder.

    Attributes:
        kind: where it comes from; the two bundled ones take no further field but `batch_size`.
        name: a name on the Hugging Face Hub or a local folder; for an endpoint, what the server calls the model.
        revision: commit, branch or tag on the Hub; empty for the newest.
        query_prompt: written before a query that has no instruction; None for the model's own.
        document_prompt: written before a document; None for the model's own.
        max_length: tokens that are read of a text; None for the model's own.
        dtype: of the weights; empty for the one they are stored in on a GPU, and for float32 on a CPU.
        batch_size: texts at once; None for a size that suits the device.
        truncate_dimension: numbers kept of each vector, for models trained for that (Matryoshka); None for all.
        base_url: of an endpoint that speaks the OpenAI protocol; empty for OpenAI's own.
        price_per_million_tokens: in dollars, to say beforehand what reading costs; None if unknown.
    """

    kind: Annotated[EmbedderKind, Field(description=f"one of {', '.join(get_args(EmbedderKind))}")]
    name: _Text = ""
    revision: _Text = ""
    query_prompt: _Prompt = None
    document_prompt: _Prompt = None
    max_length: _Count = None
    dtype: Annotated[Dtype, Field(description="float32, float16, bfloat16, or nothing for the model's own")] = ""
    batch_size: _Count = None
    truncate_dimension: _Count = None
    base_url: _Text = ""
    price_per_million_tokens: _Price = None

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, values: Any, check_fields: ModelWrapValidatorHandler["EmbedderSpec"]) -> "EmbedderSpec":
        """Check every field by itself and beside the others.

        Raises:
            EmbedderUnavailableError: naming the field, what it is, and what is expected.
        """
        try:
            spec = check_fields(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            hints = get_type_hints(cls, include_extras=True)
            expected = {field: FieldInfo.from_annotation(hint).description for field, hint in hints.items()}
            if name not in expected:
                raise EmbedderUnavailableError(
                    f"the field {name!r} is not known. Use some of: {', '.join(sorted(expected))}."
                ) from error
            raise _unusable(name, first["input"], expected[name]) from error
        spec._require_fitting_fields()
        return spec

    def _require_fitting_fields(self) -> None:
        """Refuse also what this kind would ignore: somebody would believe that it counts."""
        if (self.kind in _NAMED_KINDS) != bool(self.name.strip()):
            expected = "the name of a model" if self.kind in _NAMED_KINDS else f"nothing for {self.kind}"
            raise _unusable("name", self.name, expected)
        if self.base_url and not (self.kind == "openai" and self.base_url.startswith(("http://", "https://"))):
            raise _unusable("base_url", self.base_url, "http://… or https://…, and only for an endpoint (openai)")
        ignored: Sequence[str] = ()
        if self.kind == "openai":
            ignored = ("revision", "dtype")
        elif self.kind == "sentence-transformers":
            ignored = ("price_per_million_tokens", *(("revision",) if self.is_local else ()))
        else:
            ignored = [field.name for field in fields(self) if field.name not in ("kind", "batch_size")]
        for name in ignored:
            if getattr(self, name) not in ("", None):
                raise _unusable(name, getattr(self, name), f"nothing: it does not count for {self.label}")

    @property
    def is_local(self) -> bool:
        """Return whether the model is a folder of this machine."""
        return self.kind == "sentence-transformers" and Path(self.name).expanduser().is_dir()

    @property
    def label(self) -> str:
        """Return what a person calls this embedder."""
        if self.is_local:
            return Path(self.name).expanduser().name
        return _BUNDLED_NAMES.get(self.kind, self.name)

    @property
    def n_alignment_texts(self) -> int:
        """Return how many documents this embedder reads for the alignment in the end where nothing else is said."""
        return N_ALIGNMENT_TEXTS if self.kind == "openai" else MAX_ALIGNMENT_TEXTS

    def gives_equal_vectors(self, other: "EmbedderSpec") -> bool:
        """Return whether both read texts alike; batches, number format and price leave the vectors comparable."""
        return replace(self, batch_size=None, dtype="", price_per_million_tokens=None) == replace(
            other, batch_size=None, dtype="", price_per_million_tokens=None
        )


@dataclass(frozen=True, slots=True)
class PairSpec:
    """The two embedders of a collection: `strong` reads queries, `light` has read the documents."""

    strong: EmbedderSpec
    light: EmbedderSpec

    def to_json(self) -> dict[str, Any]:
        """Return this as JSON values; fields that say nothing are left out."""
        return {"strong": _what_is_said(self.strong), "light": _what_is_said(self.light)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "PairSpec":
        """Return the pair that `to_json` gave, or that somebody wrote.

        Raises:
            EmbedderUnavailableError: naming the field that cannot be used.
        """
        if not isinstance(values, Mapping) or set(values) != {"strong", "light"}:
            raise EmbedderUnavailableError(
                "Embedders are given as two objects, `strong` for queries and `light` for documents. "
                "Write both, each with its `kind`."
            )
        return cls(_spec_of("strong", values["strong"]), _spec_of("light", values["light"]))


BUNDLED = PairSpec(EmbedderSpec("bundled-strong"), EmbedderSpec("bundled-light"))
"""The pair that needs no network; collections that name no embedders use it."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A pair that is offered by name.

    Attributes:
        key: to name it on a command line.
        label: what a person calls it.
        words: what it is good for, for a person.
        spec: the pair itself.
        download_gb: what is fetched the first time.
        machine: what kind of machine it wants.
    """

    key: str
    label: str
    words: str
    spec: PairSpec
    download_gb: float
    machine: str


def _of_hub(name: str) -> EmbedderSpec:
    return EmbedderSpec("sentence-transformers", name)


PRESETS: Sequence[Preset] = (
    Preset(
        "bundled",
        "Bundled",
        "all-MiniLM-L6-v2 reads queries, WordLlama 256 has read the documents. English, quick everywhere, no network.",
        BUNDLED,
        0.0,
        "Any machine.",
    ),
    Preset(
        "static",
        "Static",
        "all-MiniLM-L6-v2 reads queries, potion-base-8M has read the documents: a table of word vectors, as quick as "
        "the bundled one. English.",
        PairSpec(EmbedderSpec("bundled-strong"), _of_hub("minishlab/potion-base-8M")),
        0.03,
        "Any machine.",
    ),
    Preset(
        "small",
        "Small",
        "Qwen3-Embedding-0.6B reads queries, bge-small-en-v1.5 has read the documents. English documents.",
        PairSpec(_of_hub("Qwen/Qwen3-Embedding-0.6B"), _of_hub("BAAI/bge-small-en-v1.5")),
        1.3,
        "8 GB of memory; a GPU for more than some 10,000 documents.",
    ),
    Preset(
        "paper",
        "Paper",
        "Qwen3-Embedding-8B reads queries, Qwen3-Embedding-0.6B has read the documents. More than 100 languages.",
        PairSpec(_of_hub("Qwen/Qwen3-Embedding-8B"), _of_hub("Qwen/Qwen3-Embedding-0.6B")),
        16.4,
        "A GPU with 24 GB of memory.",
    ),
    Preset(
        "paper-m3",
        "Paper, over bge-m3",
        "Qwen3-Embedding-8B reads queries, bge-m3 has read the documents. More than 100 languages.",
        PairSpec(_of_hub("Qwen/Qwen3-Embedding-8B"), _of_hub("BAAI/bge-m3")),
        17.5,
        "A GPU with 24 GB of memory.",
    ),
)
"""The pairs that are offered by name, the one that needs nothing first."""


def _spec_of(side: str, values: object) -> EmbedderSpec:
    if not isinstance(values, Mapping) or "kind" not in values:
        kinds = ", ".join(get_args(EmbedderKind))
        raise EmbedderUnavailableError(f"{side}: expected an object with a `kind`, one of {kinds}.")
    try:
        return EmbedderSpec(**values)
    except EmbedderUnavailableError as error:
        raise EmbedderUnavailableError(f"{side}: {error}") from error


def _what_is_said(spec: EmbedderSpec) -> dict[str, Any]:
    """Leave out what was not set; an empty prompt says something else than none."""
    values = {field.name: (getattr(spec, field.name), field.default) for field in fields(spec)}
    return {name: value for name, (value, default) in values.items() if value != default}


def _unusable(field: str, value: object, expected: str | None) -> EmbedderUnavailableError:
    return EmbedderUnavailableError(f"The field {field} of an embedder is {value!r}; expected {expected}.")
