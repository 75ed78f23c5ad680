"""The passes that find the greedy answer of a batch: draft, score, keep what holds, redraft."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hyperloader.backbones.t5.family import output_scale
from hyperloader.codec.batch import Batch
from hyperloader.errors import HyperloaderError
from hyperloader.modeling import active
from hyperloader.modeling.active import SiteWeights
from hyperloader.outputs.sentt.decoding.draft import (
    Layout,
    choose,
    first_mismatch,
    lay_out,
    redraft,
)
from hyperloader.outputs.sentt.decoding.packing import Packing
from hyperloader.outputs.sentt.decoding.paths import TagPaths
from hyperloader.outputs.sentt.decoding.stack import DecoderStack
from hyperloader.outputs.sentt.model import TaggingModel

# Tokens that a row may feed in one pass, and a batch always. A row whose draft is wrong early on
# wastes the rest of the pass, which is cheap while reading the weights dominates and else is not.
AHEAD = 16
CHEAP = {"cpu": 64}
CHEAP_ELSEWHERE = 8192


class Scorer(Protocol):
    """Gives the scores of M decisions."""

    def __call__(self, hidden: Tensor, layout: Layout, live: Tensor, tags: Tensor) -> Tensor:
        """Logits (M, K + 1) of the choices: the K tokens of tags and, last, the closing sentinel.

        Args:
            hidden: (M, d) the decoder's output at the decisions of ``layout``.
            live: the rows of the batch that the layout's rows are.
            tags: (rows, W) the draft of these.
        """


class TagScorer:
    """Scores by the rows of the output embedding that the grammar can need."""

    def __init__(self, model: TaggingModel, paths: TagPaths, sentinels: Sequence[int]) -> None:
        self._model, self._paths = model, paths
        self._sentinels = torch.tensor(sentinels)
        self._scale = output_scale(model.backbone.config)

    def __call__(self, hidden: Tensor, layout: Layout, live: Tensor, tags: Tensor) -> Tensor:
        """See :class:`Scorer`."""
        output = self._model.backbone.lm_head.weight
        hidden = (hidden * self._scale).float()
        rows = output[self._paths.tokens].float()
        closing = output[self._sentinels.to(hidden.device)[layout.word + 1]].float()
        return torch.cat([hidden @ rows.T, (hidden * closing).sum(-1)[:, None]], dim=1)


class Decided(NamedTuple):
    """Decisions of one pass that hold: ``row``, ``word``, ``node``, ``opened`` and ``taken`` (M,),
    and ``distribution`` (M, K + 1), the log-probabilities of all allowed choices."""

    row: Tensor
    word: Tensor
    node: Tensor
    opened: Tensor
    taken: Tensor
    distribution: Tensor


class Answer(NamedTuple):
    """What was found: ``tags``, their ``probability`` and ``goes_on`` (batch, W), the probability
    that a span open before the word goes on in it; how many decoder ``passes`` it took and
    ``tokens`` they fed (padding included), and, where asked for, the decisions."""

    tags: Tensor
    probability: Tensor
    goes_on: Tensor
    passes: int
    tokens: int
    decided: list[Decided]


def search(
    model: TaggingModel,
    paths: TagPaths,
    sentinels: Tensor,
    batch: Batch,
    draft: Tensor,
    *,
    scorer: Scorer,
    temperature: Tensor | None = None,
    keep_decisions: bool = False,
) -> Answer:
    """The greedy answer of ``batch``; ``draft`` (batch, W) is a first guess of the tag numbers.

    ``model`` is in evaluation mode; ``batch``, ``paths`` and ``sentinels`` (ids) are on its device.
    ``scorer`` scores the decisions. A ``temperature`` (batch,) divides the logits that
    probabilities are made of, and leaves the choices alone.
    """
    device, backbone = model.device, model.backbone
    inside = torch.tensor([paths.inside[task] for task in batch.tasks], device=device)
    words = torch.tensor(batch.words, device=device)
    tags = draft.clone()
    log_probability, log_goes_on = torch.zeros((2, *draft.shape), device=device)
    stack, weights, task = _start(model, batch, 2 * draft.shape[1] + 2)
    cheap = CHEAP.get(device.type, CHEAP_ELSEWHERE)
    decided: list[Decided] = []
    passes = fed = 0
    # The rows that are not done, and how many tokens of each are sure and in the cache.
    live, position = torch.arange(len(words), device=device), torch.zeros_like(words)
    going = words > 0
    while True:
        if not going.all():
            kept = going.nonzero()[:, 0]
            live, position = live[kept], position[kept]
            stack.keep(kept)
        if not len(live):
            break
        layout = lay_out(
            paths,
            sentinels,
            backbone.config.decoder_start_token_id,
            tags[live],
            words[live],
            position,
            max(AHEAD, cheap // len(live)),
        )
        if not len(layout.tokens):  # nothing is left to decide
            break
        packing = Packing(
            layout.token_row,
            layout.token_slot,
            len(live),
            None if task is None else task[live],
            in_runs=device.type == "cpu",
        )
        places = position[layout.token_row] + layout.token_slot
        with active.activate(
            weights if packing.group_task is None else active.of_rows(weights, packing.group_task),
            packing.runs,
        ):
            hidden = stack.forward(layout.tokens, places, packing)
        passes, fed = passes + 1, fed + packing.shape[0] * packing.shape[1]
        logits = scorer(hidden[layout.at], layout, live, tags[live])
        choices = choose(paths, layout, logits)

        first = first_mismatch(layout, choices, len(live))
        number = torch.arange(len(layout.row), device=device)
        sure = (number <= first[layout.row]).nonzero()[:, 0]
        at = (live[layout.row[sure]], layout.word[sure])
        taken, distribution = choices.taken[sure], choices.distribution[sure]
        if temperature is not None:
            distribution = (distribution / temperature[at[0], None]).log_softmax(-1)
        gained = distribution.gather(1, taken[:, None])[:, 0]
        if not gained.isfinite().all():
            raise HyperloaderError(
                "the model's scores are not finite numbers; its weights are damaged or its "
                "precision is too small (use float32 or bfloat16)"
            )
        log_probability.index_put_(at, gained, accumulate=True)
        # The way to I has been scored as far as the tag went the same way, and one decision more.
        toward = paths.toward_inside[layout.node[sure]]
        inwards = distribution.gather(1, toward.clamp(min=0)[:, None])[:, 0]
        log_goes_on.index_put_(at, torch.where(toward < 0, 0.0, inwards), accumulate=True)
        if keep_decisions:
            decided.append(
                Decided(*at, layout.node[sure], layout.opened[sure], taken, distribution)
            )
        wrong = first < len(number)
        going = wrong | ~layout.last
        position = position + torch.bincount(layout.token_row, minlength=len(live))
        if wrong.any():
            first = first.clamp(max=len(number) - 1)
            better = redraft(paths, layout, choices, tags[live], first, inside[live])
            tags[live] = torch.where(wrong[:, None], better, tags[live])
            position = torch.where(wrong, places[layout.at[first]] + 1, position)
    return Answer(tags, log_probability.exp(), log_goes_on.exp(), passes, fed, decided)


def _start(
    model: TaggingModel, batch: Batch, capacity: int
) -> tuple[DecoderStack, SiteWeights, Tensor | None]:
    """The encoded batch, the weights of its tasks, and which of them each row has if several."""
    task_ids = model.task_ids(batch.tasks)
    mask = batch.attention_mask
    with model.in_runs(task_ids):
        encoded = model.backbone.encoder(
            input_ids=batch.input_ids, attention_mask=mask
        ).last_hidden_state
        stack = DecoderStack(model.backbone.decoder, encoded, mask, capacity)
        weights = active.current() or {}  # with those that a method makes from the input
    # From here on tokens are packed by task, so that each task's weights are needed once a group.
    # Weights made from the input are each row's own, as if it were a task by itself.
    if model.reads_input:
        task = torch.arange(len(mask), device=mask.device)
    elif len(task_ids) == 1:
        return stack, weights, None
    else:
        distinct, task = torch.unique(task_ids, return_inverse=True)
        weights = model.cached_weights(distinct)
    return stack, {s: w for s, w in weights.items() if s.stack == "decoder"}, task
