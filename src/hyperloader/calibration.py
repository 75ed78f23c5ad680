"""Temperatures: what turns a model's scores into probabilities that can be taken at their word.

A temperature divides logits before they become probabilities. It never changes which tag is the
likeliest, so answers stay what they are (Guo et al. 2017, "On Calibration of Modern Neural
Networks").
"""

from pydantic import BaseModel, ConfigDict, Field


class SpanCalibration(BaseModel):
    """How well the scores of predicted spans fit: their number, and the expected calibration
    error in [0, 1] at temperature 1 and at the fitted one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    spans: int = Field(ge=0)
    ece_before: float = Field(ge=0, le=1)
    ece_after: float = Field(ge=0, le=1)


class TaskCalibration(SpanCalibration):
    """One task's temperature; ``shared``: it was fitted on all tasks, since this one has few
    sentences. ``sentences`` and ``decisions`` are those of this task it was fitted on."""

    temperature: float = Field(gt=0)
    shared: bool
    sentences: int = Field(ge=0)
    decisions: int = Field(ge=0)


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

    @property
    def temperatures(self) -> dict[str, float]:
        """The temperature of each task."""
        return {name: task.temperature for name, task in self.tasks.items()}
