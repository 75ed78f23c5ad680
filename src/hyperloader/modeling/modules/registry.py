"""The kinds of modules by name."""

from hyperloader.modeling.modules.adapter import Adapter
from hyperloader.modeling.modules.head import Head
from hyperloader.modeling.modules.kind import Kind
from hyperloader.modeling.modules.lora import Lora
from hyperloader.modeling.modules.prefix import Prefix
from hyperloader.modeling.modules.word_shapes import WordShapes
from hyperloader.registry import Registry

KINDS: Registry[Kind] = Registry(
    "kind of module", (Adapter(), Lora(), Prefix(), Head(), WordShapes())
)
