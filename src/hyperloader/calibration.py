"""Temperatures: what turns a model's scores into probabilities that can be taken at their word.

A temperature divides logits before they become probabilities. It never changes which tag is the
likeliest, so answers stay what they are (Guo et al. 2017, "On Calibration of Modern Neural
Networks").
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class SpanCalibration(BaseModel):
    """How well the scores of predicted spans fit: their number, and their expected calibration
    error in [0, 1] at temperature 1 and at the temperatures that were fitted and kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    spans: int = Field(ge=0)
    ece_before: float = Field(ge=0, le=1)
    ece_after: float = Field(ge=0, le=1)


class TaskCalibration(SpanCalibration):
    """One task's temperature, and how it did on sentences that it was not fitted on.

    Calibrations of earlier versions lack the last four fields; their errors were measured on the
    sentences of the fit.

    Attributes:
        ece_after: at the fitted temperature, whether it was kept or not.
        temperature: what the task's logits are divided by; 1 where the fitted one was not kept.
        shared: whether it was fitted on all tasks, since this one has few sentences.
        sentences: of this task that it was fitted on.
        decisions: the gold decisions in them.
        kept: whether the fitted temperature made held-out scores fit better.
        fitted: the temperature that was fitted.
        nll_before: mean negative log-likelihood of held-out gold decisions at temperature 1.
        nll_after: the same at the fitted one.
    """

    temperature: float = Field(gt=0)
    shared: bool
    sentences: int = Field(ge=0)
    decisions: int = Field(ge=0)
    kept: bool = True
    fitted: float | None = Field(None, gt=0)
    nll_before: float | None = Field(None, ge=0)
    nll_after: float | None = Field(None, ge=0)


class Calibration(BaseModel):
    """The temperatures of a model's tasks and how they were found.

    Attributes:
        tasks: by name; a task that is not named has temperature 1.
        overall: of the spans of all tasks together.
        fitted_on: the sentences, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: dict[str, TaskCalibration]
    overall: SpanCalibration
    fitted_on: str

    @classmethod
    def of(cls, tasks: dict[str, TaskCalibration], fitted_on: str) -> Self:
        """Of ``tasks`` that were fitted apart. The errors of all their spans together are at most
        the means that stand for them here."""
        spans = sum(task.spans for task in tasks.values())

        def mean(name: str) -> float:
            total = sum(task.spans * getattr(task, name) for task in tasks.values())
            return round(total / spans, 6) if spans else 0.0

        overall = SpanCalibration(
            spans=spans, ece_before=mean("ece_before"), ece_after=mean("ece_after")
        )
        return cls(tasks=tasks, overall=overall, fitted_on=fitted_on)

    @property
    def temperatures(self) -> dict[str, float]:
        """The temperature of each task."""
        return {name: task.temperature for name, task in self.tasks.items()}
