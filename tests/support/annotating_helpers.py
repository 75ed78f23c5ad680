"""An engine of annotations that needs no other process."""

from collections.abc import Iterator, Sequence

from hyperloader.annotating.local import Event
from hyperloader.annotating.shards import Shard
from hyperloader.annotating.work import Annotator, Job


def here(job: Job, shards: Sequence[Shard], workers: int) -> Iterator[Event]:
    """Do all shards in this process."""
    annotator = Annotator(job, 1)
    for shard in shards:
        yield annotator.annotate(shard, lambda good, bad: None)
