"""Recipes: everything that decides what a training run does, as YAML with no unknown keys."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hyperloader.errors import ConfigError, unknown
from hyperloader.yamls import load_yaml

_M = TypeVar("_M", bound=BaseModel)


# Recipes of earlier runs have the short name.
Precision = Annotated[
    Literal["float32", "bfloat16"],
    BeforeValidator(lambda value: "bfloat16" if value == "bf16" else value),
]


class Section(BaseModel):
    """A part of a recipe: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSection(Section):
    """Which sentences are used and how batches are drawn from the tasks."""

    fraction: float = Field(1.0, gt=0, le=1, description="share of train and validation used")
    temperature: float = Field(10.0, gt=0, description="task sampling, p proportional to n^(1/T)")
    batches: Literal["per_task", "mixed"] = Field(
        "per_task", description="one task per batch (the paper), or one per row"
    )
    draw: Literal["epochs", "replacement"] = Field(
        "epochs", description="every sentence once before any twice, or with replacement"
    )
    curriculum: Literal["none", "length", "loss"] = Field(
        "none", description="easy tasks and sentences first: by words, or by the model's own loss"
    )
    curriculum_start: float = Field(
        0.1, gt=0, le=1, description="share of tasks and sentences to begin with"
    )
    curriculum_steps: int | None = Field(
        None,
        gt=0,
        description="steps until everything may be drawn; default: half of training.steps",
    )
    curriculum_after: int | None = Field(
        None, ge=0, description="step after which it begins; default: 0, or the warm-up for loss"
    )


class OptimisationSection(Section):
    """The optimisation of a model, whatever it learns."""

    steps: int = Field(2**18, gt=0)
    batch_size: int = Field(32, gt=0, description="sentences per step, over all processes")
    gradient_accumulation: int = Field(1, gt=0, description="parts that a process cuts a step into")
    optimizer: Literal["adamw", "adamw_scaled", "adafactor"] = "adamw"
    learning_rate: float = Field(
        3e-4, gt=0, description="peak; but for adamw relative to the size of each parameter"
    )
    schedule: Literal["constant", "linear", "rsqrt"] = Field(
        "constant", description="after the warm-up: constant, linear to zero, or 1/sqrt(step)"
    )
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = Field((0.9, 0.999), description="of adamw")
    epsilon: float = Field(1e-8, gt=0, description="of adamw")
    clip_norm: float = Field(1.0, gt=0, description="largest norm of a step's gradient")
    precision: Precision | Literal["auto"] = Field(
        "float32", description="auto: bfloat16 where the device has instructions for it"
    )

    def peak_rate(self, parameter: str) -> float:
        """The highest learning rate of the parameter with this name."""
        return self.learning_rate


class TrainingSection(OptimisationSection):
    """The optimisation of a tagger."""

    minutes: float | None = Field(
        None,
        gt=0,
        description="train for so long instead; numbers of steps become shares of it",
    )
    backbone_learning_rate: float | None = Field(
        None, gt=0, description="for trained parameters of the backbone; default: learning_rate"
    )
    head_learning_rate: float | None = Field(
        None, gt=0, description="for a tagging head; default: learning_rate"
    )
    loss: Literal["full", "decisions"] = Field(
        "full", description="cross-entropy of all tokens (the paper), or of the decisions alone"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    loss_reduction: Literal["mean", "sum"] = Field("mean", description="over the tokens of a batch")
    token_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the words' sub-tokens that are hidden in each step"
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of the moving average of what is trained, which is then validated and "
        "kept, e.g. 0.999",
    )
    label_sets: Literal["own", "random"] = Field(
        "own",
        description="random: labels are left out, shortened and joined anew in every step, so that "
        "a head of texts learns to read them (zero-shot)",
    )
    consistency: float = Field(
        0.0,
        ge=0,
        description="weight of the distance between two passes with dropout (R-drop; encoders)",
    )
    gradient_checkpointing: bool = False

    def peak_rate(self, parameter: str) -> float:
        """The backbone may have a rate of its own."""
        if parameter.startswith("backbone.") and self.backbone_learning_rate is not None:
            return self.backbone_learning_rate
        return self.learning_rate


class ValidationSection(Section):
    """When and how the model is validated, and which checkpoint counts as the best."""

    every: int = Field(1000, gt=0, description="steps between validations (and checkpoints)")
    select: Literal["loss", "f1", "last"] = "loss"
    sentences: int | None = Field(
        None, gt=0, description="at most so many validation sentences per task for F1; default: all"
    )


class Recipe(Section):
    """A training run. See docs/training.md for what each published recipe sets and why."""

    seed: int = 42
    backbone: str = Field(
        "google-t5/t5-base",
        description="builtin, a Hub name, a folder, minilm, or scratch:tiny, :mini, :small",
    )
    start: str | None = Field(
        None,
        description="a trained tagger to go on from (a bundled one, a run, a folder) instead of an "
        "untrained model; backbone, model and codec are then its own",
    )
    vocab_size: int = Field(8000, gt=300, description="of the tokenizer of a scratch backbone")
    dropout: float | None = Field(None, ge=0, lt=1, description="default: the backbone's own")
    model: dict[str, Any] = Field(default_factory=dict, description="fields of ModelConfig")
    codec: dict[str, Any] = Field(default_factory=dict, description="fields of CodecConfig")
    data: DataSection = DataSection()
    training: TrainingSection = TrainingSection()
    validation: ValidationSection = ValidationSection()


def recipe_names(kind: str = "") -> list[str]:
    """The recipes that come with the package: for training, or those of the folder ``kind``."""
    folder = files("hyperloader") / "recipes" / kind
    return sorted(
        f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
    )


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A training recipe by name or from a YAML file, with ``key=value`` overrides (dotted keys).

    Raises:
        ConfigError: no such recipe, unreadable YAML, an unknown key or a value that does not fit.
    """
    return parse_model(Recipe, read_recipe(name, overrides), name)


def read_recipe(name: str, overrides: Sequence[str], kind: str = "") -> dict[str, Any]:
    """The keys and values of a recipe of the folder ``kind`` or of a file, with overrides."""
    names = recipe_names(kind)
    if name in names:
        text = (files("hyperloader") / "recipes" / kind / f"{name}.yaml").read_text()
    else:
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"{unknown('recipe', name, names)}; or give a YAML file")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path} cannot be read: {error}; name a recipe that can be"
            ) from error
    values = _yaml(text, name)
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: a recipe is a mapping of keys to values")
    for override in overrides:
        _set(values, override)
    return values


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"--set takes key=value, not {override!r}, e.g. training.steps=1000")
    *path_to, last = key.strip().split(".")
    for part in path_to:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {key}: {part!r} has no keys below it")
    values[last] = _yaml(value, f"--set {key}")


def parse_model(kind: type[_M], values: dict[str, Any], where: str) -> _M:
    """``kind(**values)`` with the first thing that is wrong as a one-line ConfigError."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = get_close_matches(key, _keys(kind), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{where}: unknown key {key!r}{hint}") from error
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}: {key}: {message} (given: {first['input']!r})") from error


def _keys(kind: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in kind.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _keys(field.annotation, f"{prefix}{name}.")
    return keys


def _yaml(text: str, where: str) -> Any:
    try:
        return load_yaml(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where}{line}: not valid YAML: {problem}") from error


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but with 3e-4 as a number, and repeated keys refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                problem, mark = f"the key {key!r} is given twice", node.value[i][0].start_mark
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?([eE][-+]?\d+)$"),
    list("-+0123456789"),
)
