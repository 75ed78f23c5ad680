"""A training step of HyperLoader: full cross-entropy against decisions, by backbone size.

Run: python benchmarks/training_step.py. Prints ratios; both sides are measured in this one run.
"""

import torch
from common import median_seconds, prepared

from hyperloader.config import TrainingSection
from hyperloader.training.objective import Objective
from hyperloader.training.optim import build_optimizer


def main() -> None:
    print(f"{torch.get_num_threads()} threads, float32, batch 32, sample task travel")
    for size in ("tiny", "mini", "small"):
        checkpoint, data = prepared(size)
        batch = data.train["travel"][:32]
        seconds = {}
        for loss in ("full", "decisions"):
            config = TrainingSection(loss=loss)
            objective = Objective(checkpoint.model, checkpoint.codec, config).train()
            optimizer = build_optimizer(checkpoint.model, config)

            def step(objective=objective, optimizer=optimizer, batch=batch) -> None:  # type: ignore[no-untyped-def]
                optimizer.zero_grad()
                (objective(batch) / objective.count(batch)).backward()
                optimizer.step()

            seconds[loss] = median_seconds(step)
        print(
            f"{size:>5}: full / decisions = {seconds['full'] / seconds['decisions']:.2f} "
            f"({32 / seconds['decisions']:.0f} against {32 / seconds['full']:.0f} sentences/s)"
        )


if __name__ == "__main__":
    main()
