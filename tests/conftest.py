"""Shared fixtures. Tests on real data read ``../shared`` (or $HYPERLOADER_SHARED)."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from browser import CHROMIUM, DRIVER, MISSING
from folders import SHARED
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpora

pytest_plugins = ["pretraining_helpers"]

ALL, WITHOUT_SLOW = "", "not slow"  # the marks of `make test-all` and of `make test`
# A busy machine is slow without being wrong.
settings.register_profile("all", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=50)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("all" if config.option.markexpr == ALL else "quick")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real corpora and golden vectors; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip(f"NOT TESTED: {SHARED} is absent (real corpora, golden vectors)")
    return SHARED


@pytest.fixture(scope="session")
def corpora(shared: Path) -> dict[str, Corpus]:
    """All real corpora, read once."""
    return load_corpora(shared / "data" / "labelled")


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that mounts a disk of so many MiB, to be filled up."""
    disk = tmp_path / "disk"

    def mount(mebibytes: int) -> Path:
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(disk)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("NOT TESTED: a full disk (mounting a small one needs root)")
        return disk

    yield mount
    if disk.is_mount():
        subprocess.run(["umount", str(disk)], check=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.config.option.markexpr == WITHOUT_SLOW:
        terminalreporter.line("the slow tests were left out; `make test-all` runs them too")
    if CHROMIUM is None or DRIVER is None:
        terminalreporter.section("no browser", sep="!", red=True, bold=True)
        terminalreporter.line(MISSING)
    if not SHARED.is_dir():
        terminalreporter.section("real data absent", sep="!", red=True, bold=True)
        terminalreporter.line(
            f"{SHARED} does not exist: tests against the real corpora and the published "
            "implementations' golden vectors did NOT run. Set HYPERLOADER_SHARED to their folder."
        )
