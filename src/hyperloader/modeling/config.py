"""The configuration of a model: the method, its tasks and its sizes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from transformers.activations import ACT2FN

from hyperloader.errors import unknown
from hyperloader.modeling.methods import METHODS


class ModelConfig(BaseModel):
    """What :class:`~hyperloader.modeling.model.TaggingModel` is built from (besides a backbone).

    The defaults are those of the published code (task embedding 64, GeLU's tanh form); the
    paper's text says 512 and GeLU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = "hyperloader"
    tasks: tuple[str, ...] = Field(min_length=1)
    reduction_factor: int = Field(32, gt=0, description="hidden width / adapter bottleneck")
    lora_rank: int = Field(8, gt=0)
    lora_alpha: float | None = Field(None, description="LoRA scale times rank; default: the rank")
    lora_generators: Literal["shared", "per_place"] = "shared"
    conditional_norm: bool = True
    task_embedding_dim: int = Field(64, gt=0)
    layer_embedding_dim: int = Field(64, gt=0)
    position_embedding_dim: int = Field(64, gt=0)
    projector_hidden_dim: int = Field(128, gt=0)
    input_embedding_dim: int = Field(64, gt=0)
    activation: str = "gelu_new"
    train_backbone: Literal["none", "layer_norms", "all"] = Field(
        "layer_norms", description="which parameters of the backbone are trained"
    )

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(unknown("method", value, METHODS))
        return value

    @field_validator("activation")
    @classmethod
    def _known_activation(cls, value: str) -> str:
        if value not in ACT2FN:
            raise ValueError(unknown("activation", value, ACT2FN))
        return value

    @field_validator("tasks")
    @classmethod
    def _distinct_tasks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value) or not all(value):
            raise ValueError("task names must be distinct and not empty")
        return value

    @property
    def lora_scale(self) -> float:
        """alpha / rank, the factor of the low-rank update (1 in the paper)."""
        return (self.lora_rank if self.lora_alpha is None else self.lora_alpha) / self.lora_rank
