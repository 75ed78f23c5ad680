"""The grid of an experiment: every model that is to be trained, with its whole recipe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hyperloader.config import Recipe, load_recipe, parse_model
from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import ConfigError, unknown
from hyperloader.experiments.plan.spec import Experiment, System, flatten, overrides
from hyperloader.modeling.config import ModelConfig
from hyperloader.training.sampler import TaskSampler


@dataclass(frozen=True, slots=True)
class Run:
    """One model: a system, a share of the data, a seed, and the corpora that it is trained on."""

    system: str
    fraction: float
    seed: int
    tasks: tuple[str, ...]
    apart: bool
    recipe: Recipe

    @property
    def name(self) -> str:
        """SYSTEM-FRACTION-SEED, for a model of one corpus -CORPUS behind it."""
        return run_name(self.system, self.fraction, self.seed, self.tasks[0] if self.apart else "")


def run_name(system: str, fraction: float, seed: int, task: str = "") -> str:
    """The name of the run's folder; ``task`` for a model of one corpus."""
    return "-".join([system, f"{fraction:g}", str(seed), *([task] if task else [])])


def plan(
    experiment: Experiment,
    corpora: Mapping[str, Corpus],
    *,
    backbone: str | None = None,
    only: Sequence[str] = (),
    fractions: Sequence[float] = (),
    seeds: Sequence[int] = (),
) -> list[Run]:
    """Every run of ``experiment`` (with its budget applied), seed by seed.

    All systems have the same data, order of data, steps, validations and seeds, but for what their
    own keys set. Of a system with ``tasks: apart`` each model gets its corpus's share of the
    steps, as one model for all would draw it: all models together see as many sentences.

    Raises:
        ConfigError: a system in ``only``, a share in ``fractions`` or a seed in ``seeds`` (all
            where they are empty) that the experiment has not; a recipe or model that does not fit.
    """
    for name in only:
        if name not in experiment.systems:
            raise ConfigError(unknown("system", name, experiment.systems))
    chosen = {n: s for n, s in experiment.systems.items() if not only or n in only}
    for key, wanted, there in (
        ("fractions", fractions, experiment.fractions),
        ("seeds", seeds, experiment.seeds),
    ):
        if absent := [value for value in wanted if value not in there]:
            have = ", ".join(map(str, there))
            raise ConfigError(f"{absent[0]} is not among the experiment's {key}, which are {have}")
    return [
        run
        for seed in experiment.seeds
        if not seeds or seed in seeds
        for fraction in experiment.fractions
        if not fractions or fraction in fractions
        for name, system in chosen.items()
        for run in _runs(experiment, name, system, fraction, seed, corpora, backbone)
    ]


def _runs(
    experiment: Experiment,
    name: str,
    system: System,
    fraction: float,
    seed: int,
    corpora: Mapping[str, Corpus],
    backbone: str | None,
) -> list[Run]:
    settings = {
        **flatten(experiment.set),
        **({} if backbone is None else {"backbone": backbone}),
        **flatten(system.set),
        "seed": seed,
        "data.fraction": fraction,
    }
    try:
        recipe = load_recipe(experiment.recipe, overrides(settings))
        groups = [(task,) for task in corpora] if system.tasks == "apart" else [tuple(corpora)]
        for tasks in groups:
            parse_model(ModelConfig, {**recipe.model, "tasks": tasks}, "model")
    except ConfigError as error:
        raise ConfigError(f"system {name!r}: {error}") from error
    if system.tasks == "together":
        return [Run(name, fraction, seed, tuple(corpora), False, recipe)]
    shares = _shares(recipe, fraction, corpora)
    return [
        Run(name, fraction, seed, (task,), True, _part(recipe, share))
        for task, share in shares.items()
    ]


def _shares(recipe: Recipe, fraction: float, corpora: Mapping[str, Corpus]) -> dict[str, float]:
    """The share of the steps that each corpus has in a run on all of them."""
    kept = Fraction(str(fraction))
    sizes = {
        name: max(1, math.floor(len(corpus.splits["train"]) * kept))
        for name, corpus in corpora.items()
    }
    sampler = TaskSampler(sizes, batch_size=1, temperature=recipe.data.temperature)
    return dict(zip(sampler.tasks, sampler.probabilities.tolist(), strict=True))


def _part(recipe: Recipe, share: float) -> Recipe:
    """``recipe`` with a ``share`` of the steps, the warm-up and the curriculum, validated as many
    times."""
    training, validation, data = recipe.training, recipe.validation, recipe.data
    steps = max(1, round(training.steps * share))
    warmup = min(steps, round(training.warmup_steps * share))
    every = max(1, round(validation.every * share))
    curriculum = {
        "curriculum_steps": data.curriculum_steps and max(1, round(data.curriculum_steps * share)),
        "curriculum_after": data.curriculum_after and round(data.curriculum_after * share),
    }
    return recipe.model_copy(
        update={
            "training": training.model_copy(update={"steps": steps, "warmup_steps": warmup}),
            "validation": validation.model_copy(update={"every": every}),
            "data": data.model_copy(update=curriculum),
        }
    )
