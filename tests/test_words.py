"""The splitter: every visible character is in one word, whatever the text; words as treebanks."""

import re

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from hyperloader.errors import ConfigError
from hyperloader.words import WORD_RULES, split_words

PIECES = st.sampled_from(
    [
        *("don't", "'s", "’re", "U.S.", "a.m.", "8pm", "8:30", "$5.50", "http://a.b/c", "a@b.co"),
        *("#tag", "@me", "J.", "Mr.", "...", "?!", "``", "''", "well-known", "19-year-old", ":)"),
        *(
            "👩‍👩‍👧",
            "👍🏽",
            "🇩🇪🇫🇷",
            "1️⃣",
            "e\u0301",
            "日本",
            "ไทย",
            "שָׁלוֹם",
            "بَيْت",
            "\u00ad",
            "\u200b",
        ),
        *("\ufeff", "\u200d", "\u202e", "\U000e0067", "\ud800", "\x00", "_", "n't", "(", '"', "ﬁ"),
        *(" ", "\n", "\u00a0", "\u3000", "\u2028", "\x1f", "."),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join))


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in split_words(text, "text")]


@pytest.mark.parametrize("rule", WORD_RULES)
@given(text=TEXTS)
@example(text="")
@example(text=" \ufeff\u0301 \u200d")
@example(text="a\u200d😀\u0301")
def test_every_visible_character_is_in_exactly_one_word(rule: str, text: str) -> None:
    places = split_words(text, rule)
    borders = [border for place in places for border in place]
    assert borders == sorted(borders)
    assert all(start < end for start, end in places)
    assert [i for a, b in places for i in range(a, b)] == [
        i for i, char in enumerate(text) if not char.isspace()
    ]


@given(text=TEXTS)
def test_white_space_is_the_rule_of_the_paper(text: str) -> None:
    assert [text[a:b] for a, b in split_words(text)] == text.split()


@given(text=TEXTS)
def test_what_readers_see_as_one_character_is_never_cut(text: str) -> None:
    """By Unicode's grapheme clusters; those that hold white space or a prefix sign aside."""
    borders = {border for place in split_words(text, "text") for border in place}
    for found in regex.finditer(r"\X", text):
        if re.search(r"\s", found.group()) or regex.search(
            r"\p{Grapheme_Cluster_Break=Prepend}", found.group()
        ):
            continue
        assert not borders & set(range(found.start() + 1, found.end())), found


INVISIBLE = ["\u00ad", "\u200b", "\u200c", "\u2060", "\u0301", "\u064e", "\ufe0f"]


@given(
    parts=st.lists(st.sampled_from(["don't", "8pm,", "(U.S.)", "a-b", "Mr. X", "$5"]), max_size=5),
    data=st.data(),
)
def test_invisible_characters_change_no_word(parts: list[str], data: st.DataObject) -> None:
    text = " ".join(parts)
    places = [i + 1 for i, char in enumerate(text) if not char.isspace()]
    chosen = data.draw(st.sets(st.sampled_from(places))) if places else set()
    noisy = "".join(
        char + (data.draw(st.sampled_from(INVISIBLE)) if i + 1 in chosen else "")
        for i, char in enumerate(text)
    )
    assert ["".join(c for c in w if c not in INVISIBLE) for w in words(noisy)] == words(text)


@given(text=TEXTS)
def test_words_that_are_set_apart_stay_as_they_are(text: str) -> None:
    """So a tokenised sentence is tagged with the words that its raw text has."""
    once = words(text)
    assert words(" ".join(once)) == once


