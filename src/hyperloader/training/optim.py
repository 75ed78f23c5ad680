"""The optimiser and the learning rate as a function of the step."""

import torch
from torch import nn

from hyperloader.config import TrainingSection


def build_optimizer(model: nn.Module, config: TrainingSection) -> torch.optim.AdamW:
    """AdamW over the trainable parameters: generated-weight sources and backbone as two groups."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = config.learning_rate
            if name.startswith("backbone.") and config.backbone_learning_rate is not None:
                rate = config.backbone_learning_rate
            groups.setdefault(rate, []).append(parameter)
    return torch.optim.AdamW(
        [{"params": params, "lr": rate, "peak": rate} for rate, params in groups.items()],
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        foreach=True,
    )


def rate_factor(step: int, config: TrainingSection) -> float:
    """The share of the peak learning rate that step ``step`` (from 1) is made with.

    Linear warm-up over ``warmup_steps``, then constant or linear to zero after the last step.
    """
    if step <= config.warmup_steps:
        return step / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    return (config.steps + 1 - step) / max(1, config.steps + 1 - max(1, config.warmup_steps))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale every group's learning rate to ``factor`` of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
