"""Tagged text in colours for a terminal; labels are printed too, so colour is never alone."""

import zlib

from rich.text import Text

from hyperloader.types import TaggedText

_STYLES = (
    *("black on bright_cyan", "black on bright_green", "black on bright_yellow"),
    *("black on bright_magenta", "black on cyan", "black on green", "black on yellow"),
    *("white on blue", "white on magenta", "white on red"),
)


def coloured(tagged: TaggedText, *, scores: bool = True) -> Text:
    """The text with every span as ``[words label 0.98]`` on its label's colour."""
    out, at = Text(), 0
    for span in tagged.spans:
        out.append(tagged.text[at : span.start])
        score = f" {span.score:.2f}" if scores else ""
        style = _STYLES[zlib.crc32(span.label.encode()) % len(_STYLES)]
        out.append(f"[{span.text} ", style=style)
        out.append(f"{span.label}{score}]", style=f"italic {style}")
        at = span.end
    out.append(tagged.text[at:])
    return out
