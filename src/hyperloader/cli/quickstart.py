"""``hyperloader quickstart``: the whole way in a few minutes, on sentences made here."""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hyperloader.cli.colours import coloured
from hyperloader.cli.tables import score_table
from hyperloader.errors import ConfigError

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
        Path, typer.Option(metavar="RUN", help="Where the run is saved (replaced if it exists).")
    ] = Path("runs/quickstart"),
    seed: Annotated[int, typer.Option(help="Seed of sentences and training.")] = 42,
    steps: Annotated[
        int | None, typer.Option(help="Training steps; default: the recipe's.")
    ] = None,
) -> None:
    """Train one hypernetwork on three tagging tasks, score it, and tag sentences.

    The sentences come from grammars that ship with the package (easy, synthetic). The small
    pre-trained T5 that ships too stays frozen but for its layer norms; the hypernetwork writes
    the weights that make it a tagger of each task. A few minutes on two CPU cores.

    Example: hyperloader quickstart --text "a table for two at noon"
    """
    from hyperloader.config import load_recipe
    from hyperloader.corpora.sample import sample_corpora
    from hyperloader.corpora.writing import write_corpus
    from hyperloader.evaluation.evaluate import f1_evaluator, predict
    from hyperloader.evaluation.metrics import average, score_examples
    from hyperloader.tagger import Tagger
    from hyperloader.training.run import RUN
    from hyperloader.training.start import start_run

    console = Console(highlight=False)
    if out.exists():
        if not (out / RUN).is_file():
            raise ConfigError(f"{out} exists and is no run; choose another --out")
        shutil.rmtree(out)
    settings = [f"seed={seed}"] + ([f"training.steps={steps}"] if steps else [])
    recipe = load_recipe("quickstart", settings)
    corpora = sample_corpora(seed=seed)
    # Saved as files too, so that every other command can go on from here.
    data = out / "data"
    for name, corpus in corpora.items():
        write_corpus(corpus.splits, data / name, "conll")
    trainer = start_run(
        recipe,
        corpora,
        out,
        about={"data": str(data.resolve()), "tasks": list(corpora)},
        make_evaluate=lambda codec, chosen, n: f1_evaluator(codec, chosen, sentences=n),
        console=console,
    )
    sizes = ", ".join(f"{name} {len(c.splits['train']):,}" for name, c in corpora.items())
    counts = trainer.model.parameter_counts()
    console.print(f"[bold]1. Three tasks[/bold] (training sentences): {sizes}")
    console.print(
        "[bold]2. One model[/bold]: HyperLoader on the builtin T5, frozen but for its layer norms; "
        f"{counts['trainable']:,} of {counts['total']:,} parameters are trained."
    )
    started = time.monotonic()
    trainer.train()
    console.print(f"trained in {time.monotonic() - started:.0f} s")
    console.print(
        "[bold]3. Scores on test sentences[/bold]; about a third of their spans are unseen values"
    )
    tagger = Tagger.from_pretrained(out)
    scores = {
        name: score_examples(name, predict(tagger.model, tagger.codec, c.splits["test"]))
        for name, c in corpora.items()
    }
    document = {
        "scoring": "seqeval",
        "tasks": {name: score.to_json() for name, score in scores.items()},
        "average": average(scores),
    }
    console.print(score_table(document))
    console.print("[bold]4. Tagged sentences[/bold]")
    wanted = dict.fromkeys(SENTENCES, text) if text else SENTENCES
    for name, sentence in wanted.items():
        console.print(f"{name:>7}  ", end="")
        console.print(coloured(tagger.tag(sentence, task=name)))
    console.print(f"[bold]5. Saved[/bold] in {out}. Try your own sentence:")
    command = f'hyperloader tag {out} --task travel "a train from rome to vienna tomorrow"'
    console.print(f"   {_prefix()}{command}", soft_wrap=True)
    console.print(f"The sentences are in {data}, to look at and to train other models on.")


def _prefix() -> str:
    """Where the command lies, when it is in a virtual environment that is not active."""
    program = Path(sys.executable).parent
    on_path = str(program) in os.environ.get("PATH", "").split(os.pathsep)
    if on_path:
        return ""
    near = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    return f"{near}{os.sep}"
