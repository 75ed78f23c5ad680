"""``hyperloader tag`` between other programs: pipes that are slow, odd or broken, and Ctrl-C."""

import json
import os
import re
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import tiny_codec, tiny_model
from hyperloader.cli.lines import Line, file_lines, stream_lines
from hyperloader.errors import DataError
from hyperloader.tagger import Tagger
from training_helpers import cli

PATIENCE = 120  # seconds; a busy machine is slow without being wrong
BOM = b"\xef\xbb\xbf"
LINES = ["play little robin", "", "show me flights", "one thing"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    codec = tiny_codec({"one": ("thing",)})
    folder = tmp_path_factory.mktemp("streams") / "run"
    Tagger(tiny_model(codec, random=True, seed=8), codec).save_pretrained(folder)
    return folder


@pytest.fixture
def program(run: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``tag --json`` with its standard streams as pipes that are not buffered here."""
    with subprocess.Popen(
        [sys.executable, "-m", "hyperloader", "tag", str(run), "--json"],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        # A shell lets what it starts in the background ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        yield process
        process.kill()


def answer(process: subprocess.Popen[bytes]) -> dict:
    """The next line that the program writes; fails if it waits for more input instead."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(PATIENCE), "no answer while the pipe is open"
    return json.loads(process.stdout.readline())


def send(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)


def test_every_line_is_answered_when_it_comes(program: subprocess.Popen[bytes]) -> None:
    for text in LINES:
        send(program, f"{text}\n".encode())
        assert answer(program)["text"] == text
    send(program, b"no end of line")
    assert program.stdin is not None
    program.stdin.close()
    assert answer(program)["text"] == "no end of line"
    assert program.wait(PATIENCE) == 0


def test_lines_in_pieces_and_several_at_once(program: subprocess.Popen[bytes]) -> None:
    first, second = "caf\u00e9 \U0001f600\n".encode(), b"one\ntwo\nthr"
    send(program, BOM + first[:4])
    send(program, first[4:])
    assert answer(program)["text"] == "caf\u00e9 \U0001f600"
    send(program, second)
    assert [answer(program)["text"] for _ in range(2)] == ["one", "two"]
    send(program, b"ee\n")
    assert answer(program)["text"] == "three"


def test_ctrl_c_while_it_waits_is_quiet(program: subprocess.Popen[bytes]) -> None:
    send(program, b"play it\n")
    answer(program)
    program.send_signal(signal.SIGINT)
    assert program.wait(PATIENCE) == 130
    assert program.stderr is not None
    assert program.stderr.read() == b""


def test_a_reader_who_leaves_is_no_mistake(run: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("play it again\n" * 2000)
    for options in ("--json", "--alternatives 1"):
        command = (
            f"{sys.executable} -m hyperloader tag {run} {options} --file lines.txt | head -n 1; "
            "echo ${PIPESTATUS[0]}"
        )
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        assert done.stdout.splitlines()[-1] == "141"


def texts(out: str) -> list[str]:
    return [json.loads(line)["text"] for line in out.splitlines()]


def test_a_byte_order_mark_changes_nothing(run: Path, tmp_path: Path) -> None:
    plain = cli("tag", run, "--json", stdin=b"play it\nplay it\n").out
    assert cli("tag", run, "--json", stdin=BOM + b"play it\nplay it\n").out == plain
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_bytes(BOM + b"play it\r\n")
    files = [part for name in ("one.txt", "two.txt") for part in ("--file", tmp_path / name)]
    assert cli("tag", run, "--json", *files).out == plain
    assert cli("tag", run, "--json", stdin=BOM).out == cli("tag", run, "--json", stdin=b"\n").out


def test_bad_lines_are_reported_and_the_others_tagged(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("fine\ncaf\u00e9\nalso fine\n".encode("latin-1"))
    none = tmp_path / "none.txt"
    done = cli("tag", run, "--json", "--file", path, "--file", none, "--file", path)
    assert texts(done.out) == ["fine", "also fine"] * 2
    assert done.code == 2
    bad, missing, again = done.err.splitlines()
    assert f"{path}:2: not UTF-8" in bad
    assert f"{none}: cannot be read" in missing
    assert again == bad


def test_a_thousand_bad_lines_are_not_a_thousand_lines(run: Path) -> None:
    done = cli("tag", run, "--json", stdin=b"\xff\n" * 1000 + b"fine\n")
    assert texts(done.out) == ["fine"]
    assert done.code == 2
    lines = done.err.splitlines()
    assert len(lines) == 11
    assert lines[9].startswith("error: standard input:10: ")
    assert "990 more lines were not tagged" in lines[10]


def test_a_line_that_is_too_long_is_reported_by_its_number(tmp_path: Path) -> None:
    codec = tiny_codec({"one": ("thing",)}, max_words=4, truncation="error")
    Tagger(tiny_model(codec), codec).save_pretrained(tmp_path / "run")
    stdin = b"one two\none two three four five\nthree\n"
    done = cli("tag", tmp_path / "run", "--json", stdin=stdin)
    assert texts(done.out) == ["one two", "three"]
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "standard input:2: a sentence of 5 words does not fit" in line


def test_json_is_what_python_gives(run: Path) -> None:
    stdin = "\n".join(LINES).encode()
    for options, more in (((), {}), (("--alternatives", 2), {"alternatives": 2})):
        tagger = Tagger.from_pretrained(run)  # new: what it has tagged before decides on rounding
        done = cli("tag", run, "--json", *options, stdin=stdin)
        found = [json.loads(line) for line in done.out.splitlines()]
        assert found == [tagged.to_dict() for tagged in tagger.tag(LINES, "one", **more)]
    coloured = cli("tag", run, *LINES).out.splitlines()
    assert [re.sub(r"\[| thing \d\.\d\d\]", "", line) for line in coloured] == LINES


def test_a_file_comes_in_whole_groups_and_a_pipe_with_all_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"".join(b"line %d\n" % i for i in range(1, 26)) + b"last")
    groups = list(file_lines(path, 10))
    assert [len(group) for group in groups] == [10, 10, 6]
    lines = [line for group in groups for line in group]
    assert [line.number for line in lines] == list(range(1, 27))
    assert lines[2] == Line(b"line 3", str(path), 3)
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        piped = [line for g in stream_lines(process.stdout, str(path), 10) for line in g]
    assert piped == lines
    with pytest.raises(DataError, match="cannot be read"):
        list(file_lines(tmp_path, 10))
