"""Experiment files and the grids that they plan, without training anything."""

from pathlib import Path
from typing import Any

import pytest

from experiment_helpers import TINY, write_experiment
from hyperloader.config import load_recipe
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import ConfigError
from hyperloader.experiments.plan.data import corpus_hash, limit
from hyperloader.experiments.plan.grid import plan
from hyperloader.experiments.plan.spec import (
    Experiment,
    System,
    differences,
    experiment_names,
    flatten,
    load_experiment,
)
from hyperloader.modeling.methods import METHODS
from hyperloader.reproduction.paper import COLUMNS, CORPORA, FRACTIONS, paper_average, paper_f1
from hyperloader.training.sampler import TaskSampler
from training_helpers import corpora


def tiny(**changes: Any) -> Experiment:
    return Experiment.model_validate({**TINY, **changes})


def test_the_packages_experiments() -> None:
    assert experiment_names() == [
        *("ablations", "claim", "encoder-heads", "encoder-learning", "encoder-pilots", "encoders"),
        *("figure2", "rates", "table3", "table4"),
    ]
    table3, table4, figure2 = map(load_experiment, ("table3", "table4", "figure2"))
    assert table3.systems == table4.systems == figure2.systems
    assert set(table3.systems) == set(COLUMNS) | {"hyperlora", "adapter-dagger", "full"}
    # One folder of results serves all of them, so they must share everything but the grid.
    claim, ablations = map(load_experiment, ("claim", "ablations"))
    for budget in ("full", "cpu", "smoke"):
        bases = [e.with_budget(budget).base() for e in (table3, table4, figure2, claim, ablations)]
        assert bases == bases[:1] * 5
    systems = {**ablations.systems, **claim.systems, **table4.systems}
    for experiment in (claim, ablations):
        assert {name: systems[name] for name in experiment.systems} == experiment.systems
    assert (table4.fractions, figure2.fractions) == ((0.1, 0.2), (0.1, 0.2, 1.0))
    assert table3.seeds == load_experiment("claim").seeds == (42, 43, 44)
    assert list(load_experiment("claim").systems) == [
        *("hyperloader", "hyperformer++", "hyperlora", "full", "random-backbone")
    ]


@pytest.mark.parametrize("name", experiment_names())
@pytest.mark.parametrize("budget", ["full", "smoke"])
def test_the_packages_experiments_can_be_planned(name: str, budget: str) -> None:
    experiment = load_experiment(name).with_budget(budget)
    runs = plan(experiment, corpora())
    assert len({run.name for run in runs}) == len(runs)
    assert {run.system for run in runs} == set(experiment.systems)
    for run in runs:
        method = METHODS[run.recipe.model["method"]]
        assert run.apart or not method.single_task
        assert run.recipe.training.steps <= (12 if budget == "smoke" else 10_000)


def test_every_method_has_as_many_rates_and_only_they_differ() -> None:
    rates = load_experiment("rates")
    assert (rates.score, rates.fractions, rates.seeds) == ("validation", (0.1,), (42,))
    tried: dict[str, list[System]] = {}
    for name, system in rates.systems.items():
        method, _, rate = name.partition("@")
        key = f"training.{'backbone_' if method == 'full' else ''}learning_rate"
        assert system.set[key] == float(rate)
        assert {**system.set, key: 0} == {**tried.setdefault(method, [system])[0].set, key: 0}
        tried[method].append(system)
    assert {len(systems) - 1 for systems in tried.values()} == {4}
    base = rates.with_budget("full").base().training
    assert (base.steps, base.batch_size, base.backbone_learning_rate) == (300, 32, 1e-3)
    table3 = load_experiment("table3").systems
    assert tried.keys() == table3.keys() | {"hyperformer"}
    for method, system in table3.items():
        names = tried[method][0]
        assert system.tasks == names.tasks
        assert system.set.get("backbone") == names.set.get("backbone")
        assert system.set.get("model.method") == names.set.get("model.method")


@pytest.mark.parametrize("name", ["table4", "rates"])
def test_a_system_that_names_a_backbone_keeps_it(name: str) -> None:
    runs = plan(load_experiment(name).with_budget("smoke"), corpora(), backbone="builtin")
    backbones = {run.system.partition("@")[0]: run.recipe.backbone for run in runs}
    assert backbones.pop("unipelt-bert") == "minilm"
    assert set(backbones.values()) == {"builtin"}


def test_systems_differ_by_their_own_keys_only() -> None:
    experiment = load_experiment("claim").with_budget("full")
    base = experiment.base()
    for run in plan(experiment, corpora()):
        own = set(flatten(experiment.systems[run.system].set))
        assert set(differences(run.recipe, base)) - {"seed", "data.fraction"} <= own


def test_models_apart_have_the_share_of_the_steps_that_one_model_draws() -> None:
    runs = plan(tiny(set={"training.steps": 3000, "validation.every": 300}), corpora())
    apart = {run.tasks[0]: run.recipe for run in runs if run.apart}
    sampler = TaskSampler({"dining": 6, "home": 12}, batch_size=8, temperature=10.0, seed=1)
    drawn = {"dining": 0, "home": 0}
    for step in range(1, 3001):
        drawn[sampler.step(step)[0][0]] += 1
    for task, recipe in apart.items():
        assert recipe.training.steps == pytest.approx(drawn[task], rel=0.05)
        assert recipe.training.steps / recipe.validation.every == pytest.approx(10, rel=0.02)
    assert sum(recipe.training.steps for recipe in apart.values()) == pytest.approx(3000, abs=1)


