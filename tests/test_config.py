"""Recipes: the published numbers, and one line for everything that does not fit."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_helpers import bert_folder
from helpers import methods_on
from hyperloader.backbones.t5.family import T5
from hyperloader.config import Recipe, load_recipe, recipe_names
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.training.setup import build
from training_helpers import corpora


def refused(name: str, *overrides: str) -> str:
    """The message of the ConfigError; it is one line."""
    with pytest.raises(ConfigError) as caught:
        load_recipe(name, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused_yaml(folder: Path, content: str | bytes) -> str:
    path = folder / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return refused(str(path))


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_and_its_model_and_codec_fit(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    method = ModelConfig(tasks=("dining",), **recipe.model).row
    on = {"dining": corpora()["dining"]} if method.single_task else corpora()
    on_t5 = method.name in methods_on(T5())
    backbone = "scratch:tiny" if on_t5 else str(bert_folder(tmp_path))
    tiny = recipe.model_copy(update={"backbone": backbone, "vocab_size": 400})
    assert build(tiny, on).model.config.tasks == tuple(on)


def test_the_baselines_recipes_are_the_published_training() -> None:
    def of(name: str) -> Recipe:
        return load_recipe(f"baselines-{name}")

    reference, former, decoder = load_recipe("reference"), of("hyperformer"), of("hyperdecoder")
    batches = (reference.training.batch_size, former.training.batch_size)
    assert batches == (128, 32)
    assert former.training.model_copy(update={"batch_size": 128}) == reference.training
    assert decoder.training == reference.training
    assert (decoder.validation.every, decoder.validation.select) == (1000, "f1")
    assert {r.data for r in (former, decoder)} == {reference.data}
    for name in ("unipelt-t5", "unipelt-bert"):
        training = of(name).training
        assert (training.batch_size, training.learning_rate) == (16, 5e-4)
    for name in recipe_names():
        if name.startswith("baselines-"):
            recipe = load_recipe(name)
            assert set(recipe.model) == {"method"}, "all else is the method's own"


def test_the_paper_recipe_is_the_papers_text() -> None:
    recipe = load_recipe("paper")
    training, validation = recipe.training, recipe.validation
    assert recipe.backbone.endswith("t5-base")
    assert recipe.model == {
        "method": "hyperloader",
        "task_embedding_dim": 512,
        "activation": "gelu",
    }
    assert (training.steps, training.batch_size) == (2**18, 32)
    assert (training.learning_rate, training.schedule, training.warmup_steps) == (
        3e-4,
        "constant",
        0,
    )
    assert (training.label_smoothing, training.loss, training.loss_reduction) == (0, "full", "mean")
    assert (validation.every, validation.select) == (1000, "loss")
    assert (recipe.data.temperature, recipe.data.batches, recipe.seed) == (10, "per_task", 42)


def test_the_reference_recipe_is_the_published_code() -> None:
    recipe = load_recipe("reference")
    training = recipe.training
    model = ModelConfig(tasks=("a",), **recipe.model)
    assert (model.task_embedding_dim, model.layer_embedding_dim, model.position_embedding_dim) == (
        64,
        64,
        64,
    )
    assert (model.activation, model.reduction_factor, model.lora_rank) == ("gelu_new", 32, 8)
    assert model.train_backbone == "layer_norms"
    assert (training.steps, training.batch_size) == (65_536, 4 * 32)
    assert (training.learning_rate, training.schedule, training.warmup_steps) == (
        3e-4,
        "linear",
        500,
    )
    assert (training.label_smoothing, training.loss_reduction) == (0.1, "sum")
    assert (training.betas, training.epsilon) == ((0.9, 0.999), 1e-8)
    assert (training.weight_decay, training.clip_norm, training.precision) == (0, 1, "float32")
    assert recipe.validation.select == "last"
    assert (recipe.data.temperature, recipe.data.draw, recipe.seed) == (10, "replacement", 42)


def test_an_unknown_recipe_names_the_known_ones() -> None:
    message = refused("papre")
    assert all(name in message for name in recipe_names())


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainnig.steps=3", "unknown key 'trainnig'; did you mean 'training'?"),
        ("training.stpes=3", "unknown key 'training.stpes'; did you mean 'training.steps'?"),
        ("training.steps=many", "training.steps: "),
        ("training.steps=0", "training.steps: "),
        ("training.learning_rate=.inf", "training.learning_rate: "),
        ("training.learning_rate=.nan", "training.learning_rate: "),
        ("training=3", "training: "),
        ("training.schedule=cosine", "training.schedule: "),
        ("data.fraction=1.5", "data.fraction: "),
        ("data.curriculum=hard", "data.curriculum: Input should be 'none', 'length' or 'loss'"),
        ("data.curriculum_start=0", "data.curriculum_start: "),
        ("dropout=1", "dropout: "),
        ("seed", "--set takes key=value, not 'seed'"),
        ("seed.low=3", "seed"),
        ("training.steps=[1", "--set training.steps:"),
        ("backbone=2020-13-45", "--set backbone: not valid YAML"),
    ],
)
def test_a_bad_setting_is_one_line(override: str, said: str) -> None:
    assert said in refused("paper", override)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.reduction_facto=3", "did you mean 'reduction_factor'?"),
        ("model.method=hyperloder", "did you mean 'hyperloader'?"),
        ("model.lora_rank=none", "lora_rank"),
        ("model.tasks=[a]", "the tasks are those of the data"),
        ("codec.overlp=3", "did you mean 'overlap'?"),
        ("codec.label_text=nice", "label_text"),
        ("backbone=scratch:huge", "(known: tiny, mini, small)"),
    ],
)
def test_model_and_codec_settings_are_checked_when_the_model_is_built(
    override: str, said: str
) -> None:
    recipe = load_recipe("scratch", ["backbone=scratch:tiny", "vocab_size=400", override])
    with pytest.raises(ConfigError) as caught:
        build(recipe, corpora())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def _repeated(levels: int) -> list[str]:
    """Each list is nine times the one before: a small file, and a large value."""
    return [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("seed: 1\ndata:\n  draw: epochs\n  draw: replacement\n", ":4: not valid YAML: the key"),
        ("seed: 1\nseed: 2\n", ":2: not valid YAML: the key 'seed' is given twice"),
        ("seed: 1\ntraining: {steps: 3\nbackbone: x\n", ":3: not valid YAML"),
        ("seed: 1\n\tdropout: 0.1\n", ":2: not valid YAML"),
        ("- seed\n", "a recipe is a mapping"),
        ("", "a recipe is a mapping"),
        ("1: 2\n", "1: "),
        ("training:\n  {1: 2}\n", "training.1: "),
        ("[" * 100_000, "nested too deep"),
        ("seed: !!bool x\n", "not valid YAML"),
        ("seed: !!timestamp x\n", "not valid YAML"),
        ("seed: 2020-99-99\n", "not valid YAML"),
        ("&a [*a]", "its aliases make it too large"),
        ("\n".join(["a0: &a0 [1]", *_repeated(9)]), "its aliases make it too large"),
        ("seed: !!python/object/apply:os.system [echo]\n", ":1: not valid YAML"),
        (b"seed: \xff\n", "cannot be read"),
        (b"seed: \x00\n", "not valid YAML"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    message = refused_yaml(tmp_path, content)
    assert said in message
    assert "mine.yaml" in message


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    assert "unknown recipe" in refused(str(tmp_path))


@pytest.mark.parametrize("text", ["3e-4", "3E-4", "0.0003", "+3e-4", "3.0e-4", ".3e-3"])
def test_numbers_are_numbers_however_they_are_written(text: str) -> None:
    assert load_recipe("paper", [f"training.learning_rate={text}"]).training.learning_rate == 3e-4


@given(value=st.floats(min_value=1e-30, max_value=1e30))
def test_any_float_python_prints_comes_back(value: float) -> None:
    recipe = load_recipe("paper", [f"training.learning_rate={value!r}"])
    assert recipe.training.learning_rate == value


def test_a_file_and_settings_go_together_and_the_last_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 7\ntraining: {steps: 5}\n")
    recipe = load_recipe(
        str(path), ["training.steps=6", "training.steps=7", "model.lora_rank=4", "dropout=null"]
    )
    assert (recipe.seed, recipe.training.steps, recipe.dropout) == (7, 7, None)
    assert recipe.model == {"lora_rank": 4}
    assert recipe.validation == Recipe().validation
