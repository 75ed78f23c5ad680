"""What much text takes: the builtin tagger on words of the sample sentences, one thread.

Run: OMP_NUM_THREADS=1 python benchmarks/long_texts.py --out FILE.json. Seconds of the processor,
and the peak of resident memory in MiB above the loaded tagger, of one call in a process of its own.
"""

import argparse
import json
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, cycle, islice
from pathlib import Path

import torch

from hyperloader.corpora.sample import sample_corpora
from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text
from hyperloader.tagger import Tagger

TASK = "restaurant"
# Words in all, and of each text.
CASES = ((5_000, 5_000), (20_000, 20_000), (100_000, 100_000), (100_000, 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
        rows = list(pool.map(measured, *zip(*CASES, strict=True)))
    document = {"environment": environment(), "task": TASK, "rows": rows}
    write_text(given.out, json.dumps(document, indent=1) + "\n")
    for row in rows:
        print(row)


def measured(total: int, each: int) -> dict[str, float]:
    """Tag ``total`` words in texts of ``each``."""
    torch.set_num_threads(1)
    sentences = next(iter(sample_corpora().values())).splits["train"]
    words = list(islice(cycle(chain.from_iterable(s.words for s in sentences)), total))
    texts = [" ".join(words[i : i + each]) for i in range(0, total, each)]
    tagger = Tagger.from_pretrained()
    tagger.tag(texts[0][:100], TASK)  # libraries have been set up
    before, started = peak(), time.process_time()
    tagger.tag(texts, TASK)
    seconds = time.process_time() - started
    return {"words": total, "texts": len(texts), "seconds": seconds, "mib": peak() - before}


def peak() -> float:
    """The most resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
