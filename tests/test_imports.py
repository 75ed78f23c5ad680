"""The shape of the package: imports point one way, no cycles, small files, a quick start."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "hyperloader"
SOURCE = Path(__file__).resolve().parent.parent / "src" / PACKAGE

# A part may import from the layers above its own, and from its own part. Parts of one layer stay
# apart unless they stand in TOGETHER.
LAYERS = (
    {
        *("types", "tags", "errors", "store", "trust"),
        *("words", "word_shapes", "config", "yamls", "builtin", "calibration", "colours"),
    },
    {"registry", "client"},
    {"backbones"},
    {"corpora", "codec", "modeling"},
    {"outputs"},
    {
        *("checkpoint", "onnx_checkpoint", "hub", "model_card", "tagging", "saving"),
        *("task_part", "task_start", "tagger_state", "tagger_tasks"),
    },
    {"training"},
    {"evaluation", "tagger"},
    {"api", "pretraining", "serving", "integrations", "annotating"},
    {"growing"},
    {"reproduction"},
    {"experiments", "benchmarks"},
    {"cli"},
    {"__main__"},
)
TOGETHER = {
    "tags": {"types"},
    "builtin": {"errors"},
    "config": {"errors", "yamls"},
    "store": {"errors"},
    "words": {"errors"},
    "checkpoint": {"model_card"},
    "onnx_checkpoint": {"checkpoint", "model_card"},
    "saving": {"checkpoint", "onnx_checkpoint", "hub", "model_card", "tagging"},
    "task_part": {"checkpoint"},
    "task_start": {"checkpoint", "task_part"},
    "tagger_state": {"checkpoint", "tagging"},
    "tagger_tasks": {"checkpoint", "hub", "saving", "task_part"},
    "trust": {"builtin", "errors", "store", "yamls"},
    "tagger": {"evaluation"},
    "serving": {"integrations"},
    "benchmarks": {"experiments"},
}
# What reproduces the paper or measures is not needed for tagging and training.
APART = {"reproduction", "experiments", "benchmarks"}
LONGEST_FILE = 400


def modules() -> dict[str, Path]:
    """Every module of the package by its name without the package's."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def part_of(module: str) -> str:
    return module.partition(".")[0]


def layer_of(module: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if part_of(module) in layer)


@cache
def imports_of(module: str) -> frozenset[str]:
    """Modules of the package that ``module`` imports at run time, anywhere in its text."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import of {node.module}"
            # ``from package import x`` imports the module x where there is one.
            names |= {
                name if name.removeprefix(f"{PACKAGE}.") in MODULES else str(node.module)
                for name in (f"{node.module}.{alias.name}" for alias in node.names)
            }
    ours = {name.removeprefix(f"{PACKAGE}.") for name in names if part_of(name) == PACKAGE}
    return frozenset(name for name in ours if name != PACKAGE)


def test_the_walk_sees_the_imports() -> None:
    assert {"tags", "types", "codec.windows", "errors"} <= imports_of("outputs.sentt.codec")
    assert imports_of("types") == set()
    assert "modeling.active" in imports_of(
        "outputs.sentt.decoding.search"
    )  # from hyperloader.modeling import …
    assert len(MODULES) > 30


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_imports_point_one_way(module: str) -> None:
    part = part_of(module)
    for imported in imports_of(module):
        other = part_of(imported)
        assert (
            other == part
            or layer_of(imported) < layer_of(module)
            or other in TOGETHER.get(part, set())
        ), f"{module} imports {imported}"


def test_the_library_proper_stands_without_what_measures_it() -> None:
    proper = [name for name in MODULES if name and part_of(name) not in {*APART, "cli"}]
    assert len(proper) > 80
    for module in proper:
        assert APART.isdisjoint(map(part_of, imports_of(module))), module


def test_every_part_has_one_layer() -> None:
    parts = [part for layer in LAYERS for part in layer]
    assert len(parts) == len(set(parts))
    assert {part_of(name) for name in MODULES if name} <= set(parts)


def test_no_import_cycle() -> None:
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module in finished:
            return
        for imported in imports_of(module):
            if imported in MODULES:
                visit(imported, (*path, module))
        finished.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.name)
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("statement", ["import hyperloader", "import hyperloader.cli.main"])
def test_importing_does_not_wait_for_torch(statement: str) -> None:
    heavy = "{'torch', 'transformers'} & set(sys.modules)"
    code = f"import sys; {statement}; sys.exit(str({heavy}) if {heavy} else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
