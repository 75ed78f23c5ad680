"""Where the words of a text are: one splitter for tagging and for reading character spans.

``whitespace``: words are what white space separates, as in the paper.

``punctuation``: punctuation is apart; what else is written together stays together (``8:30pm``,
``don't``, ``well-known``).

``text``: words as treebanks have them: contractions, units and hyphens are apart too (``8:30 pm``,
``do n't``, ``well - known``).

``text-hyphens``: the same with hyphenated words whole, as in CoNLL-2003. docs/words.md lists the
rules.

Marks, soft hyphens and other invisible characters belong to the character before them and never
change how the visible ones are split.
"""

import re
import unicodedata
from functools import cache
from typing import Literal, get_args

from hyperloader.errors import ConfigError, unknown

WordRule = Literal["whitespace", "punctuation", "text", "text-hyphens"]
# What ends a sentence or a part of one, as words of their own.
SENTENCE_MARKS = frozenset(".,;:!?…。，；：！？")
WORD_RULES: tuple[WordRule, ...] = get_args(WordRule)

_BLANK_SEPARATED = re.compile(r"\S+")
_ZWJ, _KEYCAP = "\u200d", "\u20e3"
# Letters by category that are written onto the letter before them: Thai and Lao am, the marks of
# half-width katakana.
_JOINED = "\u0e33\u0eb3\uff9e\uff9f"

# Scripts written without spaces: Chinese, Japanese, Thai, Lao, Burmese, Khmer.
_ALONE = (
    "\u2e80-\u2fdf\u3005-\u30ff\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9d\U0001b000-\U0001b16f\U00020000-\U0003ffff"
    "\u0e01-\u0e4e\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"
)
_LETTER = rf"[^\W\d_{_ALONE}]"
_WORD = rf"[^\W_{_ALONE}]"  # a letter or a digit
_NAME = rf"[^\W{_ALONE}]"  # or an underscore
_UPPER = "A-ZÀ-ÖØ-ÞΑ-ΩА-ЯЁ"
_CLITIC = rf"['’](?i:s|m|d|ll|re|ve)(?!{_WORD})"
_NOT = rf"(?i:n['’]t)(?!{_WORD})"
_BRACKETED = r"\([^\s()]{0,200}\)"
_LINK = rf"(?:{_NAME}|[/?\#&=%~+.,:;@!$*'|-]|{_BRACKETED})*(?:{_NAME}|[/\#&=%~+-]|{_BRACKETED})"
_TOP_DOMAIN = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|dev|app|tv|eu|uk|us|ca|au|nz|ie|de|fr|es|nl|ch|se"
    "|pl|cz|ru|ua|cn|jp|kr|tw|br|mx|za"
)
_DOMAIN = rf"(?:{_WORD}(?:{_NAME}|-){{0,62}}+\.){{1,8}}(?i:{_TOP_DOMAIN})(?!\.?{_WORD}|[-@])"
_ABBREVIATION = (
    "(?-i:Co)|mr|mrs|ms|mx|dr|prof|st|jr|sr|inc|ltd|corp|bros|vs|etc|gen|col|sgt|lt|capt|cmdr|adm|maj|rev"
    "|hon|gov|sen|messrs|ave|blvd|dept|univ|approx|est|ca|cf|al|jan|feb|apr|aug|sept|oct|nov|dec"
)
_BEFORE_NUMBER = "no|nos|fig|figs|eq|eqs|p|pp|vol|vols|ch|sec|art|op"
_UNIT = (
    "am|pm|a\\.m|p\\.m|km|cm|mm|nm|kg|mg|lb|lbs|oz|ft|mph|kmh|kph|hz|khz|mhz|ghz|kb|mb|gb|tb|kw|mw"
    "|gw|kwh|hrs|mins|secs"
)
_FUSED = rf"can(?=not(?!{_WORD}))|(?:gon|wan)(?=na(?!{_WORD}))|got(?=ta(?!{_WORD}))"
_NEVER = "(?!)"
# What stays inside a word besides apostrophes and periods.
_INSIDE = {"punctuation": "[-/:+]", "text-hyphens": "-", "text": rf"(?<={_LETTER})-(?=\d)"}


