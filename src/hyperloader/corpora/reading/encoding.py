"""UTF-8 text from bytes, and which encoding bytes probably have that are not UTF-8."""

import codecs
import re

_HIGH = re.compile(rb"[\x80-\xff]+")

# Encoding, the name people know it by, and the letters that most of its text is beyond ASCII:
# of Cyrillic the small ones, which tell its encodings apart.
_CANDIDATES = (
    ("cp1251", "Windows-1251", r"[а-яё]"),
    ("koi8_r", "KOI8-R", r"[а-яё]"),
    ("shift_jis", "Shift JIS", r"[\u3001-\u30ff\u4e00-\u9fff]"),
    ("euc_kr", "EUC-KR", r"[\uac00-\ud7a3]"),
    ("gb18030", "GB18030", r"[\u3001-\u301f\u4e00-\u9fff\uff01-\uff1f]"),
)


def decode(data: bytes) -> str:
    """UTF-8 text without its byte order mark. Raises UnicodeDecodeError."""
    return data.decode("utf-8-sig")


def probable_encoding(data: bytes) -> str:
    """The likely encoding of text that is not UTF-8, by its name for humans."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    if data[1::2].count(0) > len(data) / 8 or data[::2].count(0) > len(data) / 8:
        return "UTF-16"
    runs = [len(run) for run in _HIGH.findall(data)]
    if sum(runs) < 2 * len(runs):  # single letters between ASCII ones: Latin script
        return "Windows-1252"
    scores = {name: _share(data, codec, letters) for codec, name, letters in _CANDIDATES}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] > 0.5 else "Windows-1252"


def _share(data: bytes, codec: str, letters: str) -> float:
    text = data.decode(codec, errors="replace")
    foreign = [char for char in text if char > "\x7f"]
    return sum(bool(re.match(letters, char)) for char in foreign) / max(1, len(foreign))
