"""What a result was made with: machine, versions and state of the source."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

import hyperloader


@cache
def environment() -> dict[str, str]:
    """Hardware, versions and, from a checkout, the commit (``+`` when files differ from it)."""
    return {
        "hyperloader": hyperloader.__version__,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "python": platform.python_version(),
        "hardware": hardware(),
        "commit": _commit() or "none",
    }


def hardware() -> str:
    """The accelerator, or the processor and the threads that are used of it."""
    if torch.accelerator.is_available():
        accelerator = torch.accelerator.current_accelerator()
        if accelerator is not None and accelerator.type == "cuda":
            return torch.cuda.get_device_name()
        return str(accelerator)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the package's own source; None where it does not lie under version control."""
    if not _git("ls-files", "__init__.py"):
        return None
    commit = _git("rev-parse", "HEAD")
    return f"{commit}+" if commit and _git("status", "--porcelain", "--", ".") else commit


def _git(*arguments: str) -> str | None:
    folder = Path(hyperloader.__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
