"""What comes and what goes, as the OpenAPI document describes it."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

TEXT = "any good thai place near the harbour open after ten"
ANSWER: dict[str, Any] = {
    "model": "builtin-minilm",
    "results": [
        {
            "text": "thai food",
            "words": ["thai", "food"],
            "offsets": [[0, 4], [5, 9]],
            "spans": [
                {
                    "start": 0,
                    "end": 4,
                    "text": "thai",
                    "label": "Cuisine",
                    "score": 0.98,
                    "word_start": 0,
                    "word_end": 1,
                }
            ],
            "task": "restaurant",
        }
    ],
}
REQUESTS: dict[str, Any] = {
    "one": {"summary": "One text", "value": {"texts": TEXT, "task": "restaurant"}},
    "many": {
        "summary": "Many texts, a task for each",
        "value": {"texts": ["a table for two", "play some jazz"], "task": ["restaurant", "snips"]},
    },
    "choosy": {
        "summary": "Sure spans only, and the three likeliest tags of every word",
        "value": {"texts": TEXT, "task": "restaurant", "min_score": 0.5, "alternatives": 3},
    },
}


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class TagRequest(_Request):
    """Texts to tag."""

    texts: Annotated[str | list[str], Field(description="One text, or a list of them.")]
    task: Annotated[
        str | list[str] | None,
        Field(description="One task for all texts, or one per text. Needed if there are several."),
    ] = None
    model: Annotated[
        str | None,
        Field(description="The tagger; default: the first one that knows the tasks."),
    ] = None
    min_score: Annotated[
        float, Field(ge=0, le=1, description="Spans with a lower score are left out.")
    ] = 0.0
    alternatives: Annotated[
        int, Field(ge=0, le=1000, description="How many likely tags of every word to give.")
    ] = 0
    stream: Annotated[
        bool,
        Field(description="One JSON object per line and text, as soon as it is there."),
    ] = False


class Span(BaseModel):
    """A labelled part of a text; ends are exclusive."""

    start: Annotated[int, Field(description="In characters of the text.")]
    end: int
    text: str
    label: str
    score: float
    word_start: Annotated[int, Field(description="In words of the text.")]
    word_end: int


class Alternative(BaseModel):
    """Tags that a word might have."""

    tags: list[str]
    probability: float


class Tagged(BaseModel):
    """One text; the JSON of ``hyperloader tag --json``."""

    text: str
    words: list[str]
    offsets: list[list[int]]
    spans: list[Span]
    task: str
    alternatives: Annotated[
        list[list[Alternative]] | None, Field(description="Of every word, if asked for.")
    ] = None


class TagAnswer(BaseModel):
    """All texts of a request, in their order."""

    model: str
    results: list[Tagged]


class Task(BaseModel):
    """Something that a tagger can be asked for."""

    model: str
    task: str
    labels: list[str]
    examples: list[str]


class Tasks(BaseModel):
    """All tasks of all taggers."""

    tasks: list[Task]


class Health(BaseModel):
    """``ready``, ``live``, or why not."""

    status: str


class NewTagger(_Request):
    """A tagger to load."""

    path: Annotated[str, Field(description="As hyperloader serve takes it.")]
    name: Annotated[str | None, Field(description="Default: the folder's name.")] = None


class NewTask(_Request):
    """A task to add to a tagger that runs."""

    path: Annotated[str, Field(description="A folder that holds the task.")]
    model: Annotated[str | None, Field(description="The tagger; default: the first one.")] = None


class Problem(BaseModel):
    """What is wrong."""

    code: str
    message: str


class Failure(BaseModel):
    """Every status from 400 on has this form."""

    error: Problem
