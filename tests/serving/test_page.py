"""The page of the service in a real browser: tagging, hostile text, keyboard, names, contrast."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from browser import browser
from hyperloader.tagger import Tagger
from serving_helpers import PATIENCE, Running, serving, small_tagger

CSS = "css selector"
HOSTILE = (
    "<img src=x onerror=window.harmed=1> <script>window.harmed=1</script> "
    "\"'><svg/onload=window.harmed=1> javascript:window.harmed=1 &lt;b&gt; 😀 thing"
)


def until(driver: Any, condition: Callable[[], Any]) -> Any:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(driver, PATIENCE, 0.05, [StaleElementReferenceException])
    return wait.until(lambda _: condition())


def open_page(driver: Any, url: str) -> None:
    driver.get(url)
    until(driver, lambda: driver.find_elements(CSS, "#task option"))


def choose(driver: Any, number: int) -> None:
    driver.find_elements(CSS, "#task option")[number].click()


def tag(driver: Any, text: str) -> list[tuple[str, str]]:
    """Type ``text`` and press the keys; the marked texts with their labels."""
    from selenium.webdriver.common.keys import Keys

    field = driver.find_element(CSS, "#text")
    field.clear()
    driver.execute_script("document.querySelector('#texts').replaceChildren()")
    # Its keyboard has no emoji, so they are pasted.
    driver.execute_script("arguments[0].value = arguments[1]", field, text)
    field.send_keys(Keys.CONTROL, Keys.ENTER)
    until(driver, lambda: driver.find_elements(CSS, "#texts p"))
    return marks(driver)


def marks(driver: Any) -> list[tuple[str, str]]:
    return [
        tuple(pair)
        for pair in driver.execute_script(
            "return [...document.querySelectorAll('mark')].map(m =>"
            " [m.firstChild.data, m.querySelector('small').firstChild.data])"
        )
    ]


def spans(tagger: Tagger, text: str, task: str, least: float = 0.0) -> list[tuple[str, str]]:
    tagged = tagger.tag(text, task, min_score=least)
    return [(span.text, span.label) for span in tagged.spans]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def driver(running: Running) -> Iterator[Any]:
    with browser() as driver:
        yield driver
        complaints = [entry["message"] for entry in driver.get_log("browser")]
        assert not [said for said in complaints if "401" not in said]


@pytest.fixture
def page(driver: Any, running: Running) -> Any:
    open_page(driver, running.url)
    return driver


def test_it_shows_what_the_tagger_finds(page: Any) -> None:
    for number, task in enumerate(small_tagger().tasks):
        choose(page, number)
        text = "show me flights from boston"
        assert tag(page, text) == spans(small_tagger(), text, task)
    count = page.find_element(CSS, "#count").text
    assert count == f"{len(marks(page))} spans"


def test_lines_are_texts_and_offsets_count_characters(page: Any) -> None:
    choose(page, 2)
    tag(page, "😀 one thing 😀 thing\n\nthing")
    shown = page.execute_script(
        "return [...document.querySelectorAll('#texts p')].map(p => {"
        " const copy = p.cloneNode(true);"
        " copy.querySelectorAll('small').forEach(s => s.remove()); return copy.textContent })"
    )
    assert shown == ["😀 one thing 😀 thing", "thing"]


def test_hostile_text_is_text(page: Any) -> None:
    choose(page, 2)
    found = tag(page, HOSTILE)
    assert found == spans(small_tagger(), HOSTILE, "one")
    assert any("<" in text for text, _ in found)
    page.find_element(CSS, "summary").click()
    page.execute_script("document.querySelector('mark').focus()")
    assert page.execute_script("return window.harmed") is None
    inside = "return document.querySelectorAll('main img, main script, main svg, #tip img').length"
    assert page.execute_script(inside) == 0


def test_code_in_the_page_would_not_run(driver: Any, running: Running) -> None:
    """The policy holds in the browser, should text ever become markup."""
    open_page(driver, running.url)
    driver.execute_script(
        "const script = document.createElement('script'); try { script.text = 'window.harmed = 1';"
        " document.body.append(script) } catch (error) { window.refused = true }"
    )
    assert driver.execute_script("return [window.harmed ?? 0, window.refused]") == [0, True]
    driver.get_log("browser")  # which told of it


def test_the_threshold_hides_spans_and_asks_nobody(page: Any, running: Running) -> None:
    choose(page, 1)
    text = "show me flights from boston"
    tag(page, text)
    before = running.service.batcher.metrics.text().count(b"\n"), len(marks(page))
    scores = sorted(span.score for span in small_tagger().tag(text, "flights").spans)
    least = round((scores[0] + scores[-1]) / 2, 2)
    page.execute_script(
        "const e = document.querySelector('#least'); e.value = arguments[0];"
        "e.dispatchEvent(new Event('input'))",
        least,
    )
    shown = spans(small_tagger(), text, "flights", least)
    assert 0 < len(shown) < before[1]
    assert marks(page) == shown
    assert page.find_element(CSS, "#count").text == f"{len(shown)} of {before[1]} spans"


def test_alternatives_come_with_the_keyboard_and_go_with_escape(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    choose(page, 1)
    tag(page, "show me flights from boston")
    keys = ActionChains(page)
    tip = page.find_element(CSS, "#tip")
    for _ in range(4):  # from the text over the button to the first span
        if page.execute_script("return document.activeElement.tagName") == "MARK":
            break
        keys.send_keys(Keys.TAB).perform()
    assert page.execute_script("return document.activeElement.tagName") == "MARK"
    assert tip.is_displayed()
    tagged = small_tagger().tag("show me flights from boston", "flights", alternatives=3)
    first = tagged.alternatives[tagged.spans[0].word_start]
    for tags, probability in first:
        assert " | ".join(tags[:3]) in tip.text
        assert f"{100 * probability:.1f} %" in tip.text
    keys.send_keys(Keys.ESCAPE).perform()
    assert not tip.is_displayed()
    keys.move_to_element(page.find_elements(CSS, "mark")[-1]).perform()
    assert tip.is_displayed()


def copied(page: Any, form: str) -> str:
    page.execute_script(
        "window.copied = null; Object.defineProperty(navigator, 'clipboard', {configurable: true,"
        " value: {writeText: async (text) => { window.copied = text }}})"
    )
    page.find_element(CSS, f"[data-copy={form}]").click()
    return str(until(page, lambda: page.execute_script("return window.copied")))


def test_what_is_copied(page: Any) -> None:
    choose(page, 2)
    tag(page, HOSTILE + "\none thing")
    tagged = small_tagger().tag([HOSTILE, "one thing"], "one")
    lines = [json.loads(line) for line in copied(page, "json").splitlines()]
    for line, expected in zip(lines, tagged, strict=True):
        document = expected.to_dict()
        assert {**line, "spans": None} == {**document, "spans": None}
        assert [s["text"] for s in line["spans"]] == [s.text for s in expected.spans]
    rows = [row.split("\t") for row in copied(page, "conll").split("\n\n")[0].splitlines()]
    assert [word for word, _ in rows] == list(tagged[0].words)
    assert [t[0] for _, t in rows].count("B") == len(tagged[0].spans)
    html = copied(page, "html")
    assert html.count("<mark ") == sum(len(t.spans) for t in tagged)
    assert html.count("<") == 2 * html.count("<mark ") + 2 * 2  # marks and paragraphs, no others


def test_the_task_list(page: Any) -> None:
    shown = page.execute_script(
        "return [...document.querySelectorAll('.task')].map(t => ["
        "t.querySelector('h3').textContent,"
        " [...t.querySelectorAll('li')].map(l => l.textContent)])"
    )
    assert shown == [[task, list(small_tagger().labels(task))] for task in small_tagger().tasks]


NAMELESS = """
const named = (e) => e.labels?.length || e.ariaLabel || e.getAttribute('aria-labelledby')
  || e.textContent.trim() || e.title;
