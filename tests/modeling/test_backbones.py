"""Running a model: threads, compilation, generate, and every backbone family."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from transformers import T5Config, T5ForConditionalGeneration

from helpers import LABELS, SENTENCES, batch_of, randomise, run, tiny_codec, tiny_model
from hyperloader.codec.batch import encode_words
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.outputs.sentt.model import TaggingModel
from t5_families import t5_family, t5_shape

CODEC = tiny_codec()
TASKS = tuple(LABELS)


def test_threads_get_the_answers_of_their_own_tasks() -> None:
    model = tiny_model(CODEC, random=True)
    batch = batch_of("music", "music", "music")
    inputs = {"input_ids": batch.input_ids, "labels": batch.labels}
    expected = {}
    with torch.no_grad():
        for task in TASKS:
            with model.use(task):
                expected[task] = model.backbone(**inputs).logits
    barrier = threading.Barrier(len(TASKS))

    def work(task: str) -> bool:
        equal = True
        for _ in range(5):
            with torch.no_grad():
                barrier.wait()
                with model.use(task):
                    barrier.wait()  # all tasks are in force at once
                    equal &= torch.allclose(model.backbone(**inputs).logits, expected[task])
        return equal

    with ThreadPoolExecutor(len(TASKS)) as pool:
        assert all(pool.map(work, TASKS))


def test_compiled_without_a_graph_break_it_is_the_same() -> None:
    model = tiny_model(CODEC, random=True)
    batch = batch_of("music", "music")
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for task in ("music", "flights"):
            arguments = {"task_ids": model.task_ids(task), "labels": batch.labels}
            ours = compiled(batch.input_ids, batch.attention_mask, **arguments).logits
            eager = model(batch.input_ids, batch.attention_mask, **arguments).logits
            torch.testing.assert_close(ours, eager, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("beams", [1, 2])
def test_generate_serves_mixed_tasks(beams: int) -> None:
    model = tiny_model(CODEC, random=True)
    batch = batch_of("music", "flights", "music")
    settings = {"num_beams": beams, "max_new_tokens": 8, "do_sample": False}
    mixed = model.generate(
        batch.input_ids, attention_mask=batch.attention_mask, task=batch.tasks, **settings
    )
    for i, task in enumerate(batch.tasks):
        row = slice(i, i + 1)
        mask = batch.attention_mask[row]
        alone = model.generate(batch.input_ids[row], attention_mask=mask, task=task, **settings)[0]
        assert mixed[i, : len(alone)].tolist() == alone.tolist()
        assert not mixed[i, len(alone) :].any()  # padding
    with pytest.raises(ValueError, match="2 sets of weights do not fit a batch of 3 rows"):
        model.generate(batch.input_ids, task=["music", "flights"])


def test_all_layers_are_generated_in_one_product() -> None:
    class CountLinears(TorchFunctionMode):
        count = 0

        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore
            self.count += function is F.linear
            return function(*args, **(kwargs or {}))

    counts = {}
    for layers in (2, 4):
        model = TaggingModel(
            T5ForConditionalGeneration(t5_shape(T5Config, num_layers=layers)),
            ModelConfig(tasks=TASKS),
        )
        with CountLinears() as counter:
            model.weights(model.task_ids(TASKS))
        counts[layers] = counter.count
    # A stack: two linears of the projector, one of the adapters, one of LoRA.
    assert counts == {2: 8, 4: 8}


@pytest.mark.parametrize("name", ["t5", "v1.1", "deep decoder", "mt5", "umt5"])
@pytest.mark.parametrize("generators", ["shared", "per_place"])
def test_every_family_learns_generates_and_decodes(name: str, generators: str) -> None:
    backbone = t5_family(name)
    assert backbone.config.d_model != backbone.config.num_heads * backbone.config.d_kv
    model = TaggingModel(
        backbone, ModelConfig(tasks=TASKS, lora_generators=generators, train_backbone="none")
    )
    randomise(model)
    batch = batch_of("music", "flights")
    loss = run(model, batch)[1]
    loss.backward()
    silent = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    # The encoder has no cross-attention, so the generators of those places stay unused.
    assert len(silent) == (2 if generators == "per_place" else 0)
    if name != "deep decoder":  # transformers sizes generate's cache by the encoder's depth
        generated = model.generate(batch.input_ids, task=batch.tasks, max_new_tokens=4)
        assert generated.shape[0] == 2
    words = SENTENCES[0].split()
    windows = encode_words(CODEC, words, "flights")
    (decoded,) = SentTDecoder(model, CODEC).decode(windows)
    assert {s.label for s in decoded.spans} <= set(LABELS["flights"])
