"""Whether the decoder's answers are those of one token at a time, on all test sentences.

Run: python benchmarks/exactness.py RUN --data DIR --out FILE.json [--sentences N].
RUN is a training run, a checkpoint or builtin-t5. Every answer is checked by one plain forward pass
over the whole vocabulary: if each of its tokens is the greedy choice after the tokens before it, it
is what greedy decoding writes. What may stand where is taken from the tests' oracle. Then the same
sentences in bfloat16: how many answers differ, and how close the second choice was in those.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from hyperloader.checkpoint import Checkpoint, load_checkpoint
from hyperloader.codec.batch import collate, encode_words
from hyperloader.codec.windows import EncodedWindow
from hyperloader.corpora.registry import load_corpora
from hyperloader.evaluation.evaluate import evenly
from hyperloader.experiments.run.environment import environment
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.store import write_text
from hyperloader.types import Span
from slow_decoder import TIE, options

ROUNDING = 2e-5  # two ways to compute a logit in float32 differ by less here
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=10**9, help="of each corpus at most")
    given = parser.parse_args()
    exact, half = load_checkpoint(given.run), load_checkpoint(given.run)
    exact.model.eval()
    half.model.eval().to(torch.bfloat16)
    found = {}
    for task, corpus in load_corpora(given.data).items():
        if task not in exact.codec.labels:
            continue
        examples = evenly(corpus.splits["test"], given.sentences)
        windows = [w for e in examples for w in encode_words(exact.codec, e.words, task)]
        found[task] = compare(exact, half, windows)
        print(task, found[task], flush=True)
    document = {
        "environment": environment(),
        "threads": torch.get_num_threads(),
        "rounding": ROUNDING,
        "tasks": found,
    }
    write_text(given.out, json.dumps(document, indent=1) + "\n")


def compare(exact: Checkpoint, half: Checkpoint, windows: Sequence[EncodedWindow]) -> dict:
    order = sorted(windows, key=lambda window: window.words)
    spans, other = answers(exact, order), answers(half, order)
    rows: list[list[Decision]] = []
    for start in track(range(0, len(order), BATCH), order[0].task):
        some = slice(start, start + BATCH)
        rows += check(exact, order[some], spans[some])
    changed = [a != b for a, b in zip(spans, other, strict=True)]
    closest = [min((decision.gap for decision in row), default=0.0) for row in rows]
    of_changed = [c for c, is_other in zip(closest, changed, strict=True) if is_other]
    return {
        "windows": len(order),
        "decisions": sum(map(len, rows)),
        "not greedy": sum(d.wrong for row in rows for d in row),
        "within rounding of a tie": sum(d.open for row in rows for d in row),
        "other answers in bfloat16": sum(changed),
        "closest decision of a window, median": round(median(closest), 3),
        "the same where bfloat16 differs": round(median(of_changed), 3) if of_changed else None,
    }


def answers(checkpoint: Checkpoint, windows: Sequence[EncodedWindow]) -> list[list[tuple]]:
    decoder = SentTDecoder(checkpoint.model, checkpoint.codec)
    return [
        [(span.word_start, span.word_end, span.label) for span in found.spans]
        for found in decoder.decode(windows)
    ]


class Decision(NamedTuple):
    """A choice of an answer: how far the token that was taken lies above the best other one,
    whether greedy decoding takes another, and whether rounding decides that."""

    gap: float
    wrong: bool
    open: bool


@torch.no_grad()
def check(
    checkpoint: Checkpoint, windows: Sequence[EncodedWindow], spans: Sequence[list[tuple]]
) -> list[list[Decision]]:
    """Every decision of each answer, by one plain pass over the answers."""
    model, codec = checkpoint.model, checkpoint.codec
    filled = [
        replace(w, target=codec.encode_target([Span(*span) for span in found], w.words, w.task))
        for w, found in zip(windows, spans, strict=True)
    ]
    batch = collate(filled, codec.pieces.pad)
    logits = model(
        batch.input_ids,
        batch.attention_mask,
        task_ids=model.task_ids(windows[0].task),
        labels=batch.labels,
    ).logits.float()
    return [walk(codec, window, row) for window, row in zip(filled, logits, strict=True)]


def walk(codec: SentTCodec, window: EncodedWindow, logits: torch.Tensor) -> list[Decision]:
    decisions = []
    word, prefix, opened = 0, (), False
    for position, token in enumerate(window.target[1:], 1):
        if word == window.words:
            break
        following = options(codec, window.task, prefix, opened, word)
        allowed = list(following)
        if len(allowed) > 1:
            # The first option within TIE of the best one is taken.
            below = logits[position, allowed].max() - TIE - logits[position, allowed]
            taken = allowed.index(token)
            earlier = below[:taken].min() if taken else torch.tensor(1.0)
            others = torch.cat([below[:taken], below[taken + 1 :]])
            decisions.append(
                Decision(
                    gap=float(others.min() - below[taken]),
                    wrong=bool(below[taken] > ROUNDING or earlier < -ROUNDING),
                    open=bool(below[taken].abs() <= ROUNDING or earlier.abs() <= ROUNDING),
                )
            )
        if (tag := following[token]) is None:
            prefix += (token,)
        else:
            word, prefix, opened = word + 1, (), tag != "O"
    return decisions


if __name__ == "__main__":
    main()
