"""The documentation becomes a site without a warning, from the pages as they are."""

import os
import re
import subprocess
import sys
from pathlib import Path

from folders import ROOT


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(site)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}
    written = {p.relative_to(ROOT / "docs").with_suffix("") for p in (ROOT / "docs").rglob("*.md")}
    tutorials = {f"tutorials/{path.stem}" for path in (ROOT / "examples").glob("*.py")}
    assert pages == {".", *tutorials, *(page.as_posix() for page in written)}
    tutorial = (site / "tutorials" / "tag" / "index.html").read_text("utf-8")
    assert "# %%" not in tutorial
    assert "<h1" in tutorial.split("Tag texts with the bundled tagger")[0]
    api = (site / "api" / "index.html").read_text("utf-8")
    for name in ("tagger.Tagger.tag", "api.train", "annotating.run.annotate"):
        assert f'id="hyperloader.{name}"' in api, name
    start = (site / "index.html").read_text("utf-8")
    assert re.search(r'href="data/"', start)
    assert str(ROOT) not in start + api
