"""Packed batches give the loss of the backbone's own padded forward pass."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from helpers import LABELS, methods_on, randomise, tiny_codec, tiny_model
from hyperloader.backbones.t5.family import T5
from hyperloader.codec.batch import collate, encode_example
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.outputs.sentt.loss import SentTLoss
from hyperloader.outputs.sentt.rows import pack
from hyperloader.types import Example, Span

CODEC = tiny_codec()
TEXT = "play the song little robin redbreast show me flights from boston to denver"
WORDS = TEXT.split()


def window(task: str, words: int) -> EncodedWindow:
    text = tuple(WORDS[i % len(WORDS)] for i in range(words))
    spans = (Span(0, 1, LABELS[task][0]),)
    (found,) = encode_example(CODEC, Example(text, spans, task))
    return found


def batch(*tasks: str) -> list[EncodedWindow]:
    return [window(task, 1 + 5 * i % 13) for i, task in enumerate(tasks)]


MIXED = batch("music", "flights", "one", "music", "flights", "flights", "music", "one")
ONE_TASK = batch(*["flights"] * 7)


@pytest.mark.parametrize("windows", [MIXED, ONE_TASK], ids=["tasks-mixed", "one-task"])
@pytest.mark.parametrize("method", methods_on(T5(), several=True))
def test_the_loss_and_its_gradients_are_those_of_the_padded_forward_pass(
    method: str, windows: list[EncodedWindow]
) -> None:
    model = tiny_model(CODEC, method=method)
    randomise(model)
    objective = SentTLoss(model, CODEC, TrainingSection(loss="full"))
    found = objective(windows)
    found.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    padded = collate(windows, CODEC.pieces.pad)
    assert padded.labels is not None
    logits = model(
        padded.input_ids,
        padded.attention_mask,
        task_ids=model.task_ids(padded.tasks),
        labels=padded.labels,
    ).logits
    expected = F.cross_entropy(
        logits.flatten(0, 1), padded.labels.flatten(), ignore_index=-100, reduction="sum"
    )
    expected.backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert gradients
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", ["decisions", "full"])
def test_terms_are_read_where_their_windows_stand(loss: Literal["decisions", "full"]) -> None:
    model = tiny_model(CODEC, random=True)
    objective = SentTLoss(model, CODEC, TrainingSection(loss=loss))
    alone = [float(objective([one]).detach()) for one in MIXED]
    assert float(objective(MIXED).detach()) == pytest.approx(sum(alone), rel=1e-5)
    means = [loss / objective.count([one]) for loss, one in zip(alone, MIXED, strict=True)]
    assert objective.mean_of_each(MIXED).tolist() == pytest.approx(means, rel=1e-4)


def test_a_method_that_looks_at_the_whole_row_keeps_a_row_a_window() -> None:
    assert not tiny_model(CODEC, method="hyperdecoder").by_token
    assert tiny_model(CODEC).by_token
    alone = pack(MIXED, pad=0, start=0, together=False)
    assert alone.input_ids.shape[0] == len(MIXED)
    assert alone.row.tolist() == list(range(len(MIXED)))


@given(
    st.lists(st.tuples(st.sampled_from(sorted(LABELS)), st.integers(1, 40)), min_size=1, max_size=9)
)
def test_every_window_is_there_once_whole_and_among_its_own_task(
    drawn: list[tuple[str, int]],
) -> None:
    windows = [window(task, words) for task, words in drawn]
    packed = pack(windows, pad=CODEC.pieces.pad, start=CODEC.pieces.pad)
    sources = int((packed.input_ids != CODEC.pieces.pad).sum())
    assert sources == sum(len(w.source) for w in windows)
    for one, row, offset in zip(windows, packed.row.tolist(), packed.offset.tolist(), strict=True):
        end = offset + len(one.target)
        fed = packed.decoder_input_ids[row, offset:end].tolist()
        assert fed == [CODEC.pieces.pad, *one.target[:-1]]
        assert packed.tasks[row] == one.task
        assert packed.target_mask is not None
        near = packed.target_mask[row, 0, end - 1] == 0
        assert near.nonzero()[:, 0].tolist() == list(range(offset, end))
