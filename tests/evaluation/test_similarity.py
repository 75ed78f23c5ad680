"""``hyperloader similarity``: cosines between tasks, checked against NumPy on single tasks."""

import json
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from helpers import tiny_codec, tiny_model
from hyperloader.errors import ConfigError
from hyperloader.evaluation.similarity import EMBEDDINGS, Similarity, task_similarity
from hyperloader.tagger import Tagger
from training_helpers import cli, refused

FOUR = dict.fromkeys(("one", "two", "three", "four"), ("thing",))
KINDS = [EMBEDDINGS, "generated adapters", "generated layer norms", "generated LoRA"]


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.from_pretrained("builtin-t5")


@pytest.fixture(scope="module")
def found(tagger: Tagger) -> Similarity:
    return task_similarity(tagger.model)


def test_a_matrix_of_cosines_for_each_kind(tagger: Tagger, found: Similarity) -> None:
    assert found.tasks == tagger.tasks
    assert list(found.matrices) == KINDS
    for matrix in map(np.array, found.matrices.values()):
        assert matrix.shape == (6, 6)
        assert np.allclose(matrix, matrix.T)
        assert np.allclose(np.diag(matrix), 1)
        assert np.abs(matrix).max() <= 1
    assert found.by_chance == pytest.approx(-0.2)


def test_the_cosines_are_those_of_the_weights_of_single_tasks(
    tagger: Tagger, found: Similarity
) -> None:
    parts = {"generated adapters": ("down", "up"), "generated layer norms": ("norm",)}
    parts["generated LoRA"] = ("a", "b")
    with torch.no_grad():
        made = [tagger.model.weights(torch.tensor([i])) for i in range(len(found.tasks))]
    for kind, prefixes in parts.items():
        rows = np.array(
            [
                np.concatenate(
                    [
                        part.double().numpy().ravel()
                        for weights in task.values()
                        for name, part in weights._asdict().items()
                        if part is not None and name.split("_")[0] in prefixes
                    ]
                )
                for task in made
            ]
        )
        rows -= rows.mean(0)
        for i, j in combinations(range(len(rows)), 2):
            cosine = rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j])
            assert found.matrices[kind][i][j] == pytest.approx(cosine, abs=1e-4)
    (embeddings,) = (p for n, p in tagger.model.named_parameters() if "task_embeddings" in n)
    first, second = embeddings.detach().double().numpy()[:2]
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert found.matrices[EMBEDDINGS][0][1] == pytest.approx(cosine)


def test_equal_tasks_are_alike_and_others_are_not() -> None:
    model = tiny_model(tiny_codec(FOUR), random=True)
    embeddings = next(p for n, p in model.named_parameters() if "task_embeddings" in n)
    with torch.no_grad():
        embeddings[1] = embeddings[0]
    matrices = task_similarity(model).matrices
    for matrix in matrices.values():
        assert matrix[0][1] == pytest.approx(1, abs=1e-6)
        assert max(matrix[0][2], matrix[0][3]) < 0.9


def test_a_method_with_adapters_alone_has_no_lora() -> None:
    found = task_similarity(tiny_model(tiny_codec(FOUR), random=True, method="hyperformer++"))
    assert list(found.matrices) == KINDS[:3]


def test_what_has_no_task_embeddings_is_refused() -> None:
    for method in ("full", "hyperdecoder", "adapter-dagger"):
        with pytest.raises(ConfigError, match=f"{method}.*no task embeddings.*hyperloader, hyper"):
            task_similarity(tiny_model(tiny_codec(FOUR), random=True, method=method))
    with pytest.raises(ConfigError, match="comparing tasks takes two"):
        task_similarity(tiny_model(tiny_codec({"one": ("thing",)})))


def test_the_command(found: Similarity, tmp_path: Path) -> None:
    picture = tmp_path / "tasks.svg"
    done = cli("similarity", "builtin-t5", "--json", "--plot", picture)
    assert done.code == 0, done
    document = json.loads(done.out)
    assert document["cosines"] == found.matrices
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    done = cli("similarity", "builtin-t5")
    assert all(kind in done.out for kind in KINDS)
    cosine = found.matrices["generated LoRA"][0][1]
    assert f"{cosine:.2f}" in done.out
    assert "nothing in common: about -0.20" in done.out
    assert "does not exist" in refused("similarity", tmp_path / "none")
