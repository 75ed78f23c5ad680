"""Training a tokenizer: the same sentences give the same one, wherever it is trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.corpora.registry import load_corpora

TRAIN = """
import sys
from hyperloader.codec.tokenizer import train_tokenizer
texts = sys.stdin.read().splitlines()
print(train_tokenizer(texts, vocab_size=int(sys.argv[1])).backend_tokenizer.to_str())
"""
SIZE = 320


def train_elsewhere(texts: list[str], hash_seed: str) -> str:
    """The tokenizer that a process of its own makes of ``texts``."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(SIZE)],
        input="\n".join(texts),
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout.strip()


def test_a_tokenizer_is_the_same_in_every_process(shared: Path) -> None:
    """Also where letters are too rare to be learned, which the trainer scores in random order."""
    corpus = load_corpora(shared / "data" / "labelled", ["restaurant"])["restaurant"]
    texts = [" ".join(e.words) for e in corpus.splits["test"][:60]]
    texts += ["Üñï ćøđé ŵörđš ſþ", "日本語 テスト", "xq zj"]
    here = train_tokenizer(texts, vocab_size=SIZE).backend_tokenizer.to_str()
    assert [train_elsewhere(texts, seed) for seed in ("1", "2")] == [here, here]
    assert train_tokenizer(texts[::-1], vocab_size=SIZE).backend_tokenizer.to_str() == here
    scores = {p: s for p, s in json.loads(here)["model"]["vocab"] if not p.startswith("<")}
    rare = [piece for piece in scores if scores[piece] == min(scores.values())]
    assert len(rare) > 20, "nothing is tied, so this tests nothing"
    assert rare == sorted(rare)
