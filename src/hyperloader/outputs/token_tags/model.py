"""An encoder with modules attached and a tagging head: a tag for every word, in one pass."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperloader.backbones.places import DECODER
from hyperloader.backbones.registry import family_of
from hyperloader.codec.batch import IGNORED
from hyperloader.errors import ConfigError
from hyperloader.modeling import active
from hyperloader.modeling.attached import HEAD, WORD_SHAPES, AttachedModel
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Method
from hyperloader.modeling.modules.head import tag_logits
from hyperloader.modeling.modules.word_shapes import add_shapes
from hyperloader.modeling.sources.label_texts import LabelTexts
from hyperloader.outputs.token_tags.rows import TagRows
from hyperloader.outputs.token_tags.states import LayerMix, first_states, mean_states


class TagScores(NamedTuple):
    """``logits`` (batch, words, T), minus infinity beyond a task's tags, and, where the tags were
    given, the ``loss``."""

    logits: Tensor
    loss: Tensor | None = None


class TokenTagger(AttachedModel):
    """An encoder that chooses a tag for every word, from the states of its sub-tokens.

    The head is a module like those inside of the backbone: its weights come from a source, each
    task has its own, and rows of a batch may have different tasks.

    Args:
        backbone: an encoder without a pooling layer.
        tags: how many tags each task has.
    """

    output = "token_tags"
    tag_counts: Tensor

    def __init__(
        self,
        backbone: Any,
        config: ModelConfig,
        backbone_name: str | None = None,
        *,
        tags: Mapping[str, int],
        method: Method | None = None,
    ) -> None:
        if missing := sorted(set(config.tasks) ^ set(tags)):
            raise ConfigError(f"the head and the model differ in the task {missing[0]!r}")
        if DECODER in (family := family_of(backbone)).stacks:
            raise ConfigError(
                f"a tagging head stands on an encoder, and a {family.name} backbone has a "
                "decoder too; use the output sentt, or a backbone such as minilm"
            )
        super().__init__(backbone, config, backbone_name, tags=max(tags.values()), method=method)
        self.settle(tags=tags)
        rate = getattr(backbone.config, self.family.dropouts[0])
        self.layer_mix = None
        if config.layer_mix:
            self.layer_mix = LayerMix(backbone.config.num_hidden_layers)
        self.dropout = nn.Dropout(rate if config.head_dropout is None else config.head_dropout)

    @property
    def settings(self) -> dict[str, Any]:
        """See :attr:`AttachedModel.settings`."""
        return {"tags": self.tags}

    @property
    def has_dropout(self) -> bool:
        """Whether two passes in training differ."""
        rates = (getattr(self.backbone.config, name) for name in self.family.dropouts)
        return any((self.dropout.p, *rates))

    @property
    def label_texts(self) -> list[LabelTexts]:
        """What makes heads of label texts: one, or nothing."""
        return [m for m in self.source.modules() if isinstance(m, LabelTexts)]

    def settle(self, **settings: Any) -> None:
        """See :meth:`AttachedModel.settle`."""
        self.tags = {task: settings["tags"][task] for task in self.config.tasks}
        counts = torch.tensor(list(self.tags.values()), device=self.device)
        self.register_buffer("tag_counts", counts, persistent=False)

    def _tags(self, tasks: Sequence[int]) -> int:
        """See :meth:`AttachedModel._tags`. A head is made without the tags that only other tasks
        have, so that no task's scores depend on what other tasks there are, rounding included."""
        counts = list(self.tags.values())
        return max(counts[task] for task in tasks)

    @cached_property
    def packs(self) -> bool:
        """Whether several sentences may share a row of a batch: see :attr:`by_token`; the backbone
        must also let itself be told where in its sentence a token is."""
        places = torch.zeros(1, 1, dtype=torch.long)
        return self.by_token and self.family.told_places(self.backbone, places) is not None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        task_ids: Tensor,
        first: Tensor,
        last: Tensor | None = None,
        shapes: Tensor | None = None,
        labels: Tensor | None = None,
        places: Tensor | None = None,
    ) -> TagScores:
        """Logits (batch, words, T), and with ``labels`` the mean cross-entropy of the words.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length), 1 for tokens; or (batch, 1, length, length), added to
                attention.
            task_ids: (1,) when the batch shares a task, else (batch,).
            first: (batch, words), the position of each word's first sub-token; anything at
                the padding of shorter sentences.
            last: the same of each word's last sub-token, where ``config.word_state`` is ``mean``.
            shapes: (batch, words), how each word is written (:mod:`hyperloader.word_shapes`), for
                models with ``config.word_shapes``; default: all in lower case.
            labels: (batch, words), tag numbers; -100 at the padding.
            places: (batch, length), where in its sentence each token is, if several share a row.
        """
        with active.activate(self.weights(task_ids)):
            logits = self.score(
                input_ids,
                attention_mask,
                task_ids=task_ids,
                first=first,
                last=last,
                shapes=shapes,
                places=places,
            )
        loss = None
        if labels is not None:
            loss = F.cross_entropy(
                logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED
            )
        return TagScores(logits, loss)

    def score(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        *,
        task_ids: Tensor,
        first: Tensor,
        last: Tensor | None = None,
        shapes: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Logits with the weights that are in force; arguments as of :meth:`forward`."""
        return self.score_tags(
            input_ids,
            attention_mask,
            counts=self.tag_counts[task_ids],
            first=first,
            last=last,
            shapes=shapes,
            places=places,
        )

    def score_tags(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        *,
        counts: Tensor,
        first: Tensor,
        last: Tensor | None = None,
        shapes: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """As :meth:`score`, where ``counts`` (1,) or (batch,) says how many tags a row may have."""
        words = self._words(input_ids, attention_mask, first, last, shapes, places)
        logits = active.apply_at(HEAD, tag_logits, self.dropout(words))
        used = torch.arange(logits.shape[-1], device=logits.device) < counts[:, None, None]
        return logits.masked_fill(~used, -torch.inf)

    def read_for(self, rows: TagRows, sets: Mapping[str, Tensor]) -> Tensor:
        """Logits (R, W, T) of ``rows`` where every task is asked for other labels: those whose text
        vectors (L, d) ``sets`` holds."""
        (source,) = self.label_texts
        names = list(sets)
        vectors = nn.utils.rnn.pad_sequence([sets[name] for name in names], batch_first=True)
        row = torch.tensor([names.index(task) for task in rows.tasks], device=self.device)
        counts = torch.tensor([1 + 2 * len(sets[task]) for task in rows.tasks], device=self.device)
        heads = active.of_rows({HEAD: source.rows(vectors.to(self.device))}, row)
        with active.activate({**self.weights(self.task_ids(rows.tasks)), **heads}):
            return self.score_tags(
                rows.input_ids,
                rows.attention_mask,
                counts=counts,
                first=rows.first,
                last=rows.last,
                shapes=rows.shapes,
                places=rows.places,
            )

    def _states(
        self, input_ids: Tensor, attention_mask: Tensor | None, places: Tensor | None
    ) -> Tensor:
        """What the head reads of every sub-token, (batch, length, d)."""
        told: dict[str, Any] = {}
        if places is not None:
            told.update(self.family.told_places(self.backbone, places) or {})
        if self.layer_mix is None:
            found = self.backbone(input_ids, attention_mask=attention_mask, **told)
            return found.last_hidden_state
        told["output_hidden_states"] = True
        found = self.backbone(input_ids, attention_mask=attention_mask, **told)
        return self.layer_mix(found.hidden_states[1:])

    def _words(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        first: Tensor,
        last: Tensor | None,
        shapes: Tensor | None,
        places: Tensor | None,
    ) -> Tensor:
        """What the head reads of every word, (batch, words, d)."""
        states = self._states(input_ids, attention_mask, places)
        if self.config.word_state == "mean":
            assert last is not None
            words = mean_states(states, first, last)
        else:
            words = first_states(states, first)
        if not self.config.word_shapes or shapes is None:
            return words
        return active.apply_at(WORD_SHAPES, add_shapes, words, shapes)

    @torch.no_grad()
    def words(self, rows: TagRows) -> Tensor:
        """What the head reads of every word of ``rows``, (R, W, d)."""
        with active.activate(self.weights(self.task_ids(rows.tasks))):
            return self._words(
                rows.input_ids, rows.attention_mask, rows.first, rows.last, rows.shapes, rows.places
            )

    def read(self, rows: TagRows) -> Tensor:
        """Logits (R, W, T) of ``rows``, each with the weights of its task."""
        return self(
            rows.input_ids,
            rows.attention_mask,
            task_ids=self.task_ids(rows.tasks),
            first=rows.first,
            last=rows.last,
            shapes=rows.shapes,
            places=rows.places,
        ).logits