return [...document.querySelectorAll('button, select, textarea, input, a, [role=region]')]
  .filter(e => !named(e)).map(e => e.outerHTML)
"""
CONTRAST = """
const context = document.createElement('canvas').getContext('2d');
const light = (colour) => {
  context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const behind = (e) => { while (getComputedStyle(e).backgroundColor === 'rgba(0, 0, 0, 0)')
  e = e.parentElement; return getComputedStyle(e).backgroundColor };
const found = [];
for (const e of document.querySelectorAll('body *')) {
  const words = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  if (!words || !e.getClientRects().length || getComputedStyle(e).opacity < 1) continue;
  const [one, other] = [light(getComputedStyle(e).color), light(behind(e))];
  const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
  found.push([ratio, e.tagName + ' ' + e.className + ' ' + e.textContent.slice(0, 30)]);
}
return found
"""


def test_everything_has_a_name_and_headings_are_in_order(page: Any) -> None:
    tag(page, "show me flights")
    assert page.execute_script(NAMELESS) == []
    levels = page.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.execute_script("return document.documentElement.lang") == "en"
    roles = {"#problem": "alert", "#count": "status", "#copied": "status", "#tip": "tooltip"}
    for selector, role in roles.items():
        assert page.find_element(CSS, selector).get_attribute("role") == role


@pytest.mark.parametrize(("scheme", "width"), [("light", 1000), ("dark", 360)])
def test_contrast_and_width(page: Any, scheme: str, width: int) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    tag(page, "play the song little robin redbreast\n" + "w" * 300)
    found = page.execute_script(CONTRAST)
    assert len(found) > 20
    assert [pair for pair in found if pair[0] < 4.5] == []
    is_dark = "return matchMedia('(prefers-color-scheme: dark)').matches"
    assert page.execute_script(is_dark) == (scheme == "dark")
    widths = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
    scroll, client = page.execute_script(widths)
    assert scroll <= client


def test_errors_and_keys(driver: Any) -> None:
    with serving(max_characters=50, api_keys=("secret",)) as running:
        driver.get(running.url)
        field = driver.find_element(CSS, "#key")
        until(driver, field.is_displayed)
        field.send_keys("wrong\n")
        until(driver, lambda: "API key" in driver.find_element(CSS, "#problem").text)
        field.clear()
        field.send_keys("secret\n")
        until(driver, lambda: driver.find_elements(CSS, "#task option"))
        assert not field.is_displayed()
        text = driver.find_element(CSS, "#text")
        text.send_keys("a" * 51)
        driver.find_element(CSS, "#tag").click()
        problem = driver.find_element(CSS, "#problem")
        until(driver, lambda: "51 characters" in problem.text)
    driver.find_element(CSS, "#tag").click()
    until(driver, lambda: "is it running?" in problem.text)
    driver.get_log("browser")  # which told of the statuses
