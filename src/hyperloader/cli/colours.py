"""Tagged text in colours for a terminal; labels are printed too, so colour is never alone."""

from rich.text import Text

from hyperloader.colours import colour_of
from hyperloader.types import TaggedText


def coloured(tagged: TaggedText, *, scores: bool = True) -> Text:
    """The text with every span as ``[words label 0.98]`` on its label's colour."""
    out, at = Text(), 0
    for span in tagged.spans:
        out.append(tagged.text[at : span.start])
        score = f" {span.score:.2f}" if scores else ""
        style = f"#101010 on {colour_of(span.label)}"
        out.append(f"[{span.text} ", style=style)
        out.append(f"{span.label}{score}]", style=f"italic {style}")
        at = span.end
    out.append(tagged.text[at:])
    return out
