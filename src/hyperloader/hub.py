"""Taggers on the Hugging Face Hub: fetching one, and sharing one.

Only safetensors, JSON and the model card are ever fetched.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hyperloader.errors import CheckpointError, first_line

FETCHED = ("*.safetensors", "*.json", "README.md")
# What an earlier version of a shared tagger may have left behind and this one does not have.
REPLACED = ("*.safetensors", "*.json")

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_repository(name: str | Path) -> bool:
    """Whether ``name`` is ``owner/name`` and nothing here: neither it nor a folder ``owner``."""
    text = name.as_posix() if isinstance(name, Path) else name
    if not _REPOSITORY.fullmatch(text):
        return False
    return not Path(text).exists() and not Path(text).parent.exists()


def fetch(
    repository: str,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """The folder of a tagger on the Hub, fetched unless it is in the cache already.

    Args:
        repository: ``owner/name``.
        revision: a branch, tag or commit; default: the main branch.
        cache_dir: default: that of huggingface_hub (``HF_HOME``).
        local_files_only: take what is in the cache and open no connection.
        token: default: that of ``hf auth login``.

    Raises:
        CheckpointError: no such repository or revision, no access, or no connection.
    """
    import huggingface_hub

    with _explained(repository, revision):
        folder = huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
            allow_patterns=list(FETCHED),
            library_name="hyperloader",
        )
    return Path(folder)


def share(
    save: Callable[[Path], None],
    repository: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    message: str = "Upload tagger",
) -> str:
    """Upload what ``save`` writes into a folder as one commit; the address of the commit.

    The repository is made if need be. Weights and JSON files that it has and the folder has not
    are removed in the same commit, so that what is there is this tagger and nothing else.

    Raises:
        CheckpointError: no access or no connection.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="hyperloader")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "tagger"
        save(folder)
        with _explained(repository, None):
            made = api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=made.repo_id,
                folder_path=folder,
                commit_message=message,
                delete_patterns=list(REPLACED),
            )
    return str(commit.commit_url)


@contextmanager
def _explained(repository: str, revision: str | None) -> Iterator[None]:
    """Turn what can go wrong on the way to the Hub into one line that says what to do."""
    from huggingface_hub import errors

    wanted = repository if revision is None else f"{repository} (revision {revision!r})"
    try:
        yield
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{repository} is gated: ask for access on its page on the Hub, then log in with "
            "`hf auth login` or give token="
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise CheckpointError(
            f"the Hub has no {wanted}, or it is private; check the name, or log in with "
            "`hf auth login`. (A folder of that name does not exist here either.)"
        ) from error
    except errors.HFValidationError as error:
        raise CheckpointError(
            f"{repository!r} is no name on the Hub: {first_line(error)}; write owner/name"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{wanted} is not in the local cache and the Hub cannot be reached; connect once, or "
            "give the path of a folder"
        ) from error
    except (errors.HTTPError, OSError) as error:
        raise CheckpointError(
            f"the Hub did not answer for {wanted}: {first_line(error)}; try again later"
        ) from error
