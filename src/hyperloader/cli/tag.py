"""``hyperloader tag``: tag lines of text."""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from hyperloader.builtin import BUILTIN, is_bundled, tagger_name
from hyperloader.cli.colours import coloured
from hyperloader.cli.lines import Line, file_lines, standard_input, stream_lines
from hyperloader.client import Client
from hyperloader.corpora.reading.place import suffix_of
from hyperloader.errors import ConfigError, DataError, HyperloaderError, ServiceError
from hyperloader.hub import is_repository
from hyperloader.types import TaggedText

if TYPE_CHECKING:
    from hyperloader.tagger import Tagger

FEW = 3
# What a service says of a text that it does not tag: too long, or not to be tagged.
_OF_A_TEXT = (413, 422)
# Bad lines that are reported one by one.
REPORTED = 10
# Extensions of files that hold labels or records, not a text per line.
LABELLED = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".json", ".jsonl", ".ndjson")


def tag(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN] [TEXT]...",
            help="A training run, a checkpoint, or owner/name on the Hub (default: the best "
            "bundled tagger, of builtin-minilm and builtin-t5); then sentences (default: standard "
            "input). A first sentence of one word is given with --text.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="A sentence, also one of a single word; may be repeated."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="The task (hyperloader tasks lists them); not needed if there is one."),
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="Read lines from this file; may be repeated.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line instead of colours.")
    ] = False,
    min_score: Annotated[
        float, typer.Option(metavar="0..1", help="Leave out spans with a lower score.")
    ] = 0.0,
    alternatives: Annotated[
        int, typer.Option(metavar="N", help="Also the N likeliest tags of every word.")
    ] = 0,
    sequences: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Also the N likeliest answers to each whole sentence (taggers on encoders).",
        ),
    ] = 0,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Find this in place of a task's labels, by its name alone or by what follows an = "
            "(zero-shot; for runs of the recipe zero-shot); may be repeated.",
        ),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="How text is split into words, such as whitespace for text that is split already; "
            "default: as RUN says.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences decoded at once.")] = 64,
    url: Annotated[
        str | None,
        typer.Option(
            help="Ask this service (hyperloader serve) instead of loading a tagger; its key is in "
            "HYPERLOADER_API_KEY. All arguments are sentences."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="With --url: which tagger to ask.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cuda; default: the CPU.")] = None,
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16 (for a GPU) or int8 (faster on a CPU).")
    ] = "float32",
) -> None:
    """Tag sentences from arguments, files or standard input, one per line.

    Answers come in the order of the lines, as soon as a line is there and nothing more is
    waiting; files are tagged in batches. With --json each line holds the text, its words and its
    spans: label, text, character offsets (end exclusive), word indices and score. A line that
    cannot be tagged is reported on standard error with its number, the others are tagged all the
    same, and the exit code is 2.

    --min-score leaves out spans and changes nothing else. --alternatives N adds the N likeliest
    tags of every word, given the tags before it, with their probabilities: one line per word, or
    with --json one list per word. --sequences N adds the N likeliest answers to the whole sentence,
    with the probability that just these spans are there: one line each.

    Examples:

      hyperloader tag --task restaurant "any good thai place near the harbour open after ten"

      hyperloader tag runs/quickstart --task dining "a table for two at noon"

      hyperloader tag runs/my-run --task movie --json < questions.txt > spans.jsonl

      tail -f chat.log | hyperloader tag --task snips --json

      hyperloader tag --task movie --min-score 0.5 --alternatives 3 "films by mel brooks"

      hyperloader tag --url http://localhost:8000 --task movie < questions.txt
    """
    options: dict[str, Any] = {"min_score": min_score, "alternatives": alternatives}
    tagger: Tagger | Client
    if url is None:
        from hyperloader.tagging import check_options

        check_options(batch_size, min_score, alternatives, sequences)
        if model is not None:
            raise ConfigError("--model names a tagger of a service: give --url, or the run instead")
        tagger, texts = _loaded(given or [], device, precision, words)
        if label:
            tagger = _for_labels(tagger, label, task)
        options |= {"batch_size": batch_size, "sequences": sequences}
    else:
        if sequences or label:
            raise ConfigError("a service takes no --sequences and no --label; leave out --url")
        tagger, texts = _service(url, model, (device, precision, words)), given or []
    texts += text or []
    if task is None and len(tagger.tasks) > 1:
        raise ConfigError(f"give --task (one of: {', '.join(tagger.tasks)})")
    tagger.labels(task)  # an unknown task is refused before anything is read
    out = Answers(as_json)
    if url is None:
        tagger.tag([], task, **options)  # as are options that the tagger does not have
    wrong = Problems()
    for lines in _groups(texts, file, 4 * batch_size, wrong):
        for tagged in _tag_all(tagger, lines, task, options, wrong):
            out.write(tagged)
        out.flush()
    wrong.end()


def _loaded(
    given: list[str], device: str | None, precision: str, words: str | None
) -> tuple["Tagger", list[str]]:
    """The tagger that the arguments name, and the sentences among them."""
    from hyperloader.tagger import Tagger

    run, texts = _run_and_texts(given)
    tagger = Tagger.from_pretrained(run, device, precision=precision, words=words)
    if run == BUILTIN:
        Console(stderr=True).print(f"tagging with {tagger_name(run)}", style="dim")
    return tagger, texts


