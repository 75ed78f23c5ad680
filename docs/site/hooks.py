"""Turns the pages, which are written to be read in the repository, into a site.

The README is the start page. The examples, which are scripts in cells, become pages. Pictures are
brought along from wherever they lie. Any other link out of docs/ leads nowhere on a site, so there
it is the name of the file.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the README as the start page, the examples, and the pictures outside of docs/."""
    from mkdocs.structure.files import File

    text = (ROOT / "README.md").read_text("utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    for script in sorted(EXAMPLES.glob("*.py")):
        name = f"tutorials/{script.stem}.md"
        files.append(File.generated(config, name, content=cells_as_markdown(script)))
    for page in sorted(DOCS.rglob("*.md")):
        for picture, _, target, _ in LINK.findall(page.read_text("utf-8")):
            place = (page.parent / target).resolve()
            if picture and place.is_file() and not place.is_relative_to(DOCS):
                name = place.relative_to(ROOT).as_posix()
                if files.get_file_from_path(name) is None:
                    files.append(File.generated(config, name, content=place.read_bytes()))
    return files


def cells_as_markdown(script: Path) -> str:
    """The page of a script in the percent format: its cells of text, and its code as code."""
    parts = []
    for cell in script.read_text("utf-8").split("# %%")[1:]:
        first, _, body = cell.partition("\n")
        if first.strip() == "[markdown]":
            parts.append(re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip())
        else:
            parts.append(f"```python\n{body.strip()}\n```")
    source = f"This page is `examples/{script.name}`, which runs as it is, also cell by cell."
    return "\n\n".join([*parts, source]) + "\n"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Name what lies outside of docs/ instead of linking to it."""
    source = Path(page.file.src_uri)

    def shown(match: re.Match[str]) -> str:
        picture, text, target, _ = match.groups()
        place = (DOCS / source.parent / target).resolve()
        if place.is_relative_to(DOCS) and place.is_file():
            return match[0]
        name = place.relative_to(ROOT).as_posix() if place.is_relative_to(ROOT) else target
        if picture:
            return f"![{text}]({'../' * (len(source.parts) - 1)}{name})"
        return f"`{name}`" if name in text else f"{text} (`{name}`)"

    return LINK.sub(shown, markdown)
