"""Sequence labelling for many tasks with one frozen T5 and generated weights."""

__version__ = "0.1.0"
