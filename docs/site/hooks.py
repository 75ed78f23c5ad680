"""Turns the pages, which are written to be read in the repository, into a site.

The README is the start page. Pictures are brought along from wherever they lie. Any other link out
of docs/ leads nowhere on a site, so there it is the name of the file.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the README as the start page, and the pictures outside of docs/."""
    from mkdocs.structure.files import File

    text = (ROOT / "README.md").read_text("utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    for page in sorted(DOCS.rglob("*.md")):
        for picture, _, target, _ in LINK.findall(page.read_text("utf-8")):
            place = (page.parent / target).resolve()
            if picture and place.is_file() and not place.is_relative_to(DOCS):
                name = place.relative_to(ROOT).as_posix()
                if files.get_file_from_path(name) is None:
                    files.append(File.generated(config, name, content=place.read_bytes()))
    return files


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
