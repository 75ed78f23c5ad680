"""Readers of labelled files: each turns text into examples and names file and line of errors."""

from hyperloader.corpora.readers.formats import (
    EXTENSIONS,
    FORMATS,
    Format,
    detect_format,
    is_seq_folder,
    read_part,
)

__all__ = ["EXTENSIONS", "FORMATS", "Format", "detect_format", "is_seq_folder", "read_part"]