@cache
def _pattern(rule: str) -> re.Pattern[str]:
    """All words of a rule."""
    clitic, no_t, unit, fused = _CLITIC, _NOT, _UNIT, _FUSED
    if rule == "punctuation":
        clitic = no_t = unit = fused = _NEVER
    inside = _INSIDE[rule]
    part = rf"(?:\d++(?:[.,]\d++)++(?!{_WORD})|{_WORD}++)"
    joint = (
        rf"""(?:(?!{clitic})['’]|(?<=[{_UPPER}])\.|\.(?![{_UPPER}])|[&·]|_+|{inside}"""
        r"""|(?<=[א-ת])["״׳](?=[א-ת]))"""
    )
    parts = rf"{part}(?:{joint}{part})*+"
    return re.compile(
        rf"""
    # most words
      (?<!\S)(?!(?i:{fused}))[A-Za-z]++(?!\S)
    # links and addresses
    | (?i:https?|ftps?)://{_LINK} | (?i:www\.){_LINK}
    | {_WORD}(?:{_NAME}|[.+-]){{0,63}}@(?:{_WORD}(?:{_NAME}|-){{0,62}}+\.){{1,8}}{_LETTER}{{2,24}}
    | {_DOMAIN}(?:[/?]{_LINK})?
    | (?<!{_WORD})[\#@](?={_LETTER}){_NAME}+
    # faces
    | (?<!{_WORD})[:;=]['^-]?[()\[\]DPp3/\\|*](?![\w/]) | <3(?!{_WORD})
    # abbreviations
    | (?<!{_LETTER}){_LETTER}(?:\.{_LETTER})+(?!{_WORD})\.?(?:{inside}{parts})?+
    | (?<!{_WORD})(?:(?:Ph|Ed|Psy)\.D|[BMD]\.(?:Sc|Ed|Eng|Phil|Tech))(?!{_WORD})\.?
    | (?<!{_WORD})(?i:{_ABBREVIATION})\.(?!\.)
    | (?<!{_WORD})(?i:{_BEFORE_NUMBER})\.(?=\s?\d)
    | (?<!{_WORD})(?!I\.)[v{_UPPER}]\.(?=\s{{1,3}}[{_UPPER}]|\s{{0,3}}[,;:)])
    | (?<!{_WORD})(?i:[cw]/o|n/a)(?!{_WORD})
    # numbers, dates, times
    | \d{{4}}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?(?!{_WORD})
    | (?:(?<![\w)\]])[+−-])?
      (?:\d++(?:-\d++){{2,}}+|\d++(?:/\d++)++|\d++(?::\d++)++(?:[.,]\d++)?+|\d++(?:[.,]\d++)*+
        |(?<![\w.])\.\d++)
      (?=(?i:{unit})(?!{_WORD})|(?!{joint}?{_WORD}))
    | (?<!{_WORD})(?:US|CA|AU|NZ|HK|C|A|R|S)\$(?=\s?\d)
    # English contractions
    | {no_t} | (?<={_WORD}){clitic} | {clitic}(?!\S)
    | (?<!{_WORD})['’](?:(?i:em|tis|twas|cause|til|n['’])|\d\ds?)(?!{_WORD})
    | {_LETTER}+?(?={no_t})
    | (?<!{_WORD})(?i:{fused})
    # words
    | (?<!{_WORD})(?:[Cc]\+\+|[CFcf]\#)(?!{_WORD})
    | {parts}
    # signs
    | -[LR][RSC]B- | `` | '' | \.\.+ | [!?]+ | ([=*~_/\#+|\\^<>-])\1+ | [—–]+
    | \S
    """,
        re.VERBOSE,
    )


def split_words(text: str, rule: str = "whitespace") -> list[tuple[int, int]]:
    """The place of every word of ``text``: start and end in characters, in order.

    Every character that is not white space is in exactly one word, and no word holds white space.

    Raises:
        ConfigError: an unknown rule.
    """
    if rule == "whitespace":
        return [match.span() for match in _BLANK_SEPARATED.finditer(text)]
    check_rule(rule)
    pattern = _pattern(rule)
    if text.isascii():
        return [match.span() for match in pattern.finditer(text)]
    visible, starts = _clusters(text)
    return [(starts[m.start()], starts[m.end()]) for m in pattern.finditer(visible)]


def check_rule(rule: str | None) -> None:
    """Raise ConfigError for an unknown rule; None is no rule."""
    if rule is not None and rule not in WORD_RULES:
        raise ConfigError(unknown("word rule", rule, WORD_RULES))


def _clusters(text: str) -> tuple[str, list[int]]:
    """One visible character for each cluster of ``text``, and where the clusters begin.

    A cluster is a character with what belongs to it: marks, invisible characters, the parts of
    one emoji. White space is a cluster of its own. The last start is the length of the text.
    """
    visible: list[str] = []
    starts: list[int] = []
    base = "space"  # the kind of the cluster's visible character
    for i, char in enumerate(text):
        kind = _kind(char)
        if "space" in (base, kind):
            joined = False
        elif base == "mark":  # nothing visible yet
            joined, base, visible[-1] = True, kind, char
        elif kind == "flag" == base:
            joined, base = True, "flags"
        else:
            joined = kind == "mark" or (kind == "symbol" == base and text[i - 1] == _ZWJ)
        if not joined:
            visible.append(char)
            starts.append(i)
            base = kind
        elif char == _KEYCAP:
            visible[-1] = char
    return "".join(visible), [*starts, len(text)]


def _kind(char: str) -> str:
    """What decides whether ``char`` belongs to the character before it."""
    if char.isspace():
        return "space"
    if char.isascii():
        return "other"
    category = unicodedata.category(char)
    if category in ("Mn", "Mc", "Me", "Cf") or char in _JOINED or "🏻" <= char <= "🏿":
        return "mark"
    if "🇦" <= char <= "🇿":
        return "flag"
    return "symbol" if category in ("So", "Sm") else "other"
