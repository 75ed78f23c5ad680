"""How fast a model that starts from nothing learns, by the hypernetwork's learning rate.

Run: python benchmarks/scratch_rates.py. Mean loss a decision over the last 20 of 120 steps on 320
sentences of the sample task travel; the backbone's rate is 1e-3 throughout.
"""

import statistics

import torch

from hyperloader.checkpoint import Checkpoint
from hyperloader.config import TrainingSection, load_recipe
from hyperloader.corpora.sample import sample_corpora
from hyperloader.outputs.registry import output_of
from hyperloader.training.optim import build_optimizer
from hyperloader.training.setup import TrainingData, build, encode


def prepared(size: str = "mini") -> tuple[Checkpoint, TrainingData]:
    """A fresh model of the quickstart recipe on a scratch backbone, and its encoded sentences."""
    recipe = load_recipe("quickstart", [f"backbone=scratch:{size}"])
    corpora = sample_corpora()
    checkpoint = build(recipe, corpora)
    return checkpoint, encode(checkpoint.codec, corpora)


def main() -> None:
    for rate in (1e-3, 1e-4, 3e-5, 1e-5):
        checkpoint, data = prepared()
        config = TrainingSection(loss="decisions", learning_rate=rate, backbone_learning_rate=1e-3)
        objective = output_of(checkpoint.model).loss(checkpoint.model, checkpoint.codec, config)
        objective.train()
        optimizer = build_optimizer(checkpoint.model, config)
        sentences = sorted(data.train["travel"][:320], key=lambda w: w.words)
        losses = []
        for step in range(120):
            start = 32 * (7 * step % 10)
            batch = sentences[start : start + 32]
            optimizer.zero_grad()
            loss = objective(batch) / objective.count(batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(checkpoint.model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        print(f"hypernetwork {rate:.0e}: loss {statistics.mean(losses[-20:]):.3f}")


if __name__ == "__main__":
    main()
