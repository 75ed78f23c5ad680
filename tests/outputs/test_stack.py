"""The decoder's own walk through a T5 stack against the backbone's, for every family."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import LABELS, SENTENCES, randomise, tiny_codec
from hyperloader.codec.batch import collate, encode_words
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.outputs.sentt.decoding.packing import GROUP, Packing
from hyperloader.outputs.sentt.decoding.stack import DecoderStack
from hyperloader.outputs.sentt.model import TaggingModel
from slow_decoder import assert_same, oracle
from t5_families import t5_family

CODEC = tiny_codec()
FAMILIES = ["t5", "v1.1", "deep decoder", "mt5", "umt5"]


def family(name: str) -> TaggingModel:
    model = TaggingModel(t5_family(name), ModelConfig(tasks=tuple(LABELS)))
    randomise(model)
    with torch.no_grad():  # position biases that matter
        for module in model.backbone.modules():
            if getattr(module, "has_relative_attention_bias", False):
                module.relative_attention_bias.weight.normal_()
    return model.eval()


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_states_are_those_of_the_backbone_whatever_way_they_are_fed(name: str) -> None:
    model, (rows, source, target) = family(name), (3, 11, 150)
    torch.manual_seed(0)
    ids, tokens = torch.randint(3, 300, (rows, source)), torch.randint(3, 300, (rows, target))
    mask = (torch.arange(source) < torch.tensor([[11], [7], [4]])).long()
    with model.use("music"):
        encoded = model.backbone.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = model.backbone.decoder(
            input_ids=tokens,
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        stack = DecoderStack(model.backbone.decoder, encoded, mask, 4)
        position = [0, 0, 0]
        for take in ([1, 1, 1], [30, 2, 7], [0, 100, 1], [119, 47, 141]):
            # What is fed in vain first must leave no trace.
            for wrong in (True, False):
                row = torch.tensor([r for r in range(rows) for _ in range(take[r])])
                slot = torch.tensor([i for r in range(rows) for i in range(take[r])])
                place = torch.tensor(position)[row] + slot
                fed = tokens[row, place] + 1 if wrong else tokens[row, place]
                states = stack.forward(fed, place, Packing(row, slot, rows, None))
            torch.testing.assert_close(states, expected[row, place], atol=1e-4, rtol=1e-4)
            position = [p + n for p, n in zip(position, take, strict=True)]
    assert position == [target] * rows


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_decodes_as_one_token_at_a_time(name: str) -> None:
    model, tasks = family(name), sorted(LABELS)
    windows = [
        window
        for i, sentence in enumerate(SENTENCES[:3])
        for window in encode_words(CODEC, sentence.split(), tasks[i % 3])
    ]
    decoder = SentTDecoder(model, CODEC)
    mixed = decoder.decode_batch(collate(windows, CODEC.pieces.pad))
    for found, again, window in zip(
        decoder.decode(windows, batch_size=2), mixed, windows, strict=True
    ):
        answer = oracle(model, CODEC, window)
        assert_same(found.spans, answer)
        assert_same(again.spans, answer)


@settings(max_examples=50)
@given(
    counts=st.lists(st.integers(0, 2 * GROUP), min_size=1, max_size=6).filter(any),
    data=st.data(),
)
def test_packing_loses_no_token_and_mixes_no_tasks(counts: list[int], data: st.DataObject) -> None:
    rows = len(counts)
    tasks = data.draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))
    row = torch.tensor([r for r in range(rows) for _ in range(counts[r])])
    slot = torch.tensor([i for r in range(rows) for i in range(counts[r])])
    tokens = torch.arange(len(row)) + 1
    for task, in_runs in ((None, False), (torch.tensor(tasks), False), (torch.tensor(tasks), True)):
        packing = Packing(row, slot, rows, task, in_runs)
        spread = packing.spread(tokens)
        assert spread.shape == packing.shape
        assert packing.gather(spread[..., None])[:, 0].tolist() == tokens.tolist()
        by_row = packing.by_row(spread[..., None])
        assert by_row[row, slot, 0].tolist() == tokens.tolist()
        back = packing.gather(packing.by_group(by_row))
        assert back[:, 0].tolist() == tokens.tolist()
        if task is None:
            assert packing.group_task is None
            assert spread.numel() == len(tokens)
        elif in_runs:
            assert packing.runs is not None
            owner = task[row][packing.spread(tokens).flatten() - 1]
            assert packing.runs == torch.bincount(owner, minlength=max(tasks) + 1).tolist()
            assert owner.tolist() == sorted(owner.tolist())
        else:
            assert packing.group_task is not None
            owner = torch.cat([torch.tensor([-1]), task[row]])[spread]
            for group, name in zip(owner.tolist(), packing.group_task.tolist(), strict=True):
                assert set(group) <= {-1, name}
            assert spread.numel() < len(tokens) + 3 * GROUP
