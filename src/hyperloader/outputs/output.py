"""What a way of answering is made of: its codec, its model, its loss, its decoder, its gold scores.

To add one, subclass :class:`Output` in a folder of its own and name it in
:mod:`hyperloader.outputs.registry`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from torch import Tensor

from hyperloader.codec.codec import Codec, CodecConfig
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.errors import ConfigError
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.decoded import Apart, WindowDecoder
from hyperloader.outputs.loss import WindowLoss

# Stands for minus infinity, a multiple of which by 0 is not a number.
NEVER = -1e30
# Windows of a batch that gold scores are computed of.
BATCH = 64

M = TypeVar("M", bound=AttachedModel)
C = TypeVar("C", bound=Codec)
Labels = Mapping[str, Sequence[str]]


class Gold(Protocol):
    """Right answers and what a model thinks of them, for calibration."""

    @property
    def decisions(self) -> int:
        """How many there are."""

    def unlikelihood(self, inverse: Tensor | float) -> Tensor:
        """Their summed negative log-likelihood, a differentiable number, with all logits
        multiplied by ``inverse`` (one by the temperature)."""


class GoldScores(NamedTuple):
    """N decisions that are made one by one: ``scores`` (N, K) log-probabilities of their options,
    minus infinity where there is none, and the gold ``choice`` (N,)."""

    scores: Tensor
    choice: Tensor

    @property
    def decisions(self) -> int:
        """See :class:`Gold`."""
        return len(self.choice)

    def unlikelihood(self, inverse: Tensor | float) -> Tensor:
        """See :class:`Gold`."""
        scores = (self.scores.clamp(min=NEVER) * inverse).log_softmax(-1)
        return -scores.gather(1, self.choice[:, None]).double().sum()


class Output(ABC, Generic[M, C]):
    """How a model answers.

    Attributes:
        name: what configurations call it.
        model: the class of its models.
    """

    name: ClassVar[str]
    model: type[M]

    @abstractmethod
    def codec(self, tokenizer: Any, labels: Labels, config: CodecConfig) -> C:
        """The codec for the ``labels`` of every task. Raises ConfigError where they do not fit."""

    def tag_names(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The tags that a head has a row for, in a task with ``labels``; none without a head."""
        return ()

    def settings(self, codec: C) -> dict[str, Any]:
        """What a model that answers in the language of ``codec`` has to know of it."""
        return {}

    def build(self, backbone: Any, config: ModelConfig, codec: C, backbone_name: str | None) -> M:
        """A model that answers in the language of ``codec``."""
        return self.model(backbone, config, backbone_name, **self.settings(codec))

    @abstractmethod
    def check(self, model: M, codec: C) -> None:
        """Raise ConfigError unless ``codec`` speaks the language of a loaded ``model``."""

    @abstractmethod
    def loss(self, model: M, codec: C, config: TrainingSection) -> WindowLoss:
        """What training makes small."""

    def decoder(
        self, model: M, codec: C, temperatures: Mapping[str, float] | None = None
    ) -> WindowDecoder:
        """What tags windows. ``temperatures`` divide each task's logits before they become
        probabilities; 1 where a task is not named.

        A task that was added to a trained model has batches of its own: see :class:`Apart`.
        """
        groups = model.config.groups
        made = [self.decoder_of(model, codec.only(tasks), temperatures) for tasks in groups]
        return made[0] if len(made) == 1 else Apart(dict(zip(groups, made, strict=True)))

    @abstractmethod
    def decoder_of(
        self, model: M, codec: C, temperatures: Mapping[str, float] | None
    ) -> WindowDecoder:
        """What tags windows of the tasks that ``codec`` knows: see :meth:`decoder`."""

    def begin(self, model: M, codec: C, windows: Sequence[EncodedWindow]) -> None:
        """Give the only task of ``model`` as good a start from labelled ``windows`` as can be had
        without training the model (default: none)."""

    def of_texts(self, model: M, codec: C, task: str, labels: Sequence[str]) -> dict[str, Tensor]:
        """The rows that ``task`` has in tables of what ``labels`` are called (default: there are no
        such tables).

        Raises:
            ConfigError: texts that cannot be read, or not be told apart.
        """
        return {}

    def asking_for(self, model: M, codec: C, task: str, labels: Mapping[str, str]) -> tuple[Any, C]:
        """What tags with ``labels`` that the model was never trained on, as the one ``task``; each
        is read by the text that it is mapped to.

        Raises:
            ConfigError: the model cannot be asked for other labels (the default).
        """
        raise ConfigError(
            "only taggers on encoders with a head of label texts can be asked for other labels; "
            "train one by the recipe zero-shot"
        )

    @abstractmethod
    def gold_scores(self, model: M, codec: C, windows: Sequence[EncodedWindow]) -> Sequence[Gold]:
        """The scores of all gold decisions in ``windows``, on the CPU, batch by batch.

        Each decision is made after the right ones before it, among the options of its task.
        """
