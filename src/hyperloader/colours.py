"""A colour for every label, the same wherever its spans are shown."""

import zlib

# Light enough for dark letters to read well on them, whatever is around.
COLOURS = (
    *("#7fd1d1", "#9be38a", "#f2d974", "#e5a3ec", "#8fb8ff", "#ffb27a"),
    *("#ff9d9d", "#c3b1ff", "#b9d98a", "#f5b8d4"),
)


def colour_of(label: str) -> str:
    """The colour of ``label``, as ``#rrggbb``; several labels may share one."""
    return COLOURS[zlib.crc32(label.encode()) % len(COLOURS)]
