"""Which decoder a model needs."""

from collections.abc import Mapping

from hyperloader.codec.codec import Codec
from hyperloader.modeling.attached import AttachedModel
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.decoding.decoder import Decoder, WindowDecoder
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.decoder import TokenDecoder
from hyperloader.outputs.token_tags.model import TokenTagger


def build_decoder(
    model: AttachedModel, codec: Codec, temperatures: Mapping[str, float] | None = None
) -> WindowDecoder:
    """The decoder of a text-to-text model, or of one with a tagging head.

    Args:
        temperatures: of each task's scores; 1 where a task is not named.

    Raises:
        TypeError: ``codec`` is of the other kind.
    """
    if isinstance(model, TaggingModel) and isinstance(codec, SentTCodec):
        return Decoder(model, codec, temperatures=temperatures)
    if isinstance(model, TokenTagger) and isinstance(codec, TokenCodec):
        return TokenDecoder(model, codec, temperatures=temperatures)
    raise TypeError(f"a {type(model).__name__} does not go with a {type(codec).__name__}")
