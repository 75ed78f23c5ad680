"""Tasks that come to a tagger, leave it, and are saved by themselves."""

from abc import abstractmethod
from functools import partial
from pathlib import Path
from threading import Lock

from hyperloader import hub
from hyperloader.checkpoint import Checkpoint
from hyperloader.saving import Saving
from hyperloader.task_part import added, load_part, part_of, removed, renamed, save_part

# One change at a time: each begins with what the one before has left. (Of all taggers, as a lock of
# their own would keep them from being copied.)
_changing = Lock()


class Tasks(Saving):
    """How the tasks of a :class:`~hyperloader.tagger.Tagger` change while it is in use.

    A call that tags is answered by the tasks that were there when it began. All tasks that stay
    answer as before; what tasks share is neither copied nor changed.
    """

    @abstractmethod
    def _take_over(self, checkpoint: Checkpoint) -> None:
        """Let every call from now on be answered by ``checkpoint``."""

    def add(
        self,
        task: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> str:
        """Add the task that :meth:`save_task` saved, or ``owner/name`` on the Hub; its name.

        Args:
            task: a folder, or a name on the Hub, as for :meth:`from_pretrained`, as are the others.

        Raises:
            CheckpointError: nothing there, damaged, or a task of another model.
            ConfigError: there is a task of that name already.
        """
        if revision is not None or hub.is_repository(task):
            task = hub.fetch(str(task), revision, cache_dir, local_files_only, token)
        with _changing:
            part = load_part(Path(task), self.checkpoint.model)
            self._take_over(added(self.checkpoint, part))
        return part.name

    def remove(self, task: str) -> None:
        """Let go of ``task``. Raises HyperloaderError for an unknown task, and the only one."""
        with _changing:
            self._take_over(removed(self.checkpoint, task))

    def rename(self, task: str, name: str) -> None:
        """Call ``task`` by another ``name``. Raises HyperloaderError for an unknown task, and a
        name that is taken or cannot be one."""
        with _changing:
            self._take_over(renamed(self.checkpoint, task, name))

    def save_task(self, task: str, path: str | Path, *, overwrite: bool = False) -> None:
        """Save what is the own of ``task`` as a small folder, atomically; :meth:`add` takes it.

        It fits taggers that have in common with this one all that tasks share, whatever tasks
        they have.

        Raises:
            HyperloaderError: an unknown task.
            TargetError: ``path`` holds something else, or (without ``overwrite``) a task.
        """
        here = self.checkpoint
        save_part(Path(path), part_of(here, task), here.model, overwrite=overwrite)

    def push_task_to_hub(
        self,
        task: str,
        repository: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        message: str = "Upload task",
    ) -> str:
        """Upload what :meth:`save_task` saves to the Hugging Face Hub; the commit's address.

        Arguments and errors as of :meth:`push_to_hub`.
        """
        save = partial(self.save_task, task)
        return hub.share(save, repository, private=private, token=token, message=message)
