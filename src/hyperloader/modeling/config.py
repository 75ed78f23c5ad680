"""The configuration of a model: the method, its tasks and its sizes."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hyperloader.backbones.activations import activation
from hyperloader.backbones.places import Place
from hyperloader.errors import ConfigError, unknown
from hyperloader.modeling.methods import METHODS, Method


class ModelConfig(BaseModel):
    """What a model is built from (besides a backbone).

    The defaults are those of the published code of hyperloader (task embedding 64, GeLU's tanh
    form); the paper's text says 512 and GeLU. A method may have other defaults: the ``settings``
    of its row in :data:`~hyperloader.modeling.methods.METHODS`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = "hyperloader"
    tasks: tuple[str, ...] = Field(min_length=1)
    reduction_factor: int = Field(32, gt=0, description="hidden width / adapter bottleneck")
    adapter_dim: int | None = Field(
        None, gt=0, description="adapter bottleneck; default: by reduction_factor"
    )
    lora_rank: int = Field(8, gt=0)
    lora_alpha: float | None = Field(
        None, description="LoRA scale times rank (a gate replaces it); default: the rank"
    )
    lora_places: tuple[Place, ...] | None = Field(
        None, description="some of the method's places for LoRA; default: all"
    )
    lora_generators: Literal["shared", "per_place"] = "shared"
    conditional_norm: bool = Field(True, description="whether adapters end in a layer norm")
    prefix_length: int = Field(10, gt=0)
    prefix_hidden_dim: int = Field(512, gt=0)
    task_embedding_dim: int = Field(64, gt=0)
    task_embeddings: Literal["per_task", "shared"] = Field(
        "per_task", description="of a task hypernetwork: one for each task, or one for all"
    )
    layer_embedding_dim: int = Field(64, gt=0)
    position_embedding_dim: int = Field(64, gt=0)
    projector_hidden_dim: int = Field(
        128, gt=0, description="hidden width between embeddings and generators"
    )
    input_embedding_dim: int = Field(64, gt=0)
    activation: str = "gelu_new"
    output: str | None = Field(
        None, description="how it answers: sentt or token_tags; default: as suits the backbone"
    )
    head: Literal["free", "generated", "text", "text+free", "generated+text"] = Field(
        "free",
        description="of a tagging head: rows that are learned, that are generated from the label, "
        "that are made from the label's text, or a sum of two",
    )
    word_state: Literal["first", "mean"] = Field(
        "first",
        description="what a tagging head reads of a word: its first sub-token, or their mean",
    )
    word_shapes: bool = Field(
        False,
        description="a tagging head is told where a word has capitals, which a lower-casing "
        "backbone does not see",
    )
    layer_mix: bool = Field(
        False, description="a tagging head reads a learned mix of all layers instead of the last"
    )
    tags: Literal["sequence", "single"] = Field(
        "sequence",
        description="of a tagging head: the best valid sequence, or each word's likeliest tag",
    )
    head_dropout: float | None = Field(
        None, ge=0, lt=1, description="before a tagging head; default: the backbone's own"
    )
    train_backbone: Literal["none", "layer_norms", "all"] = Field(
        "layer_norms", description="which parameters of the backbone are trained"
    )

    grown: dict[str, int] = Field(
        default_factory=dict,
        description="tasks that were added to a trained model, each with the rank of a residual of "
        "its own on the generated weights; 0: none",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_method(cls, values: Any) -> Any:
        method = None
        if isinstance(values, dict):
            method = METHODS.get(str(values.get("method", "hyperloader")))
        return values if method is None else {**method.settings, **values}

    @field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(unknown("method", value, METHODS))
        return value

    @field_validator("activation")
    @classmethod
    def _known_activation(cls, value: str) -> str:
        try:
            activation(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("tasks")
    @classmethod
    def _fitting_tasks(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(set(value)) < len(value) or not all(value):
            raise ValueError("task names must be distinct and not empty")
        method = METHODS.get(info.data.get("method", ""))
        if method and method.single_task and len(value) > 1:
            raise ValueError(
                f"method {method.name!r} is for one task, its modules know no other: train one "
                "model per task (--task NAME), or choose a method for several"
            )
        return value

    @field_validator("lora_places", mode="before")
    @classmethod
    def _known_places(cls, value: Any) -> Any:
        for place in value if isinstance(value, list | tuple) else ():
            if place not in list(Place):
                raise ValueError(unknown("place", str(place), [p.value for p in Place]))
        return value

    @field_validator("lora_places")
    @classmethod
    def _fitting_places(
        cls, value: tuple[Place, ...] | None, info: ValidationInfo
    ) -> tuple[Place, ...] | None:
        if value is not None and "method" in info.data:
            try:
                METHODS[info.data["method"]].with_lora_at(value)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return value

    @field_validator("train_backbone")
    @classmethod
    def _something_to_train(cls, value: str, info: ValidationInfo) -> str:
        method = METHODS.get(info.data.get("method", ""))
        if value == "none" and method and not method.parts:
            raise ValueError(f"method {method.name!r} trains the backbone only: none is nothing")
        return value

    @field_validator("grown")
    @classmethod
    def _grown_are_tasks(cls, value: dict[str, int], info: ValidationInfo) -> dict[str, int]:
        for task, rank in value.items():
            if task not in info.data.get("tasks", value) or rank < 0:
                raise ValueError(f"{task!r} with rank {rank} is no task that was added")
        return value

    def for_tasks(self, tasks: Sequence[str], grown: Mapping[str, int] | None = None) -> Self:
        """The same for other ``tasks``; those of ``grown`` (default: the present ones) have been
        added after training."""
        present = self.grown if grown is None else grown
        kept = {task: rank for task, rank in present.items() if task in tasks}
        return self.model_copy(update={"tasks": tuple(tasks), "grown": kept})

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The tasks that were trained together, and every added one by itself."""
        together = tuple(task for task in self.tasks if task not in self.grown)
        alone = tuple((task,) for task in self.tasks if task in self.grown)
        return (together, *alone) if together else alone

    @property
    def row(self) -> Method:
        """The method's row of the table, as this configuration narrows it."""
        method = METHODS[self.method]
        return method if self.lora_places is None else method.with_lora_at(self.lora_places)

    @property
    def lora_scale(self) -> float:
        """alpha / rank, the factor of the low-rank update (1 in the paper)."""
        return (self.lora_rank if self.lora_alpha is None else self.lora_alpha) / self.lora_rank
