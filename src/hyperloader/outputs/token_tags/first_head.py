"""A first head for a task that a trained model has not seen, fitted to states as they are.

A regularised logistic regression from the state of each word to its tag, so that training begins
with a head that already tells the labels apart as well as these states do. Where the labels' texts
make a head already, it is what has to be added to that.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperloader.codec.batch import IGNORED
from hyperloader.codec.windows import EncodedWindow
from hyperloader.modeling.attached import HEAD
from hyperloader.modeling.evaluating import evaluating
from hyperloader.modeling.modules.head import tag_logits
from hyperloader.outputs.output import BATCH
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.rows import pack

# Sentences that it is fitted to at most, the weight of the squares of its weights, and its steps.
SENTENCES, PENALTY, STEPS = 500, 1e-3, 40


def fit_head(model: TokenTagger, codec: TokenCodec, windows: Sequence[EncodedWindow]) -> None:
    """Put the fitted head into the tables of ``model``, whose only task ``windows`` are of."""
    states, tags = _words(model, codec, windows[:SENTENCES])
    tables = [
        (name, model.source.get_parameter(name))
        for name, table in model.source.tables().items()
        if table.tags is not None
    ]
    with torch.no_grad():
        for _, table in tables:
            table.zero_()
        head: Any = model.weights(torch.zeros(1, dtype=torch.long, device=states.device))[HEAD]
        known = tag_logits(head, states[None])[0]
    weight = torch.zeros(known.shape[1], states.shape[1], device=states.device, requires_grad=True)
    bias = torch.zeros(known.shape[1], device=states.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = F.cross_entropy(known + F.linear(states, weight, bias), tags)
        found = found + PENALTY * weight.square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    with torch.no_grad():
        for name, table in tables:
            fitted = bias if name.endswith("bias") else weight
            table.copy_(fitted.view_as(table))


def _words(
    model: TokenTagger, codec: TokenCodec, windows: Sequence[EncodedWindow]
) -> tuple[Tensor, Tensor]:
    """The states (N, d) and tags (N,) of all words."""
    states, tags = [], []
    with evaluating(model):
        for start in range(0, len(windows), BATCH):
            some = windows[start : start + BATCH]
            rows = pack(some, pad=codec.pieces.pad, together=model.packs).to(model.device)
            kept = rows.labels != IGNORED
            states.append(model.words(rows)[kept].float())
            tags.append(rows.labels[kept])
    return torch.cat(states), torch.cat(tags)
