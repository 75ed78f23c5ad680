"""The version, with the commit where it is known."""

import subprocess
from pathlib import Path

from hyperloader import __version__


def full_version() -> str:
    """The version; in a working copy of the repository with the commit: ``0.1.0 (1a2b3c4)``."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists() or not (root / "src" / "hyperloader").is_dir():
        return __version__  # installed: the folder around it is someone else's
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} ({done.stdout.strip()})"
