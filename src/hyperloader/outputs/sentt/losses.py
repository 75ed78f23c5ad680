"""The terms of a batch's loss, one for each token or decision."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperloader.outputs.sentt.decisions import Decisions
from hyperloader.outputs.sentt.grammar import Grammar


def token_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy (N,) of N tokens.

    ``logits`` is (N, vocabulary), ``labels`` (N,).
    Smoothing spreads its share evenly over the whole vocabulary, as fairseq's criterion that the
    published code uses.
    """
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing, reduction="none")


def decision_scores(
    states: Tensor, decisions: Decisions, grammar: Grammar, output: Tensor, scale: float
) -> Tensor:
    """Log-probabilities (N, K + 1) of every decision's options; minus infinity where forbidden.

    ``states`` (batch, length, d) are the decoder's, ``output`` (vocabulary, d) its output
    embedding.
    """
    device = states.device
    chosen = states[decisions.row.to(device), decisions.position.to(device)] * scale
    logits = torch.cat(
        [
            chosen @ output[grammar.tokens.to(device)].T.to(chosen.dtype),
            (chosen * output[decisions.closing.to(device)]).sum(-1, keepdim=True).to(chosen.dtype),
        ],
        dim=1,
    ).float()
    return logits.masked_fill(~decisions.allowed.to(device), -torch.inf).log_softmax(-1)


def decision_loss(
    states: Tensor,
    decisions: Decisions,
    grammar: Grammar,
    output: Tensor,
    scale: float,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy (N,) over the allowed tokens of every decision.

    Arguments as for :func:`decision_scores`. Smoothing spreads its share over the allowed tokens.
    """
    scores = decision_scores(states, decisions, grammar, output, scale)
    allowed = decisions.allowed.to(scores.device)
    loss = -scores.gather(1, decisions.choice.to(scores.device)[:, None])[:, 0]
    if smoothing:
        spread = scores.masked_fill(~allowed, 0.0).sum(-1) / allowed.sum(-1)
        loss = (1 - smoothing) * loss - smoothing * spread
    return loss
