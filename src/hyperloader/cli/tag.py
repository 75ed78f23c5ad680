"""``hyperloader tag``: tag lines of text."""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.text import Text

from hyperloader.builtin import BUILTIN
from hyperloader.cli.colours import coloured
from hyperloader.errors import ConfigError, DataError
from hyperloader.types import TaggedText

FEW = 3


def tag(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN] [TEXT]...",
            help="The folder of a training run or a checkpoint (default: the builtin tagger), then "
            "sentences (default: standard input). A sentence that comes first and is one word is "
            "given with --text.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="A sentence, also of one word only; may be repeated."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task (an error lists them).")] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="Read lines from this file; may be repeated.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of colours.")
    ] = False,
    min_score: Annotated[
        float, typer.Option(metavar="0..1", help="Leave out spans with a lower score.")
    ] = 0.0,
    alternatives: Annotated[
        int, typer.Option(metavar="N", help="Also the N likeliest tags of every word.")
    ] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences decoded at once.")] = 64,
    device: Annotated[str | None, typer.Option(help="Such as cuda; default: the CPU.")] = None,
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16 (for a GPU) or int8 (faster on a CPU).")
    ] = "float32",
) -> None:
    """Tag sentences from arguments, files or standard input, one a line.

    With --json each line holds the text, its words and its spans: label, text, character offsets
    (end exclusive), word indices and score. --min-score leaves spans out and changes nothing else.
    --alternatives N adds the N likeliest tags of every word, given the tags before it, with their
    probabilities: a line a word, or with --json a list a word.

    Examples:

      hyperloader tag --task restaurant "any good thai place near the harbour open after ten"

      hyperloader tag runs/quickstart --task dining "a table for two at noon"

      hyperloader tag runs/my-run --task movie --json < questions.txt > spans.jsonl

      hyperloader tag --task movie --min-score 0.5 --alternatives 3 "films by mel brooks"
    """
    from hyperloader.tagger import Tagger, check_options

    check_options(batch_size, min_score, alternatives)
    run, texts = _run_and_texts(given or [])
    texts += text or []
    tagger = Tagger.from_pretrained(run, device, precision=precision)
    if task is None:
        if len(tagger.tasks) > 1:
            raise ConfigError(f"give --task (one of: {', '.join(tagger.tasks)})")
        task = tagger.tasks[0]
    tagger.labels(task)
    console = Console(highlight=False, soft_wrap=True)
    for tagged in tagger.pipe(
        _lines(texts, file),
        task,
        batch_size=batch_size,
        min_score=min_score,
        alternatives=alternatives,
    ):
        if as_json:
            sys.stdout.write(json.dumps(_document(tagged), ensure_ascii=False) + "\n")
            continue
        console.print(coloured(tagged) if tagged.words else Text(tagged.text))
        for line in _alternatives(tagged):
            console.print(line, markup=False)


def _document(tagged: TaggedText) -> dict[str, Any]:
    document = asdict(tagged)
    del document["alternatives"]
    if tagged.alternatives is not None:
        document["alternatives"] = [
            [choice._asdict() for choice in choices] for choices in tagged.alternatives
        ]
    return document


def _alternatives(tagged: TaggedText) -> list[str]:
    """A line a word: the word, and its likeliest tags with their probabilities."""
    width = max(map(len, tagged.words), default=0)
    return [
        f"  {word:<{width}}  "
        + "  ".join(f"{_together(tags)} {probability:.2f}" for tags, probability in choices)
        for word, choices in zip(tagged.words, tagged.alternatives or (), strict=False)
    ]


def _together(tags: tuple[str, ...]) -> str:
    """Tags that were not told apart; of many the first ones and how many they are."""
    return "|".join(tags) if len(tags) <= FEW else f"{'|'.join(tags[:FEW])}|… ({len(tags)})"


def _run_and_texts(given: list[str]) -> tuple[str, list[str]]:
    """The run, which comes first and is one word or a folder, and the sentences."""
    first = given[0] if given else ""
    path = Path(first)
    if len(first.split()) != 1:
        return (first, given[1:]) if first.strip() and path.is_dir() else (BUILTIN, given)
    if first == BUILTIN or path.is_dir() or (os.sep in first and path.exists()):
        return first, given[1:]
    raise ConfigError(
        f"there is no run {first}; omit it to use the builtin tagger, or tag it as a sentence "
        f"with --text {shlex.quote(first)}"
    )


def _lines(texts: list[str] | None, files: list[Path] | None) -> Iterator[str]:
    if texts:
        yield from texts
    for path in files or []:
        try:
            with path.open("rb") as stream:
                yield from _decode(stream, str(path))
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", path) from error
    if not texts and not files:
        if sys.stdin.isatty():
            Console(stderr=True).print("type a sentence a line; end with Ctrl-D", style="dim")
        yield from _decode(sys.stdin.buffer, "standard input")


def _decode(stream: BinaryIO, name: str) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError("not UTF-8; convert the file first", name, number) from error
