"""The recipe of a pre-training run: YAML, unknown keys refused."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hyperloader.config import (
    OptimisationSection,
    Precision,
    Section,
    parse_model,
    read_recipe,
    recipe_names,
)

Objective = Literal["spans", "words", "restore", "copy"]
FOLDER = "pretrain"
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TextSection(Section):
    """How often each text is read, and how much of it is held out."""

    weights: dict[str, Share] = Field(
        default_factory=dict,
        description="file name pattern -> how often it is read (default 1; first match)",
    )
    held_out: int = Field(1000, gt=1, description="one line in this many is never trained on")


class TokenizerSection(Section):
    """The tokenizer: an existing one, or one learnt from a sample of the text."""

    folder: str | None = Field(None, description="use the tokenizer in this folder")
    vocab_size: int = Field(16000, gt=300, description="pieces, bytes included, sentinels not")
    sentinels: int = Field(256, ge=8, description="a window of the tagger holds one word fewer")
    lowercase: bool = Field(False, description="lower-case the text")
    sample_characters: int = Field(20_000_000, gt=0, description="of the weighted text")
    labels: tuple[str, ...] = Field((), description="label texts that should take few pieces")
    label_share: float = Field(0.01, ge=0, lt=1, description="share of label texts in the sample")


class BackboneSection(Section):
    """The shape of the T5, or one to continue from."""

    start: str | None = Field(
        None,
        description="continue from the backbone in this folder; the shape is then unused",
    )
    d_model: int = Field(256, gt=0)
    d_ff: int = Field(768, gt=0)
    d_kv: int = Field(64, gt=0)
    num_heads: int = Field(4, gt=0)
    num_layers: int = Field(4, gt=0)
    num_decoder_layers: int | None = Field(None, gt=0, description="default: num_layers")
    feed_forward_proj: str = "gated-gelu"
    dropout: float = Field(0.0, ge=0, lt=1)
    first_embeddings: Literal["random", "neighbours"] = Field(
        "random", description="of pieces: random, or factorised counts of neighbours in the text"
    )
    neighbours: int = Field(4, gt=0, description="how many places to each side count as near")
    first_weights: Literal["structured", "t5"] = Field(
        "structured", description="made for alignment by sentinel, or T5's own random ones"
    )


class ObjectivesSection(Section):
    """What the backbone learns to restore. Lengths are in sub-tokens."""

    mix: dict[Objective, Share] = Field(
        {"spans": 1.0}, description="share of the steps for each objective"
    )
    source_tokens: int = Field(256, ge=16, description="length of every source")
    noise: float = Field(0.15, gt=0, lt=0.6, description="share of sub-tokens in hidden spans")
    mean_span: float = Field(3.0, ge=1, description="mean length of a hidden span")
    hidden_words: float = Field(0.15, gt=0, lt=1, description="share of words that `words` hides")
    swapped_words: float = Field(
        0.0, ge=0, le=1, description="share of these that are swapped instead"
    )
    random_first: float = Field(
        0.5, ge=0, le=1, description="share of examples whose first sentinel is random, not 0"
    )

    @field_validator("mix")
    @classmethod
    def _some(cls, mix: dict[Objective, float]) -> dict[Objective, float]:
        if not sum(mix.values()) > 0:
            raise ValueError("one objective needs a share above 0")
        return mix


class DistillationSection(Section):
    """A trained encoder whose states of words the encoder learns beside the objectives."""

    teacher: str | None = Field(
        None, description="minilm, a folder or a Hub name, all of the BERT family; default: none"
    )
    layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (4,), min_length=1, description="of the teacher, from 1; minilm has six"
    )
    weight: float = Field(5.0, gt=0, description="of its loss a word beside that of a target token")
    map_rate: float = Field(
        10.0, gt=0, description="learning rate of the maps to the teacher, relative to all others"
    )
    rows: float = Field(1.0, gt=0, le=1, description="share of a step's rows that it reads")
    loss: Literal["mse", "cosine"] = "mse"


class PretrainingSection(OptimisationSection):
    """The optimisation of a backbone."""

    steps: int = Field(10_000, gt=0)
    batch_size: int = Field(64, gt=0, description="sequences per step, over all processes")
    learning_rate: float = Field(
        1e-3, gt=0, description="peak; but for adamw relative to the size of each parameter"
    )
    schedule: Literal["constant", "linear", "rsqrt"] = "linear"
    warmup_steps: int = Field(200, ge=0)
    betas: tuple[float, float] = Field((0.9, 0.98), description="of adamw")
    vocabulary: Literal["full", "batch"] = Field(
        "full", description="candidates of the loss: all pieces, or those in the batch"
    )
    compile: bool = Field(False, description="torch.compile; worth it on a GPU")


class EvaluationSection(Section):
    """When the model is measured on held-out text, and a checkpoint written."""

    every: int = Field(500, gt=0, description="steps between evaluations (and checkpoints)")
    sequences: int = Field(64, gt=0, description="at most so many held-out sequences per measure")


class PretrainRecipe(Section):
    """A pre-training run. See docs/pretraining.md."""

    seed: int = 42
    text: TextSection = TextSection()
    tokenizer: TokenizerSection = TokenizerSection()
    backbone: BackboneSection = BackboneSection()
    objectives: ObjectivesSection = ObjectivesSection()
    distillation: DistillationSection = DistillationSection()
    training: PretrainingSection = PretrainingSection()
    evaluation: EvaluationSection = EvaluationSection()
    export: Precision = Field("bfloat16", description="of the finished backbone")

    @model_validator(mode="before")
    @classmethod
    def _tokenizer_of_start(cls, values: dict[str, Any]) -> dict[str, Any]:
        backbone, tokenizer = values.get("backbone"), values.get("tokenizer", {})
        if isinstance(backbone, dict) and isinstance(tokenizer, dict) and backbone.get("start"):
            return {**values, "tokenizer": {"folder": backbone["start"], **tokenizer}}
        return values


def pretrain_recipe_names() -> list[str]:
    """The pre-training recipes that come with the package."""
    return recipe_names(FOLDER)


def load_pretrain_recipe(name: str, overrides: Sequence[str] = ()) -> PretrainRecipe:
    """A pre-training recipe by name or from a YAML file, with ``key=value`` overrides.

    Raises:
        ConfigError: no such recipe, unreadable YAML, an unknown key or a value that does not fit.
    """
    return parse_model(PretrainRecipe, read_recipe(name, overrides, FOLDER), name)
