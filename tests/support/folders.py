"""Where the project and its neighbour with real data lie."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("HYPERLOADER_SHARED", ROOT.parent / "shared"))
