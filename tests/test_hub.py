"""Taggers on the Hugging Face Hub, without a network: uploads are caught, and put into the cache
as huggingface_hub lays it out, from which its own code then loads."""

import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import huggingface_hub
import pytest
from huggingface_hub import errors

from helpers import tiny_backbone, tiny_codec, tiny_model
from hyperloader import hub
from hyperloader.backbones.loading import load_backbone
from hyperloader.errors import CheckpointError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tagger import Tagger
from training_helpers import cli, refused

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXT = "play little robin redbreast"


class Uploads:
    """A Hub that takes what is uploaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository: dict[str, Any] = {}
        self.options: dict[str, Any] = {}

    def create_repo(self, api: Any, repository: str, **options: Any) -> Any:
        self.repository = {"name": repository, "token": api.token, **options}
        return mock.Mock(repo_id=repository)

    def upload_folder(self, api: Any, *, folder_path: Path, **options: Any) -> Any:
        shutil.copytree(folder_path, self.folder)
        self.options = options
        return mock.Mock(commit_url=f"https://hub.test/{options['repo_id']}/commit/{COMMIT}")

    def to_cache(self, cache: Path, repository: str = "me/tagger") -> None:
        """Lay the uploaded files out as huggingface_hub's cache does: links to blobs."""
        root = cache / f"models--{repository.replace('/', '--')}"
        (root / "refs").mkdir(parents=True)
        (root / "refs" / "main").write_text(COMMIT)
        (root / "blobs").mkdir()
        for number, path in enumerate(p for p in self.folder.rglob("*") if p.is_file()):
            blob = root / "blobs" / f"{number:040x}"
            shutil.copy(path, blob)
            link = root / "snapshots" / COMMIT / path.relative_to(self.folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Uploads:
    found = Uploads(tmp_path / "uploaded")
    for name in ("create_repo", "upload_folder"):
        call = getattr(found, name)
        monkeypatch.setattr(
            huggingface_hub.HfApi, name, lambda api, *a, call=call, **o: call(api, *a, **o)
        )
    monkeypatch.chdir(tmp_path)
    return found


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    codec = tiny_codec()
    return Tagger(tiny_model(codec, random=True, seed=8), codec)


def same_answers(one: Tagger, other: Tagger) -> None:
    """The same but for rounding: what is loaded for tagging only is computed in another order."""
    for task in one.tasks:
        ours, theirs = (tagger.tag(TEXT, task).spans for tagger in (one, other))
        assert [(s.start, s.end, s.label) for s in ours] == [
            (s.start, s.end, s.label) for s in theirs
        ]
        assert [s.score for s in ours] == pytest.approx([s.score for s in theirs], rel=1e-4)


def test_what_is_shared_tags_the_same_elsewhere(
    tagger: Tagger, uploads: Uploads, tmp_path: Path
) -> None:
    url = tagger.push_to_hub("me/tagger", private=True, token="secret", license="mit")
    assert url == f"https://hub.test/me/tagger/commit/{COMMIT}"
    assert uploads.repository == {
        "name": "me/tagger",
        "token": "secret",
        "private": True,
        "exist_ok": True,
    }
    card = (uploads.folder / "README.md").read_text()
    assert 'Tagger.from_pretrained("me/tagger")' in card
    assert "license: mit" in card
    assert "secret" not in "".join(p.read_text() for p in uploads.folder.rglob("*.[jm]*d*"))
    uploads.to_cache(tmp_path / "cache")
    there = Tagger.from_pretrained("me/tagger", cache_dir=tmp_path / "cache", local_files_only=True)
    same_answers(there, tagger)
    for card in (tmp_path / "cache").rglob("README.md"):  # edited on the Hub's page
        card.write_text("Another text.")
    same = Tagger.from_pretrained(
        "me/tagger", cache_dir=tmp_path / "cache", local_files_only=True, revision=COMMIT
    )
    assert same.tasks == tagger.tasks


def test_of_an_earlier_upload_no_weights_and_no_settings_stay(
    tagger: Tagger, uploads: Uploads
) -> None:
    tagger.push_to_hub("me/tagger", message="Second try")
    assert uploads.options["commit_message"] == "Second try"
    replaced = uploads.options["delete_patterns"]
    names = ["calibration.json", "old.safetensors", "tokenizer/added_tokens.json", "photo.png"]
    gone = [*huggingface_hub.utils.filter_repo_objects(names, allow_patterns=replaced)]
    assert gone == names[:3]


def test_a_backbone_of_this_machine_goes_along(uploads: Uploads, tmp_path: Path) -> None:
    codec, name = tiny_codec(), str(tmp_path / "t5")
    tiny_backbone(codec, seed=3).save_pretrained(name)
    config = ModelConfig(tasks=tuple(codec.labels))
    tagger = Tagger(TaggingModel(load_backbone(name), config, backbone_name=name), codec)
    tagger.push_to_hub("me/tagger")
    shutil.rmtree(name)
    uploads.to_cache(tmp_path / "cache")
    there = Tagger.from_pretrained("me/tagger", cache_dir=tmp_path / "cache", local_files_only=True)
    same_answers(there, tagger)


def test_only_weights_settings_and_the_card_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def download(repository: str, **options: Any) -> str:
        asked.update(options, repository=repository)
        return "somewhere"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.fetch("me/tagger", revision="v1", token="t", cache_dir="c") == Path("somewhere")
    assert (asked["repository"], asked["revision"], asked["token"]) == ("me/tagger", "v1", "t")
    names = ["model.safetensors", "tokenizer/tokenizer.json", "README.md"]
    others = ["pytorch_model.bin", "modeling.py", "model.pkl", "tokenizer.model"]
    patterns = asked["allow_patterns"]
    allowed = huggingface_hub.utils.filter_repo_objects(names + others, allow_patterns=patterns)
    assert [*allowed] == names


def test_a_folder_here_comes_first(
    tagger: Tagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unreachable = mock.Mock(side_effect=AssertionError("the Hub was asked"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    tagger.save_pretrained("me/tagger")
    assert Tagger.from_pretrained("me/tagger").tasks == tagger.tasks
    with pytest.raises(CheckpointError, match="me/other does not exist"):
        Tagger.from_pretrained("me/other")  # there is a folder me, so this is one in it
    for name in ("/me/tagger", "./x/y", "x", "a/b/c", "~/x", "a b/c", "", "a/"):
        assert not hub.is_repository(name), name


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.RepositoryNotFoundError("404", response=mock.Mock()), "the Hub has no me/tagger"),
        (errors.RevisionNotFoundError("404", response=mock.Mock()), "the Hub has no me/tagger"),
        (errors.GatedRepoError("403", response=mock.Mock()), "me/tagger is gated"),
        (errors.HfHubHTTPError("500 oops\nmore", response=mock.Mock()), "did not answer.*500 oops"),
        (errors.LocalEntryNotFoundError("none"), "is not in the local cache and the Hub cannot"),
        (ConnectionError("refused"), "did not answer for me/tagger: refused"),
    ],
)
def test_what_goes_wrong_is_one_line(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", mock.Mock(side_effect=error))
    with pytest.raises(CheckpointError, match=said) as caught:
        Tagger.from_pretrained("me/tagger")
    assert "\n" not in str(caught.value)
    assert "error: " in refused("tag", "me/tagger", "--task", "music", "some text")


def test_nothing_in_the_cache_and_no_connection(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not in the local cache"):
        hub.fetch("me/tagger", cache_dir=tmp_path, local_files_only=True)


def test_the_command_line_takes_a_name_on_the_hub(
    tagger: Tagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tagger.save_pretrained(tmp_path / "saved")
    download = mock.Mock(return_value=str(tmp_path / "saved"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    done = cli("tag", "me/tagger", "--task", "music", TEXT)
    assert done.code == 0, done.err
    assert download.call_args.args == ("me/tagger",)
