"""Hostile texts, many threads, forks and spawns, and memory over many calls."""

import asyncio
import multiprocessing
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hyperloader.tagger import Tagger

_PIECES = (
    *(
        "a",
        "the",
        "lamp",
        "kitchen",
        "é",
        "e\u0301",
        "ß",
        "İ",
        "ﬁ",
        "💥",
        "👩\u200d👩\u200d👧",
        "中文",
        "\u202e",
    ),
    *(
        "</s>",
        "<extra_id_0>",
        "<pad>",
        "[SEP]",
        "\ufeff",
        "\u00ad",
        "\u200b",
        "\x00",
        "\x1b[0m",
        "\x85",
    ),
    *("a" * 300, "." * 50, "'", '"', "\\", "{{x}}", "%s", "\uffff", "\U0010ffff", "ﷺ", "1" * 40),
)
_SPACES = (" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\x0b", "")


def hostile_text(rng: random.Random) -> str:
    """A text of nasty pieces and nasty spaces."""
    parts = (rng.choice(_PIECES) + rng.choice(_SPACES) for _ in range(rng.randrange(25)))
    return rng.choice(_SPACES) + "".join(parts)


def offsets(world: Any) -> Iterator[tuple[str, str | None]]:
    """Words and spans say where they are in the text as it was given."""
    tagger = Tagger.from_pretrained(world.export)
    for _ in range(world.count(2000)):
        text = hostile_text(world.rng)
        found = tagger.tag(text, world.rng.choice(tagger.tasks))
        right = found.text == text and all(
            text[start:end] == word
            for word, (start, end) in zip(found.words, found.offsets, strict=True)
        )
        for span in found.spans:
            right &= text[span.start : span.end] == span.text and 0 <= span.score <= 1
            right &= found.offsets[span.word_start][0] == span.start
            right &= found.offsets[span.word_end - 1][1] == span.end
        yield repr(text[:60]), None if right else f"offsets: {found}"


def _answers(path: Path, asked: list[tuple[str, str]]) -> list[Any]:
    tagger = Tagger.from_pretrained(path)
    return [_spans(tagger.tag(text, task)) for text, task in asked]


def _spans(found: Any) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.label) for span in found.spans]


def _asked(world: Any, tagger: Tagger, number: int) -> list[tuple[str, str]]:
    texts = ("turn off the lamp", "a table for two at noon", "play it in the kitchen at nine")
    rng = world.rng
    return [
        (" ".join(rng.sample(" ".join(texts).split(), 6)), rng.choice(tagger.tasks))
        for _ in range(number)
    ]


def threads(world: Any) -> Iterator[tuple[str, str | None]]:
    """16 threads that ask one tagger for mixed tasks get what one thread gets."""
    tagger = Tagger.from_pretrained(world.export)
    asked = _asked(world, tagger, 200)
    wanted = [_spans(tagger.tag(text, task)) for text, task in asked]
    calls = world.count(2000)

    def ask(thread: int) -> list[int]:
        rng = random.Random(thread)
        places = [rng.randrange(len(asked)) for _ in range(calls)]
        return [i for i in places if _spans(tagger.tag(*asked[i])) != wanted[i]]

    with ThreadPoolExecutor(16) as pool:
        for number, different in enumerate(pool.map(ask, range(16))):
            problem = f"{len(different)} of {calls} answers differ" if different else None
            yield f"thread {number}, {calls} calls", problem


def processes(world: Any) -> Iterator[tuple[str, str | None]]:
    """Forked and spawned processes and asyncio get the same answers."""
    tagger = Tagger.from_pretrained(world.export)
    asked = _asked(world, tagger, 40)
    wanted = [_spans(tagger.tag(text, task)) for text, task in asked]
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            for number in range(2):
                found = pool.submit(_answers, world.export, asked).result(timeout=300)
                yield f"{method} {number}", None if found == wanted else "other answers"

    async def together() -> list[Any]:
        return await asyncio.gather(
            *(asyncio.to_thread(tagger.tag, text, task) for text, task in asked)
        )

    found = [_spans(each) for each in asyncio.run(together())]
    yield "asyncio", None if found == wanted else "other answers"


def memory(world: Any) -> Iterator[tuple[str, str | None]]:
    """Memory does not grow with the number of calls."""
    tagger = Tagger.from_pretrained(world.export)
    asked = _asked(world, tagger, 500)
    calls = world.count(50_000)
    for i in range(calls // 10):
        tagger.tag(*asked[i % len(asked)])
    before = _resident()
    for i in range(calls):
        tagger.tag(*asked[i % len(asked)])
    grown = _resident() - before
    yield f"{calls} calls, {grown / 2**20:.1f} MiB more", "it grows" if grown > 16 << 20 else None


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


FAMILIES = {
    "offsets of hostile text": offsets,
    "threads": threads,
    "processes": processes,
    "memory over many calls": memory,
}