def _for_labels(tagger: "Tagger", labels: list[str], task: str | None) -> "Tagger":
    """A tagger of other ``labels``, and a warning."""
    if task is not None:
        raise ConfigError("give --task, or --label in place of it, and not both")
    described: dict[str, str] = {}
    for label in labels:
        name, mark, text = label.partition("=")
        if described.setdefault(name, text if mark else name) != (text if mark else name):
            raise ConfigError(f"--label {name} is described twice; give one of them")
    asking = tagger.for_labels(described)
    note = "zero-shot: the tagger was not trained on these labels; look at what it finds"
    Console(stderr=True).print(note, style="yellow")
    return asking


def _service(url: str, model: str | None, own: tuple[str | None, str, str | None]) -> Client:
    """The service at ``url``. Raises ConfigError for options that are its own."""
    if own != (None, "float32", None):
        raise ConfigError("--device, --precision and --words are the service's; leave them out")
    return Client(url, os.environ.get("HYPERLOADER_API_KEY"), model=model)


class Answers:
    """Prints tagged texts: a line of JSON each, or text with its spans in colours."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(highlight=False, soft_wrap=True, emoji=False)

    def write(self, tagged: TaggedText) -> None:
        """Print one text, with its alternatives if it has any."""
        if self._as_json:
            sys.stdout.write(json.dumps(tagged.to_dict(), ensure_ascii=False) + "\n")
            return
        self._console.print(coloured(tagged) if tagged.words else Text(tagged.text))
        for line in _alternatives(tagged):
            self._console.print(line, markup=False)
        for one in tagged.sequences or ():
            shown = coloured(replace(tagged, spans=one.spans))
            self._console.print(Text(f"  {one.probability:.2f}  ").append_text(shown))

    def flush(self) -> None:
        """Let whoever reads see what has been printed."""
        sys.stdout.flush()


class Problems:
    """Lines that could not be tagged: the first ones are reported, all are counted."""

    def __init__(self) -> None:
        self._count = 0
        self.console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

    def add(self, error: HyperloaderError) -> None:
        """Report one problem on standard error."""
        self._count += 1
        if self._count <= REPORTED:
            self.console.print("[red]error:[/red] ", end="")
            self.console.print(" ".join(str(error).split()), markup=False)

    def end(self) -> None:
        """Exit with 2 if there was any problem."""
        if self._count > REPORTED:
            more = self._count - REPORTED
            self.console.print(f"[red]error:[/red] {more:,} more lines were not tagged")
        if self._count:
            raise typer.Exit(2)


def _groups(
    texts: list[str], files: list[Path] | None, size: int, wrong: Problems
) -> Iterator[list[Line]]:
    """All lines that are to be tagged, in groups. A file that cannot be read is a problem, and
    those after it are read all the same."""
    arguments = [Line(os.fsencode(text), "sentence", i) for i, text in enumerate(texts, 1)]
    for start in range(0, len(arguments), size):
        yield arguments[start : start + size]
    for path in files or []:
        if suffix_of(path) in LABELLED:
            wrong.console.print(
                f"{path}: each line is tagged as a text, whatever it holds; hyperloader evaluate "
                "reads labelled files",
                markup=False,
            )
        try:
            yield from file_lines(path, size)
        except DataError as error:
            wrong.add(error)
    if not texts and not files:
        stream = standard_input()
        if stream.isatty():
            Console(stderr=True).print("type one sentence per line; end with Ctrl-D", style="dim")
        yield from stream_lines(stream, "standard input", size)


def _tag_all(
    tagger: "Tagger | Client",
    lines: list[Line],
    task: str | None,
    options: dict[str, Any],
    wrong: Problems,
) -> list[TaggedText]:
    """The ``lines`` tagged together, without those that cannot be."""
    texts, kept = [], []
    for line in lines:
        try:
            texts.append(line.text())
        except DataError as error:
            wrong.add(error)
        else:
            kept.append(line)
    try:
        return tagger.tag(texts, task, **options)
    except HyperloaderError as problem:
        if isinstance(problem, ServiceError) and problem.status not in _OF_A_TEXT:
            raise
        # one of them cannot be tagged (say, it is too long): which?
        found = []
        for line, text in zip(kept, texts, strict=True):
            try:
                found.append(tagger.tag(text, task, **options))
            except HyperloaderError as error:
                wrong.add(DataError(str(error), line.source, line.number))
        return found


def _alternatives(tagged: TaggedText) -> list[str]:
    """A line per word: the word, and its likeliest tags with their probabilities."""
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
    is_folder = os.path.isdir(first)  # no error, however long a sentence is
    if len(first.split()) != 1:
        return (first, given[1:]) if first.strip() and is_folder else (BUILTIN, given)
    if is_bundled(first) or is_folder or (os.sep in first and os.path.exists(first)):
        return first, given[1:]
    if is_repository(first):
        return first, given[1:]
    raise ConfigError(
        f"there is no run {first}; omit it to use the builtin tagger, or tag it as a sentence "
        f"with --text {shlex.quote(first)}"
    )
