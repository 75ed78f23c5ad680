"""Constrained greedy decoding in its plainest form: the oracle that the decoder is tested against.

One token at a time, each by a full forward pass of the model over the whole vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from helpers import tiny_model
from hyperloader.codec.windows import EncodedWindow
from hyperloader.modeling import active
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tags import sbio_to_spans
from hyperloader.types import Span

TIE = 1e-4  # logits this close are a tie, which the first option wins


@dataclass
class Answer:
    """The tags of one window, the probability of each and that of ``I`` in its place (0 where no
    span is open), and the decisions that had a choice."""

    tags: list[str]
    scores: list[float]
    goes_on: list[float]
    choices: list[tuple[int, float]]  # target position, log-probability


def options(
    codec: SentTCodec, task: str, prefix: tuple[int, ...], opened: bool, word: int
) -> dict[int, str | None]:
    """What may follow ``prefix`` of a tag: token id to the tag that it ends, or None.

    In the order in which ties are won: by token id, the sentinel that ends the tag last.
    """
    following: dict[int, str | None] = {}
    ending: dict[int, str | None] = {}
    for tag, ids in codec.tag_ids[task].items():
        if tag == "I" and not opened:
            continue
        if ids == prefix:
            ending[codec.pieces.sentinels[word + 1]] = tag
        elif ids[: len(prefix)] == prefix:
            following.setdefault(ids[len(prefix)], None)
    return {**dict(sorted(following.items())), **ending}


@torch.no_grad()
def oracle(
    model: TaggingModel, codec: SentTCodec, window: EncodedWindow, target: Sequence[int] = ()
) -> Answer:
    """Walk the grammar one token at a time: greedily, or along ``target`` where it is given.

    Every step is a full forward pass over the whole vocabulary, without a cache."""
    answer = Answer([], [], [], [])
    pieces = codec.pieces
    ids, prefix, opened, score, inside = [pieces.sentinels[0]], (), False, 1.0, 0.0
    i_ids = codec.tag_ids[window.task]["I"]
    weights = model.weights(model.task_ids(window.task))
    with active.activate(weights):
        encoded = model.backbone.encoder(input_ids=torch.tensor([window.source]))
    while len(answer.tags) < window.words:
        given = torch.tensor([[model.backbone.config.decoder_start_token_id, *ids]])
        with active.activate(weights):
            logits = model.backbone(
                encoder_outputs=encoded, use_cache=False, decoder_input_ids=given
            ).logits[0, -1]
        following = options(codec, window.task, prefix, opened, len(answer.tags))
        allowed = list(following)
        scores = logits[allowed].float()
        best = int((scores >= scores.max() - TIE).int().argmax())
        token = target[len(ids)] if target else allowed[best]
        log_probability = scores.log_softmax(-1)[allowed.index(token)].item()
        if len(following) > 1:
            answer.choices.append((len(ids), log_probability))
        score *= torch.tensor(log_probability).exp().item()
        if opened and i_ids[: len(prefix)] == prefix:  # this decision is one on the way to I too
            closing = pieces.sentinels[len(answer.tags) + 1]
            step = allowed.index((*i_ids, closing)[len(prefix)])
            inside *= scores.softmax(-1)[step].item()
        ids.append(token)
        if (tag := following[token]) is None:
            prefix += (token,)
            continue
        answer.tags.append(tag)
        answer.scores.append(score)
        answer.goes_on.append(inside)
        prefix, opened, score = (), tag != "O", 1.0
        inside = float(opened)
    return answer


def assert_same(spans: Sequence[Span], answer: Answer) -> None:
    expected = sbio_to_spans(answer.tags)
    assert tuple(spans) == expected
    for span in spans:
        product = torch.tensor(answer.scores[span.word_start : span.word_end]).prod().item()
        if span.word_end < len(answer.tags):
            product *= 1 - answer.goes_on[span.word_end]
        assert span.score == pytest.approx(product, rel=1e-3)
        assert 0 < span.score <= 1


def sharpened(codec: SentTCodec, seed: int) -> TaggingModel:
    """A random model whose answers vary: tags that start like I or like one another are likely."""
    model = tiny_model(codec, seed=seed, random=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for task in codec.tag_ids.values():
            for ids in task.values():
                for i in ids:
                    model.backbone.shared.weight[i].normal_(0.0, 1.0, generator=generator)
    return model
