"""What a training step costs: HyperLoader, the same modules learned freely, and full fine-tuning.

Each contender trains in a process of its own on the same batches of real sentences, with the
backbone, the optimiser and the clipping of a training run; what is compared is the median time of
a step and the peak of memory above the loaded model.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch

from hyperloader.benchmarks.decoding import Advance, device_name
from hyperloader.benchmarks.models import SEED, check_shape, planted_model
from hyperloader.benchmarks.timing import Measured, in_fresh_process, peak_memory, seconds_of
from hyperloader.builtin import BUILTIN
from hyperloader.codec.batch import encode_example
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.sample import sample_corpora
from hyperloader.modeling.methods import METHODS, Method, Part
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tagging import place
from hyperloader.training.optim import build_optimizer

SHAPES = (BUILTIN, "t5-small", "t5-base")
BATCHES, BATCH = {"t5-base": 8}, 32

# HyperLoader's modules at its places, but learned as they are instead of generated.
FREE = Method(
    "free-adapters-lora",
    "adapters and LoRA at all places of hyperloader, one free set per task",
    (Part("free_per_task", METHODS["hyperloader"].groups),),
)


@dataclass(frozen=True, slots=True)
class Trained:
    """A contender: a method and the loss that it is trained with."""

    name: str
    method: str | Method
    loss: str


OURS = "hyperloader, decisions"
CONTENDERS = (
    Trained(OURS, "hyperloader", "decisions"),
    Trained("hyperloader, all tokens", "hyperloader", "full"),
    Trained("free adapters and LoRA, decisions", FREE, "decisions"),
    Trained("full fine-tuning, decisions", "full", "decisions"),
    Trained("full fine-tuning, all tokens", "full", "full"),
)


@dataclass(frozen=True, slots=True)
class StepCost:
    """One contender on one backbone.

    Attributes:
        trained, total: parameters.
        seconds: the median of ``repeats`` steps.
        memory: bytes above the loaded model at the peak, gradients and the optimiser's state
            included; None where it cannot be measured.
    """

    name: str
    trained: int
    total: int
    seconds: float
    repeats: int
    memory: int | None


@dataclass(slots=True)
class BackboneCosts:
    """All contenders on one backbone; ``time`` and ``memory`` are ratios to the first of them."""

    shape: str
    batch: int
    words: float
    costs: list[StepCost]
    time: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = self.costs[0]
        for cost in self.costs:
            self.time[cost.name] = cost.seconds / first.seconds
            if cost.memory is not None and first.memory:
                self.memory[cost.name] = cost.memory / first.memory


@dataclass(slots=True, kw_only=True)
class TrainingBenchmark(Measured):
    """A whole run."""

    backbones: list[BackboneCosts]


def measure_training(
    *,
    shapes: Sequence[str] = SHAPES,
    contenders: Sequence[Trained] = CONTENDERS,
    data: Path | None = None,
    batch: int | None = None,
    repeats: int = 5,
    device: str = "cpu",
    advance: Advance = lambda what: None,
) -> TrainingBenchmark:
    """Measure all ``contenders`` on all ``shapes``, one process after the other.

    Args:
        shapes: ``builtin``, or shapes with random weights.
        data: labelled corpora; default: the sample ones.
        batch: sentences per step; default: 32, and 8 on t5-base.

    Raises:
        ConfigError: no such shape.
        HyperloaderError: the device cannot be used, or memory did not suffice.
    """
    for shape in shapes:
        check_shape(shape)  # before any process is started
    backbones = []
    for shape in shapes:
        size = batch or BATCHES.get(shape, BATCH)
        costs, words = [], 0.0
        for contender in contenders:
            advance(f"{shape}: {contender.name}")
            cost, words = in_fresh_process(step_cost, contender, shape, data, size, repeats, device)
            costs.append(cost)
        backbones.append(BackboneCosts(shape, size, words, costs))
    on = device_name(torch.device(device))
    return TrainingBenchmark(device=on, seed=SEED, backbones=backbones)


def step_cost(
    contender: Trained, shape: str, data: Path | None, batch: int, repeats: int, device: str
) -> tuple[StepCost, float]:
    """The cost of a step, and words per sentence. Memory is right in a process of its own only."""
    corpora = sample_corpora() if data is None else load_corpora(data)
    labels = {name: corpus.labels() for name, corpus in corpora.items()}
    model, codec = planted_model(shape, labels, method=contender.method)
    place(model, device, "float32")
    batches = drawn_batches(codec, corpora, batch, repeats + 1)
    step = _step(model, codec, contender.loss)
    with torch.no_grad():
        output_of(model).loss(model, codec, _section(contender.loss))(batches[0][:1])
    times: list[float] = []

    def train() -> None:
        for windows in batches:
            times.append(seconds_of(lambda windows=windows: step(windows), model.device))  # type: ignore[misc]

    memory = peak_memory(train, model.device)
    counts = model.parameter_counts()
    cost = StepCost(
        contender.name,
        counts["trainable"],
        counts["total"],
        statistics.median(times[1:]),
        repeats,
        memory,
    )
    sentences = [window for windows in batches for window in windows]
    return cost, sum(window.words for window in sentences) / len(sentences)


def drawn_batches(
    codec: SentTCodec, corpora: dict[str, Corpus], size: int, count: int
) -> list[list[EncodedWindow]]:
    """``count`` batches of ``size`` windows, each of one task, the tasks taking turns."""
    random, names = Random(SEED), list(corpora)
    batches = []
    for i in range(count):
        sentences = corpora[names[i % len(names)]].splits["train"]
        windows: list[EncodedWindow] = []
        while len(windows) < size:
            windows += encode_example(codec, random.choice(sentences))
        batches.append(windows[:size])
    return batches


def _step(
    model: TaggingModel, codec: SentTCodec, loss: str
) -> Callable[[Sequence[EncodedWindow]], None]:
    config = _section(loss)
    objective = output_of(model).loss(model, codec, config).train()
    optimizer = build_optimizer(model, config)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def step(windows: Sequence[EncodedWindow]) -> None:
        optimizer.zero_grad()
        (objective(windows) / objective.count(windows)).backward()
        torch.nn.utils.clip_grad_norm_(trained, config.clip_norm)
        optimizer.step()

    return step


def _section(loss: str) -> TrainingSection:
    return TrainingSection.model_validate({"loss": loss})
