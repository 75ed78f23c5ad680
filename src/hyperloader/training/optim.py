"""The optimiser, and the learning rate as a function of the step."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hyperloader.config import OptimisationSection

_SMALLEST = 1e-3  # size that a parameter counts as having, so that one of zeros can leave them


def build_optimizer(
    model: nn.Module,
    config: OptimisationSection,
    peak_rate: Callable[[str], float] | None = None,
) -> torch.optim.Optimizer:
    """The optimiser that ``config`` names, over the trainable parameters of ``model``.

    AdamW, the same with rates relative to each parameter, or Adafactor as T5 was trained with.
    Parameters of one peak rate (default: as ``config`` says) form a group.
    Adafactor's rate is relative to the root mean square of each parameter and never above
    1/sqrt(step); with a learning rate of 0.01 and a constant schedule it is T5's own. torch's is
    used, whose whole state is tensors; its epsilon is squared, hence the root of the paper's.
    """
    by_rate: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            by_rate.setdefault((peak_rate or config.peak_rate)(name), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": found, "lr": rate, "peak": rate} for rate, found in by_rate.items()
    ]
    if config.optimizer == "adafactor":
        return torch.optim.Adafactor(
            groups,
            lr=config.learning_rate,
            eps=(1e-15, 1e-3),
            weight_decay=config.weight_decay,
            foreach=False,
        )
    if config.optimizer == "adamw_scaled":
        return ScaledAdamW(
            [{**group, "params": [one]} for group in groups for one in by_rate[group["peak"]]],
            betas=config.betas,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
        )
    return torch.optim.AdamW(
        groups,
        betas=config.betas,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        foreach=True,
    )


class ScaledAdamW(torch.optim.AdamW):
    """AdamW with a rate relative to the size (root mean square) of each parameter.

    As in nanoT5 (Nawrot 2023); a group holds one parameter.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            (parameter,) = group["params"]
            size = float(parameter.square().mean().sqrt())
            group["lr"] *= max(_SMALLEST, size)
        super().step()
        for group, rate in zip(self.param_groups, rates, strict=True):
            group["lr"] = rate


def rate_factor(step: float, config: OptimisationSection) -> float:
    """The share of the peak learning rate that step ``step`` (from 1) is made with.

    Linear warm-up over ``warmup_steps``, then constant, linear to zero after the last step, or
    falling with the root of the step (rsqrt). Where time is the budget, ``step`` lies between two.
    """
    warmup = config.warmup_steps
    if step <= warmup:
        return step / warmup
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "rsqrt":
        return (max(warmup, 1) / step) ** 0.5
    return (config.steps + 1 - step) / max(1, config.steps + 1 - max(1, warmup))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale every group's learning rate to ``factor`` of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
