"""A few cases of every quick family of the campaign; `make faults` tries them all at full size."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from campaign import World, build, tried
from damage import seal

QUICK = (
    *("damaged files", "hostile checkpoints", "wrong command lines", "odd files"),
    *("offsets of hostile text", "kill -9 in export", "full disk"),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("faults"), scale=0.02)


@pytest.mark.parametrize("family", QUICK)
def test_a_few_cases_hold(family: str, world: World) -> None:
    number, wrong = tried(family, world)
    assert number
    assert not wrong


def test_the_campaign_writes_through_no_link(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "checkpoint"
    outside.write_text("mine")
    folder.mkdir()
    (folder / "manifest.json").symlink_to(outside)
    seal(folder)
    assert outside.read_text() == "mine"
