"""First token embeddings from how often tokens stand near one another in the whole text.

A short pre-training run sees a small part of its text, but counting neighbours in all of it
takes minutes. Factorised, the counts give embeddings in which words of one kind (cities, dishes,
first names) lie together before the first gradient step: Levy and Goldberg 2014, "Neural Word
Embedding as Implicit Matrix Factorization".
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from hyperloader.pretraining.prepared import HELD_OUT, Prepared
from hyperloader.pretraining.recipe import PretrainRecipe
from hyperloader.pretraining.text import factors

_CHUNK = 1 << 22
_SMOOTHING = 0.75  # of the context frequencies, so that rare contexts weigh less
_ROUNDS = 5  # of subspace iteration
_SPARE = 32  # dimensions that make the last wanted ones exact


def count_neighbours(
    texts: Mapping[str, NDArray[np.unsignedinteger]],
    weights: Mapping[str, float],
    vocab_size: int,
    window: int,
) -> Tensor:
    """How often token j follows token i within ``window`` places: (vocab_size, vocab_size).

    A pair at distance d counts 1/d, times the weight of its text. It takes 4 bytes an entry.
    """
    counts = torch.zeros(vocab_size * vocab_size)
    for name, text in texts.items():
        for start in range(0, len(text), _CHUNK):
            part = torch.from_numpy(text[start : start + _CHUNK + window].astype(np.int64))
            for distance in range(1, min(window, len(part) - 1) + 1):
                first = part[: min(_CHUNK, len(part) - distance)]
                pairs = first * vocab_size + part[distance : distance + len(first)]
                value = torch.full((1,), weights.get(name, 1.0) / distance)
                counts.index_add_(0, pairs, value.expand(len(pairs)))
    return counts.view(vocab_size, vocab_size)


def positive_information(counts: Tensor) -> Tensor:
    """``counts``, in place, as pointwise mutual information where it is positive, else 0."""
    total = counts.sum()
    rows = counts.sum(1, keepdim=True)
    columns = counts.sum(0, keepdim=True).pow(_SMOOTHING)
    columns /= columns.sum()
    counts.mul_(total).div_((rows * total).clamp_min(1e-12)).div_(columns.clamp_min(1e-20))
    return counts.clamp_min_(1.0).log_()


def factorise(information: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """Rows (vocabulary, width) whose products approximate what rows have in common.

    The left singular vectors of [M, M^T], so that what stands before a token and what stands
    after it count alike, times the square roots of their singular values.
    """
    size = len(information)
    basis = torch.randn(size, min(width + _SPARE, size), generator=generator)
    for _ in range(_ROUNDS):
        basis = torch.linalg.qr(_both_sides(information, basis)).Q
    small = basis.T @ _both_sides(information, basis)
    squares, turn = torch.linalg.eigh((small + small.T) / 2)
    order = squares.argsort(descending=True)[:width]
    return (basis @ turn[:, order]) * squares[order].clamp_min(0).pow(0.25)


@torch.no_grad()
def embed_pieces(backbone: PreTrainedModel, prepared: Prepared, recipe: PretrainRecipe) -> None:
    """Set the rows of the embedding table whose tokens occur in ``prepared`` (held-out lines
    aside) by their neighbours there; the others stay as they are."""
    names = [name for name in prepared.counts if name != HELD_OUT and prepared.counts[name]]
    table = backbone.get_input_embeddings().weight
    ids, rows = token_embeddings(
        {name: prepared.tokens(name) for name in names},
        factors(names, recipe.text.weights),
        vocab_size=len(table),
        width=table.shape[1],
        window=recipe.backbone.neighbours,
        seed=recipe.seed,
    )
    # A text of fewer different tokens than there are columns leaves the last ones as they are.
    table[ids, : rows.shape[1]] = rows


def token_embeddings(
    texts: Mapping[str, NDArray[np.unsignedinteger]],
    weights: Mapping[str, float],
    *,
    vocab_size: int,
    width: int,
    window: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """The ids of the tokens that occur, and their embeddings (count, width), mean square 1."""
    counts = count_neighbours(texts, weights, vocab_size, window)
    occurring = torch.nonzero(counts.sum(1) + counts.sum(0) > 0).flatten()
    counts = counts[occurring][:, occurring]
    generator = torch.Generator().manual_seed(seed)
    rows = factorise(positive_information(counts), width, generator)
    rows = rows - rows.mean(0)
    rows = rows / rows.square().mean(1, keepdim=True).sqrt().clamp_min(1e-8)
    return occurring, rows


def _both_sides(information: Tensor, basis: Tensor) -> Tensor:
    return information @ (information.T @ basis) + information.T @ (information @ basis)
