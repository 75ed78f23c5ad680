"""Tagged text in colours for a terminal; labels are printed too, so colour is never alone."""

import zlib

from rich.text import Text

from hyperloader.types import TaggedText

# Dark letters on light colours read well on dark and light terminals alike.
_STYLES = tuple(
    f"#101010 on {colour}"
    for colour in (
        *("#7fd1d1", "#9be38a", "#f2d974", "#e5a3ec", "#8fb8ff", "#ffb27a"),
        *("#ff9d9d", "#c3b1ff", "#b9d98a", "#f5b8d4"),
    )
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
