"""What merging generated LoRA into the query and value matrices would save in decoding.

Run: OMP_NUM_THREADS=1 python benchmarks/merged_lora.py RUN --data DIR --task TASK --out FILE.json.
The decoder as it is, and the same with W + scale B A written into the backbone and the hooks gone,
in turns on the same sentences.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from hyperloader.checkpoint import load_checkpoint
from hyperloader.codec.batch import encode_words
from hyperloader.corpora.registry import load_corpora
from hyperloader.experiments.run.environment import environment
from hyperloader.modeling.attach import SiteHook
from hyperloader.modeling.modules.lora import LoraWeights
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.store import write_text

SENTENCES = {1: 16, 8: 64, 32: 128, 128: 256}
TURNS = 7


@torch.no_grad()
def merge(model: TaggingModel, task: str) -> dict[nn.Module, Tensor]:
    """The merged matrix of every linear layer with LoRA."""
    weights, found = model.cached_weights(model.task_ids(task)), {}
    for module in model.backbone.modules():
        for hook in module._forward_hooks.values():
            if isinstance(hook, SiteHook) and isinstance(w := weights[hook.site], LoraWeights):
                found[module] = module.weight + hook.config.lora_scale * (w.b[0] @ w.a[0])
    return found


@contextmanager
def merged(matrices: dict[nn.Module, Tensor]) -> Iterator[None]:
    before = {m: (m.weight.data, dict(m._forward_hooks)) for m in matrices}
    for module, matrix in matrices.items():
        module.weight.data = matrix
        module._forward_hooks.clear()
    try:
        yield
    finally:
        for module, (matrix, hooks) in before.items():
            module.weight.data = matrix
            module._forward_hooks.update(hooks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    model, codec = (checkpoint := load_checkpoint(given.run)).model.eval(), checkpoint.codec
    test = load_corpora(given.data)[given.task].splits["test"]
    windows = [w for e in test for w in encode_words(codec, e.words, given.task)]
    matrices = merge(model, given.task)

    def timed(size: int) -> tuple[float, list]:
        decoder, some = SentTDecoder(model, codec, learn=False), windows[: SENTENCES[size]]
        began, found = perf_counter(), []
        for i in range(0, len(some), size):
            found += decoder.decode(some[i : i + size], batch_size=size)
        return perf_counter() - began, [
            [(s.word_start, s.word_end, s.label) for s in f.spans] for f in found
        ]

    rows = []
    for size in SENTENCES:
        plain, other, same = [], [], True
        for _ in range(TURNS):
            seconds, answers = timed(size)
            plain.append(seconds)
            with merged(matrices):
                seconds, again = timed(size)
            other.append(seconds)
            same &= answers == again
        rows.append({"batch": size, "plain / merged": median(plain) / median(other), "same": same})
        print(rows[-1], flush=True)
    document = {
        "environment": environment(),
        "task": given.task,
        "matrices": len(matrices),
        "bytes a task": sum(m.numel() * m.element_size() for m in matrices.values()),
        "rows": rows,
    }
    write_text(given.out, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