def test_models_apart_have_that_share_of_the_curriculum_too() -> None:
    data = {"curriculum": "length", "curriculum_steps": 1000, "curriculum_after": 200}
    runs = plan(tiny(set={"training.steps": 3000, "data": data}), corpora())
    for run in runs:
        share = run.recipe.training.steps / 3000
        assert run.recipe.data.curriculum_steps == pytest.approx(1000 * share, abs=1)
        assert run.recipe.data.curriculum_after == pytest.approx(200 * share, abs=1)


def test_a_file_takes_the_keys_of_another(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("like: table3\nrecipe: reference\nset: {}\n")
    experiment = load_experiment(str(path))
    assert experiment.systems == load_experiment("table3").systems
    assert experiment.base() == load_recipe("reference")
    assert experiment.base("somewhere").backbone == "somewhere"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": [1]}, "unknown key 'sedes'; did you mean 'seeds'"),
        ({"systems": {}}, "systems"),
        ({"systems": {"a/b": {}}}, "a/b"),
        ({"score": "train"}, "'test' or 'validation'"),
        ({"seeds": [1, 1]}, "each may be named once"),
        ({"fractions": [0.0]}, "fractions"),
        ({"systems": {"x": {"tasks": "alone"}}}, "'together' or 'apart'"),
        ({"like": "tabel3"}, "did you mean 'table3'"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_experiment(str(write_experiment(tmp_path, **changes)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ({"model.method": "hyperloda"}, "did you mean 'hyperlora'"),
        ({"training.step": 3}, "did you mean 'training.steps'"),
        ({"model.method": "lora"}, "is for one task"),
        ({"model.lora_places": ["nowhere"]}, "nowhere"),
    ],
)
def test_a_wrong_system_is_named_before_anything_runs(system: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=r"system 'mine': ") as caught:
        plan(tiny(systems={"mine": system}), corpora())
    assert message in str(caught.value)


def test_files_that_take_each_others_keys(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"like: {tmp_path / 'b.yaml'}\n")
    (tmp_path / "b.yaml").write_text(f"like: {tmp_path / 'a.yaml'}\n")
    with pytest.raises(ConfigError, match="circles"):
        load_experiment(str(tmp_path / "a.yaml"))


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="did you mean 'claim'"):
        load_experiment("clam")
    with pytest.raises(ConfigError, match="did you mean 'full'"):
        tiny().with_budget("ful")
    with pytest.raises(ConfigError, match="unknown system 'nobody'"):
        plan(tiny(), corpora(), only=["nobody"])
    with pytest.raises(ConfigError, match=r"0\.3 is not among the experiment's fractions"):
        plan(tiny(), corpora(), fractions=[0.3])
    with pytest.raises(ConfigError, match="7 is not among the experiment's seeds"):
        plan(tiny(), corpora(), seeds=[7])


def test_part_of_a_grid() -> None:
    whole = plan(tiny(fractions=[0.5, 1.0], seeds=[1, 2]), corpora())
    part = plan(tiny(fractions=[0.5, 1.0], seeds=[1, 2]), corpora(), fractions=[0.5], seeds=[2])
    assert part == [run for run in whole if (run.fraction, run.seed) == (0.5, 2)]
    assert 0 < len(part) == len(whole) / 4


def test_a_budget_limits_sentences_and_the_hash_sees_them() -> None:
    few = limit(corpora(), 5)
    assert {len(part) for corpus in few.values() for part in corpus.splits.values()} == {5}
    assert few == limit(corpora(), 5)
    for name, corpus in corpora().items():
        for part, examples in few[name].splits.items():
            assert set(examples) <= set(corpus.splits[part])
        assert corpus_hash(few[name]) != corpus_hash(corpus)
    assert limit(corpora(), None) == dict(corpora())


def test_the_papers_numbers_are_the_papers(shared: Path) -> None:
    names = dict(zip(CORPORA, _PAPER_NAMES, strict=True))
    lines = (shared / "paper" / "hyperloader.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.replace("<b>", "").replace("</b>", "").split("\t") for line in lines]
    rows = [row for row in rows if len(row) == 6 and row[1].startswith("0.")]
    for task, printed in names.items():
        found = [[float(x) for x in row[1:]] for row in rows if row[0] == printed]
        assert len(found) == len(FRACTIONS)
        for fraction, values in zip(FRACTIONS, found, strict=True):
            assert [paper_f1(system, fraction, task) for system in COLUMNS] == values
    averages = [[float(x) for x in row[1:]] for row in rows if row[0] == "Average"]
    for fraction, values in zip(FRACTIONS, averages, strict=True):
        ours = [paper_average(system, fraction, CORPORA) for system in COLUMNS]
        assert ours == pytest.approx(values, abs=1.1e-4)


_PAPER_NAMES = ("MovieTriva", "Movie", "Restaurant", "ATIS", "SNIPS", "mTOP", "mTOD")


def test_the_real_corpora_have_the_papers_names(shared: Path) -> None:
    names = [path.name for path in (shared / "data" / "labelled").iterdir() if path.is_dir()]
    assert set(names) <= set(CORPORA)
    atis = load_corpora(shared / "data" / "labelled", ["atis"])
    run = plan(tiny(systems={"x": {}}, fractions=[0.1]), atis)[0]
    assert (run.name, run.tasks) == ("x-0.1-1", ("atis",))


def test_systems_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("systems: {Lora: {}, lora: {}}\n")
    with pytest.raises(ConfigError, match="one folder on some systems"):
        load_experiment(str(path))
