"""The grammar of answers for Hugging Face ``generate``."""

from collections.abc import Callable, Sequence

from torch import Tensor

from hyperloader.codec.windows import EncodedWindow
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.tags import INSIDE, OUTSIDE


def prefix_constraint(
    codec: SentTCodec, windows: Sequence[EncodedWindow]
) -> Callable[[int, Tensor], list[int]]:
    """For ``prefix_allowed_tokens_fn``: what may follow in each row of a batch of ``windows``.

    ``generate`` with it gives the decoder's answers, slowly: a yardstick, and a second opinion.
    """
    sentinels = codec.pieces.sentinels
    number = {sentinel: i for i, sentinel in enumerate(sentinels)}

    def allow(row: int, ids: Tensor) -> list[int]:
        window, made = windows[row], ids.tolist()[1:]
        tags = codec.tag_ids[window.task]
        if not made:
            return [sentinels[0]]
        last = max((i for i, token in enumerate(made) if token in number), default=0)
        word, prefix = number.get(made[last], 0), tuple(made[last + 1 :])
        if word >= window.words:
            return [codec.pieces.pad]
        before = [i for i, token in enumerate(made[:last]) if token in number]
        opened = bool(before) and tuple(made[before[-1] + 1 : last]) != tags[OUTSIDE]
        following = [i for t, i in tags.items() if i[: len(prefix)] == prefix]
        following = [i for i in following if opened or i != tags[INSIDE]]
        return [i[len(prefix)] if len(i) > len(prefix) else sentinels[word + 1] for i in following]

    return allow
