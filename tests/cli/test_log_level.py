"""``--log-level``: what libraries log goes to standard error, from the level that is asked for."""

import os
import subprocess
import sys

import pytest

from training_helpers import refused

# Logs as a library does, where the command line has been set up.
PROGRAM = """
import logging, sys
from hyperloader.cli import doctor, main
def say():
    logging.getLogger("some.library").info("quiet")
    logging.getLogger("some.library").warning("loud")
    print("result")
main.app.command("say")(say)
main.main()
"""


@pytest.mark.parametrize(
    ("given", "variable", "quiet", "loud"),
    [((), "", 0, 1), (("--log-level", "info"), "", 1, 1), ((), "error", 0, 0)],
)
def test_libraries_are_heard_from_a_level_on(
    given: tuple[str, ...], variable: str, quiet: int, loud: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *given, "say"],
        capture_output=True,
        text=True,
        env={**os.environ, **({"HYPERLOADER_LOG_LEVEL": variable} if variable else {})},
        check=True,
    )
    assert done.stdout == "result\n"
    assert done.stderr.count("INFO some.library: quiet") == quiet
    assert done.stderr.count("WARNING some.library: loud") == loud


def test_an_unknown_level_is_told() -> None:
    assert "did you mean 'info'" in refused("--log-level", "inof", "tasks")
