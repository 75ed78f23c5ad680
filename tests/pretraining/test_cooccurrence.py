"""First embeddings: counts against a count by hand, the factorisation against numpy's."""

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hyperloader.pretraining.cooccurrence import (
    count_neighbours,
    factorise,
    positive_information,
    token_embeddings,
)
from hyperloader.pretraining.recipe import PretrainRecipe
from hyperloader.pretraining.start import start_pretraining

texts = arrays(np.uint16, st.integers(1, 40), elements=st.integers(0, 9))


@given(texts, texts, st.integers(1, 5), st.floats(0.25, 4))
def test_counts(one: np.ndarray, two: np.ndarray, window: int, weight: float) -> None:
    expected = np.zeros((10, 10))
    for text, value in ((one, 1.0), (two, weight)):
        for i in range(len(text)):
            for distance in range(1, min(window, len(text) - 1 - i) + 1):
                expected[text[i], text[i + distance]] += value / distance
    found = count_neighbours({"one": one, "two": two}, {"two": weight}, 10, window)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_information_is_how_much_likelier_than_by_chance() -> None:
    counts = torch.tensor([[0.0, 8.0], [2.0, 6.0]])
    columns = np.array([2.0, 14.0]) ** 0.75
    columns /= columns.sum()
    expected = np.log(np.maximum(counts.numpy() / 8 / columns, 1))
    np.testing.assert_allclose(positive_information(counts).numpy(), expected, rtol=1e-5)


def test_factors_are_those_of_numpy() -> None:
    random = np.random.default_rng(0)
    # Some dimensions that matter and noise, as in a real table.
    matrix = random.normal(size=(80, 6)) @ random.normal(size=(6, 80)) + 0.01 * random.normal(
        size=(80, 80)
    )
    rows = factorise(torch.from_numpy(matrix).float(), 6, torch.Generator().manual_seed(0)).numpy()
    left, values, _ = np.linalg.svd(np.concatenate([matrix, matrix.T], 1))
    expected = left[:, :6] * values[:6] ** 0.5
    np.testing.assert_allclose(rows @ rows.T, expected @ expected.T, atol=0.02)


def test_words_in_the_same_places_get_the_same_embedding() -> None:
    """Of six nouns and six verbs in random sentences, each is nearest to its own kind."""
    random = np.random.default_rng(0)
    text = np.stack(
        [random.integers(1, 7, 4000), random.integers(7, 13, 4000), np.full(4000, 13)], 1
    )
    ids, rows = token_embeddings(
        {"text": text.flatten()}, {}, vocab_size=20, width=8, window=2, seed=0
    )
    assert ids.tolist() == list(range(1, 14))  # what never occurs has no embedding
    torch.testing.assert_close(rows.square().mean(1), torch.ones(13))
    alike = torch.nn.functional.normalize(rows, dim=1)
    near = (alike @ alike.T).fill_diagonal_(-1).argmax(1)
    kind = torch.tensor([0] * 6 + [1] * 6 + [2])
    assert (kind[near[:12]] == kind[:12]).all()


def test_a_run_begins_with_them(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.mkdir()
    (text / "a.txt").write_text("the cat sat on the mat\nthe dog sat on the rug\n" * 40)
    (text / "b.txt").write_text("".join(f"line number {i} is here\n" for i in range(40)))
    settings = {
        "text": {"held_out": 5},
        "tokenizer": {"vocab_size": 400, "sentinels": 40},
        "backbone": {"d_model": 32, "d_ff": 32, "d_kv": 8, "num_layers": 1},
        "objectives": {"mix": {"restore": 1}, "source_tokens": 32, "swapped_words": 0.5},
        "training": {"steps": 2, "batch_size": 4, "vocabulary": "batch"},
    }
    tables = {}
    for first in ("neighbours", "random"):
        settings["backbone"] |= {"first_embeddings": first}
        recipe = PretrainRecipe.model_validate(settings)
        run = start_pretraining(recipe, text, tmp_path / first, prepared=tmp_path / "prepared")
        tables[first] = run.denoiser.backbone.shared.weight.detach().clone()
    assert run.train().step == 2
    prepared = run.prepared
    ids, rows = token_embeddings(
        {name: prepared.tokens(name) for name in ("a", "b")},
        {},
        vocab_size=len(tables["random"]),
        width=32,
        window=recipe.backbone.neighbours,
        seed=recipe.seed,
    )
    changed = (tables["neighbours"] != tables["random"]).any(1)
    assert torch.nonzero(changed).flatten().tolist() == ids.tolist()
    assert len(ids) > 20
    torch.testing.assert_close(tables["neighbours"][ids, : rows.shape[1]], rows)
