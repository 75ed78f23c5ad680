"""The optimiser of pre-training and its learning rate as a function of the step."""

import torch
from torch import nn

from hyperloader.pretraining.recipe import OptimisationSection


def build_optimizer(model: nn.Module, config: OptimisationSection) -> torch.optim.Optimizer:
    """AdamW, or Adafactor as T5 was trained with.

    Adafactor's rate is relative to the root mean square of each parameter and never above
    1/sqrt(step); with a learning rate of 0.01 and a constant schedule it is T5's own. torch's is
    used, whose whole state is tensors; its epsilon is squared, hence the root of the paper's.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    group = {"params": parameters, "lr": config.learning_rate, "peak": config.learning_rate}
    if config.optimizer == "adafactor":
        return torch.optim.Adafactor(
            [group],
            lr=config.learning_rate,
            eps=(1e-15, 1e-3),
            weight_decay=config.weight_decay,
            foreach=False,
        )
    return torch.optim.AdamW(
        [group], betas=config.betas, weight_decay=config.weight_decay, foreach=True
    )


def rate_factor(step: int, config: OptimisationSection) -> float:
    """The share of the peak learning rate that step ``step`` (from 1) is made with.

    Linear warm-up, then constant, linear to zero after the last step, or falling with the root
    of the step (rsqrt).
    """
    warmup = config.warmup_steps
    if step <= warmup:
        return step / warmup
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "rsqrt":
        return (max(warmup, 1) / step) ** 0.5
    return (config.steps + 1 - step) / max(1, config.steps + 1 - max(1, warmup))
