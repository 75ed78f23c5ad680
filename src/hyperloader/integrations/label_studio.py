"""Label Studio's machine-learning backend: predictions while people annotate.

What Label Studio asks of a backend is four addresses (``/health``, ``/setup``, ``/predict``,
``/webhook``). Here they are routes of FastAPI, for each task below its name, to run alone
(:func:`app`) or beside others (:func:`router`); ``hyperloader serve`` has them below
``/label-studio``. docs/integrations/annotation-tools.md.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from hyperloader import __version__
from hyperloader.corpora.formats.label_studio import result
from hyperloader.errors import DataError, HyperloaderError, unknown
from hyperloader.tagger import Tagger
from hyperloader.types import TaggedText

Record = dict[str, Any]


class Names(NamedTuple):
    """What a labelling configuration calls things.

    Attributes:
        labels: the configuration's labels, by their names in small letters; empty: any.
        key: where in a task's data the text is.
    """

    from_name: str = "label"
    to_name: str = "text"
    key: str = "text"
    labels: Mapping[str, str] = MappingProxyType({})


class Asked(BaseModel):
    """What ``/predict`` is asked; Label Studio sends more, which is not needed."""

    model_config = ConfigDict(extra="ignore")

    tasks: list[Record]
    label_config: str | None = None


class SetUp(BaseModel):
    """What ``/setup`` is told: the labelling configuration is the ``schema``."""

    model_config = ConfigDict(extra="ignore")

    label_config: str | None = Field(None, alias="schema")


def names_of(config: str | None) -> Names:
    """The first ``<Labels>`` of a labelling configuration that are for a ``<Text>``, and that text.

    Raises:
        DataError: it is no XML, or has no such labels.
    """
    if not config:
        return Names()
    if "<!DOCTYPE" in config or "<!ENTITY" in config:
        raise DataError("a labelling configuration with entities of its own is not read")
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise DataError(f"the labelling configuration is no XML ({error})") from error
    texts = {each.get("name"): each.get("value", "") for each in root.iter("Text")}
    for each in root.iter("Labels"):
        name, target = each.get("name"), each.get("toName")
        if name and target and target in texts:
            known = [label.get("value", "") for label in each.iter("Label")]
            key = texts[target].removeprefix("$")
            return Names(name, target, key, {label.lower(): label for label in known})
    raise DataError("the labelling configuration has no <Labels> for a <Text>; add them")


def predict(
    tagger: Tagger, task: str, tasks: Sequence[Record], names: Names, version: str
) -> list[Record]:
    """A prediction for each of Label Studio's ``tasks``: spans with the labels that it knows.

    Raises:
        DataError: one of them has no text.
        HyperloaderError: one cannot be tagged.
    """
    texts = []
    for each in tasks:
        data = each.get("data")
        text = data.get(names.key) if isinstance(data, dict) else None
        if not isinstance(text, str):
            raise DataError(f"task {each.get('id')} has no text at data.{names.key}")
        texts.append(text)
    return [_prediction(tagged, names, version) for tagged in tagger.tag(texts, task)]


def _prediction(tagged: TaggedText, names: Names, version: str) -> Record:
    results, scores = [], []
    for number, span in enumerate(tagged.spans, start=1):
        label = names.labels.get(span.label.lower()) if names.labels else span.label
        if label is None:
            continue  # a label that people cannot choose either
        place = (span.start, span.end, label, names.from_name, names.to_name)
        results.append({**result(str(number), tagged.text, *place), "score": span.score})
        scores.append(span.score)
    score = sum(scores) / len(scores) if scores else 1.0
    return {"result": results, "score": score, "model_version": version}


def router(tagger: Tagger, tasks: Sequence[str] | None = None) -> APIRouter:
    """The backend's routes, below ``/TASK`` for each of the ``tasks`` (default: all).

    In Label Studio the backend's address is then that of the server with ``/TASK``.
    """
    known = tuple(tasks or tagger.tasks)
    for task in known:
        tagger.labels(task)

    def find(task: str) -> Tagger:
        if task not in known:
            raise HTTPException(404, unknown("task", task, known))
        return tagger

    return add_routes(APIRouter(), find)


def app(tagger: Tagger, tasks: Sequence[str] | None = None) -> FastAPI:
    """A server with nothing but :func:`router`."""
    made = FastAPI(title="hyperloader for Label Studio", version=__version__)
    made.include_router(router(tagger, tasks))
    return made


def add_routes(routes: APIRouter, find: Callable[[str], Tagger]) -> APIRouter:
    """``routes`` with the backend's addresses below ``/TASK``.

    Args:
        find: what tags the task of a name; it raises what the server answers where there is none.
    """
    tags: list[Any] = ["label-studio"]

    @routes.get("/{task:path}/", tags=tags)
    @routes.get("/{task:path}/health", tags=tags)
    def health(task: str) -> Record:
        """Whether it is there."""
        find(task)
        return {"status": "UP", "model_class": "hyperloader"}

    @routes.post("/{task:path}/setup", tags=tags)
    def setup(task: str, asked: SetUp) -> Record:
        """Label Studio says which project it is; the configuration is checked."""
        find(task)
        _names(asked.label_config)
        return {"model_version": _version(task)}

    @routes.post("/{task:path}/predict", tags=tags)
    def predictions(task: str, asked: Asked) -> Record:
        """A prediction for every task of Label Studio's, which is a text."""
        tagger, version = find(task), _version(task)
        try:
            found = predict(tagger, task, asked.tasks, _names(asked.label_config), version)
        except HyperloaderError as error:
            raise HTTPException(400, str(error)) from error
        return {"results": found, "model_version": version}

    @routes.post("/{task:path}/webhook", status_code=201, tags=tags)
    def webhook(task: str, event: Record) -> Record:
        """Label Studio tells what people did; the tagger is not trained by it."""
        find(task)
        return {}

    return routes


def _version(task: str) -> str:
    return f"hyperloader-{__version__}-{task}"


def _names(config: str | None) -> Names:
    try:
        return names_of(config)
    except DataError as error:
        raise HTTPException(400, str(error)) from error