# Text, and its words with "|" between them, by the conventions of the Penn treebank and of UD.
CASES = """
at Chez Panisse, tonight at 8pm. = at|Chez|Panisse|,|tonight|at|8|pm|.
He said "no" (twice). = He|said|"|no|"|(|twice|)|.
I don't, can't, won't, ain't = I|do|n't|,|ca|n't|,|wo|n't|,|ai|n't
DON’T I’m she'd they'll we're I've = DO|N’T|I|’m|she|'d|they|'ll|we|'re|I|'ve
I couldn't've = I|could|n't|'ve
John's, the dogs' bowls = John|'s|,|the|dogs|'|bowls
O'Brien's l'homme o'clock = O'Brien|'s|l'homme|o'clock
'tis the '90s, rock 'n' roll, get 'em = 'tis|the|'90s|,|rock|'n'|roll|,|get|'em
I cannot; gonna, gotta, wanna = I|can|not|;|gon|na|,|got|ta|,|wan|na
canny gonnage = canny|gonnage
$5.50, US$3, €5m, 5€, 10% = $|5.50|,|US$|3|,|€|5m|,|5|€|,|10|%
1,000.50; 3.14; .5; -5; +3; 1/2 = 1,000.50|;|3.14|;|.5|;|-5|;|+3|;|1/2
8:30pm 8:30 10:15:30 8 p.m. 8a.m. = 8:30|pm|8:30|10:15:30|8|p.m.|8|a.m.
10km 5kg 1st 3D 90s 4x4 = 10|km|5|kg|1st|3D|90s|4x4
2024-12-31 31.12.2024 12/31/2024 9/11 = 2024-12-31|31.12.2024|12/31/2024|9/11
2024-12-31T10:00:00Z 555-123-4567 = 2024-12-31T10:00:00Z|555-123-4567
2004-2008, 2004–2008, 5-7pm = 2004|-|2008|,|2004|–|2008|,|5|-|7|pm
the U.S., e.g. at 8 a.m. = the|U.S.|,|e.g.|at|8|a.m.
Mr. X vs. Dr.Who; J.K.Rowling, Ph.D. = Mr.|X|vs.|Dr.|Who|;|J.K.|Rowling|,|Ph.D.
Samuel L. Jackson and I. Plan B. = Samuel|L.|Jackson|and|I|.|Plan|B|.
No. 5 or no. He went. = No.|5|or|no|.|He|went|.
Go to https://a.org/b_(c)?d=e#f. = Go|to|https://a.org/b_(c)?d=e#f|.
(www.a.com/b), bbc.co.uk; my-site.org/x = (|www.a.com/b|)|,|bbc.co.uk|;|my-site.org/x
file.txt end.Next = file.txt|end|.|Next
write to jo.b-c+d@mail.example.com! = write|to|jo.b-c+d@mail.example.com|!
#Paris2024 #1 @jo_b C# C++ = #Paris2024|#|1|@jo_b|C#|C++
AT&T R&D foo_bar _so_ = AT&T|R&D|foo_bar|_|so|_
well-known 19-year-old Paris-based = well|-|known|19|-|year|-|old|Paris|-|based
COVID-19 F-16 U.S.-led = COVID-19|F-16|U.S.|-|led
and/or w/o n/a = and|/|or|w/o|n/a
wait... what?! no—really -- yes… = wait|...|what|?!|no|—|really|--|yes|…
``so'' -LRB- x -RRB- do n't John 's = ``|so|''|-LRB-|x|-RRB-|do|n't|John|'s
'Re-elected' = '|Re|-|elected|'
fun :) sad :-( <3 note:(a) = fun|:)|sad|:-(|<3|note|:|(|a|)
good😀👍🏽👩‍👩‍👧 🇩🇪🇫🇷 1️⃣ ❤️‍🔥 = good|😀|👍🏽|👩‍👩‍👧|🇩🇪|🇫🇷|1️⃣|❤️‍🔥
東京タワー、へ。iPhone用 = 東|京|タ|ワ|ー|、|へ|。|iPhone|用
กำลัง = กำ|ลั|ง
서울에 갔다. = 서울에|갔다|.
صَبَاح، الخير؟ = صَبَاح|،|الخير|؟
שָׁלוֹם צה"ל צה״ל תל־אביב = שָׁלוֹם|צה"ל|צה״ל|תל|־|אביב
हिन्दी में। می‌خواهم = हिन्दी|में|।|می‌خواهم
¿Qué? ¡Sí! «oui» „ja“ = ¿|Qué|?|¡|Sí|!|«|oui|»|„|ja|“
"""


@pytest.mark.parametrize("case", [line for line in CASES.splitlines() if line])
def test_words_are_those_of_the_treebanks(case: str) -> None:
    text, _, expected = case.rpartition(" = ")
    assert words(text) == expected.split("|")


def test_a_byte_order_mark_changes_no_word_after_it() -> None:
    assert words("\ufeffthai, in soho") == ["\ufeffthai", ",", "in", "soho"]


@pytest.mark.parametrize(
    "unit",
    ["a", "a.", "(", "www.", "http://(", "a@", "a-", "1-", "1/", "n't", "'", "a_", "#a", "(a"],
)
def test_no_text_takes_long(unit: str) -> None:
    """A rule that looked ahead without bounds would need hours here."""
    places = split_words("http://" + unit * 50_000, "text")
    assert places[-1][1] == 7 + 50_000 * len(unit)


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ConfigError, match="whitespace"):
        split_words("a", "txt")
