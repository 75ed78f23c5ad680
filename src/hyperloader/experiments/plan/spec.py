"""Experiment files: which systems are trained on how much data with which seeds, as YAML."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hyperloader.config import Recipe, Section, load_recipe, parse_model, read_recipe, recipe_names
from hyperloader.errors import ConfigError, TargetError, unknown
from hyperloader.store import check_names

FOLDER = "experiments"
RANDOM = "random"
FULL = "full"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9+._@]*(-[A-Za-z0-9+._@]+)*$")]
Fraction = Annotated[float, Field(gt=0, le=1)]
Settings = dict[str, Any]
Score = Literal["test", "validation"]


class System(Section):
    """One system: in the file its keys are ``tasks`` and any keys of the training recipe.

    ``backbone: random`` is a backbone of the same shape and tokenizer with T5's own first weights.
    A system that names a backbone keeps it, whatever the others are put on.
    """

    tasks: Literal["together", "apart"] = Field(
        "together", description="one model for all corpora, or one for each"
    )
    set: Settings = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _other_keys_are_the_recipes(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "set" in values:
            return values
        own = {key: value for key, value in values.items() if key == "tasks"}
        return {**own, "set": {k: v for k, v in values.items() if k not in own}}


class Budget(Section):
    """How much is spent: recipe keys for all systems, and less of the experiment if wanted."""

    set: Settings = Field(default_factory=dict)
    sentences: int | None = Field(None, gt=0, description="of each part of a corpus at most")
    fractions: tuple[Fraction, ...] | None = Field(None, min_length=1)
    seeds: tuple[int, ...] | None = Field(None, min_length=1)


class Experiment(Section):
    """An experiment file. ``set`` changes the recipe of all systems alike."""

    recipe: str = Field("builtin", description="the training recipe that all systems start from")
    set: Settings = Field(default_factory=dict)
    systems: dict[Name, System] = Field(min_length=1, description="the first is compared with")
    fractions: tuple[Fraction, ...] = Field((1.0,), min_length=1)
    seeds: tuple[int, ...] = Field((42,), min_length=1)
    score: Score = Field("test", description="the part of the corpora that systems are scored on")
    budgets: dict[Name, Budget] = Field(default_factory=lambda: {FULL: Budget()})

    @field_validator("systems")
    @classmethod
    def _folders(cls, value: dict[str, System]) -> dict[str, System]:
        try:
            check_names(value, "system")
        except TargetError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("fractions", "seeds")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each may be named once")
        return value

    def with_budget(self, name: str) -> "Experiment":
        """The experiment as the budget ``name`` has it. Raises ConfigError for an unknown one."""
        budget = self.budget(name)
        return self.model_copy(
            update={
                "set": {**flatten(self.set), **flatten(budget.set)},
                "fractions": budget.fractions or self.fractions,
                "seeds": budget.seeds or self.seeds,
            }
        )

    def budget(self, name: str) -> Budget:
        """The budget ``name``. Raises ConfigError for an unknown one."""
        if name not in self.budgets:
            raise ConfigError(unknown("budget", name, self.budgets))
        return self.budgets[name]

    def base(self, backbone: str | None = None) -> Recipe:
        """The recipe that all systems start from, on ``backbone`` (default: the recipe's own)."""
        chosen = {} if backbone is None else {"backbone": backbone}
        return load_recipe(self.recipe, overrides({**flatten(self.set), **chosen}))


def experiment_names() -> list[str]:
    """The experiments that come with the package."""
    return recipe_names(FOLDER)


def load_experiment(name: str) -> Experiment:
    """An experiment by name or from a YAML file; ``like: NAME`` takes another one's keys.

    Raises:
        ConfigError: no such experiment, unreadable YAML, an unknown key or an unfit value.
    """
    values = read_recipe(name, (), FOLDER)
    seen = [name]
    while "like" in values:
        other = str(values.pop("like"))
        if other in seen:
            raise ConfigError(f"{name}: like: {' -> '.join([*seen, other])} goes round in circles")
        seen.append(other)
        values = {**read_recipe(other, (), FOLDER), **values}
    return parse_model(Experiment, values, name)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Settings:
    """Nested mappings as one with dotted keys."""
    return dict(_leaves(values, prefix))


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def overrides(settings: Settings) -> list[str]:
    """Dotted keys as the ``key=value`` that recipes take."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def differences(recipe: Recipe, base: Recipe) -> Settings:
    """The keys of ``recipe`` that ``base`` has not, or with another value."""
    ours, theirs = (flatten(r.model_dump(mode="json")) for r in (recipe, base))
    return {key: value for key, value in ours.items() if theirs.get(key, _ABSENT) != value}


_ABSENT = object()
