"""Label texts: what is generated for a label, and the way back."""

import re
from collections.abc import Sequence
from typing import Literal

from hyperloader.errors import ConfigError
from hyperloader.tags import INSIDE, OUTSIDE

LabelStyle = Literal["raw", "readable"]


def label_text(label: str, style: LabelStyle = "raw") -> str:
    """The text generated for ``label``: itself (as in the paper), or words a person would write.

    Examples:
        >>> label_text("MUSIC_ITEM", "readable")
        'music item'
        >>> label_text("fromloc.city_name", "readable")
        'fromloc city name'
    """
    if style == "raw":
        return label
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label)
    return " ".join(re.split(r"[\W_]+", spaced)).strip().lower() or label


def verbalise(labels: Sequence[str], style: LabelStyle = "raw") -> dict[str, str]:
    """Map each label to its text, reversibly.

    Raises:
        ConfigError: two labels share a text, a label or its text is one of the tags ``O`` and
            ``I``, or has no letters at all.
    """
    texts: dict[str, str] = {}
    for label in labels:
        text = label_text(label, style)
        for name in (label, text):
            if name in (OUTSIDE, INSIDE):
                raise ConfigError(
                    f"label {label!r} would be read as the tag {name!r}, which means "
                    f"{'no span' if name == OUTSIDE else 'inside a span'}; rename the label"
                )
        if not text.strip():
            raise ConfigError(f"a label may not be blank, as {label!r} is; name it")
        if text in texts.values():
            other = next(name for name, t in texts.items() if t == text)
            raise ConfigError(
                f"labels {other!r} and {label!r} would both be written {text!r}; "
                "rename one or use label_text: raw"
            )
        texts[label] = text
    return texts
