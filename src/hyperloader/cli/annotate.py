"""``hyperloader annotate``: files with many rows, tagged in shards."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console


def annotate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files (.parquet, .jsonl, .csv, .tsv, .txt; also .gz, .bz2, .xz), folders or "
            "patterns; also addresses such as s3://bucket/rows/.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the outputs go.")],
    task: Annotated[
        str | None, typer.Option(help="The task; not needed if the tagger has one.")
    ] = None,
    tagger: Annotated[
        str,
        typer.Option(metavar="RUN", help="A run, a checkpoint, a bundled tagger, or owner/name."),
    ] = "builtin",
    text_column: Annotated[str, typer.Option(help="Where the text of a row is.")] = "text",
    column: Annotated[str, typer.Option(help="The new column.")] = "spans",
    format: Annotated[
        str,
        typer.Option(
            help="same as the input (text becomes jsonl), jsonl, or a format of labelled files: "
            "label-studio, prodigy, doccano, brat, conll, …",
        ),
    ] = "same",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: one per core, 4 at most.")
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Work on Ray: on this machine, or with --address.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster, such as auto or ray://HOST:10001.")
    ] = None,
    shard_rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Rows of one output at most.")
    ] = 10_000,
    min_score: Annotated[
        float, typer.Option(metavar="0..1", help="Leave out spans with a lower score.")
    ] = 0.0,
    words: Annotated[
        str | None, typer.Option(metavar="RULE", help="As of hyperloader tag.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts decoded at once.")] = 64,
    device: Annotated[str | None, typer.Option(help="Such as cuda; default: the CPU.")] = None,
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16 (for a GPU) or int8 (faster on a CPU).")
    ] = "float32",
) -> None:
    """Tag the rows of files, and write them with their spans.

    All columns are kept, and a column of spans is added: start, end, text, label, score. Inputs are
    cut into shards of at most --shard-rows rows; each has one output in DIR, written aside and
    renamed, and at the end there is a manifest.json. Stopped, killed or out of power, it goes on
    by the same command, and no row is lost or there twice.

    Rows that cannot be tagged (not UTF-8, not JSON, no text) do not stop it: they are in
    DIR/errors.jsonl with file, line and reason, and the exit code is 2 at the end.

    Examples:

      hyperloader annotate reviews.parquet --out annotated --task restaurant --text-column review

      hyperloader annotate logs/ --out annotated --task snips --workers 8 --precision int8

      hyperloader annotate notes.txt --out tasks --task movie --format label-studio

      hyperloader annotate s3://bucket/rows/ --out /shared/annotated --task mtop --address auto
    """
    from hyperloader.annotating.run import annotate as run

    options: dict[str, Any] = {}
    if ray or address is not None:
        from hyperloader.annotating.on_ray import OnRay

        options["engine"] = OnRay(address)
    manifest = run(
        inputs,
        out,
        task,
        tagger,
        text_column=text_column,
        column=column,
        format=format,
        min_score=min_score,
        batch_size=batch_size,
        words=words,
        device=device,
        precision=precision,
        workers=workers,
        shard_rows=shard_rows,
        **options,
    )
    bad = manifest["errors"]
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{out}: {manifest['rows']:,} rows, {manifest['spans']:,} spans, "
        f"{len(manifest['outputs']):,} files",
        markup=False,
    )
    if bad:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"{bad:,} rows were not tagged; {out / 'errors.jsonl'} says why", markup=False
        )
        raise typer.Exit(2)
