"""Constrained decoding against Hugging Face generate on the same weights and sentences.

Run: python benchmarks/decoding.py. Prints ratios; both sides are measured in this one run.
"""

import torch
from common import median_seconds, prepared

from hyperloader.codec.collate import collate
from hyperloader.decoding.engine import Decoder


def main() -> None:
    checkpoint, data = prepared()
    model, codec = checkpoint.model.eval(), checkpoint.codec
    decoder = Decoder(model, codec)
    windows = sorted(data.validation["travel"], key=lambda w: w.words)
    print(f"{torch.get_num_threads()} threads, random weights, travel sentences")
    for batch_size in (1, 8, 32):
        chosen = windows[len(windows) // 2 :][:batch_size]
        batch = collate(chosen, codec.pieces.pad)
        # Random weights never stop by themselves; both sides make as many tokens as gold has.
        longest = max(len(w.target) for w in chosen)

        def generate(batch=batch, longest=longest) -> None:  # type: ignore[no-untyped-def]
            model.generate(
                batch.input_ids,
                task="travel",
                attention_mask=batch.attention_mask,
                max_new_tokens=longest,
                min_new_tokens=longest,
                do_sample=False,
            )

        ours = median_seconds(lambda batch=batch: decoder.decode_batch(batch))  # type: ignore[misc]
        theirs = median_seconds(generate)
        print(
            f"batch {batch_size:>2}: generate / constrained = {theirs / ours:.2f} "
            f"({batch_size / ours:.1f} against {batch_size / theirs:.1f} sentences a second)"
        )


if __name__ == "__main__":
    main()
