"""The page for everyone: light and dark, on a phone, by keyboard alone, with names for screen readers, nothing kept."""

from __future__ import annotations

import pytest

INPUTS = {  # model → label of its field, what is entered, what then appears
    "films": ("Text", "a good film", ".word"),
    "forecasts": ("Series", "1, 2, 3, 2, 1, 2, 3", "svg[role=img]"),
    "numbers": ("Series", "1, 2, 3", ".answer"),
    "reversed": ("Text", "abcabcabcabcabc", ".attention"),
    "steps": ("Series", "1,2\n3,4\n5,6", ".tagged"),
    "spans": ("Sentence", "a b a b a b a b a b a b", ".tagged"),
    "tokens": ("Sentence", "a b", ".tagged"),
    "topics": ("Text", "a good film", ".bars"),
    "words": ("Beginning of the text", "the cat sat " * 20, "canvas"),
    "writer": ("Beginning of the text", "abc " * 40, "canvas"),
}
# The contrast (WCAG 2.2, 1.4.3) of each text with the colour behind it, where that is plain.
CONTRASTS = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number)
        .map((value, i) => (colour.startsWith("color(") && i < 3 ? 255 * value : value));
    const light = (colour) => numbers(colour).slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const colour = getComputedStyle(node).backgroundColor;
            const alpha = numbers(colour)[3] ?? 1;
            if (alpha > 0) return alpha < 1 ? null : colour;
        }
        return "rgb(255, 255, 255)";
    };
    const found = [];
    for (const node of document.body.querySelectorAll("*")) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!own || !node.checkVisibility() || node.closest("svg, .unseen, .skip, :disabled")) continue;
        const back = behind(node);
        if (!back) continue;
        const [a, b] = [light(getComputedStyle(node).color), light(back)].sort((x, y) => y - x);
        found.push([(a + 0.05) / (b + 0.05), node.textContent.slice(0, 40)]);
    }
    return found.sort((x, y) => x[0] - y[0]);
}"""
NAMELESS = """() => [...document.querySelectorAll(
        "input, select, textarea, button, canvas, svg[role], [role=textbox], [role=region]")]
    .filter((node) => node.checkVisibility() && !node.labels?.length)
    .filter((node) => !node.getAttribute("aria-label") && !node.textContent.trim())
    .map((node) => node.outerHTML.slice(0, 80))"""
KEPT = """async () => [localStorage.length, sessionStorage.length, document.cookie.length,
    (await indexedDB.databases()).length, (await caches.keys()).length]"""


def fill(page, model):
    page.select_option("#model", model)
    label, value, shown = INPUTS[model]
    page.get_by_label(label, exact=True).fill(value)
    page.locator(shown).first.wait_for()
    page.locator("canvas").first.wait_for()


def test_nothing_is_wider_than_a_phone(address, open_page):
    page = open_page(address, width=390)
    outside = """() => [...document.querySelectorAll("main *")]
        .filter((node) => node.checkVisibility() && !node.closest(".scroll, svg, .unseen"))
        .filter((node) => node.getBoundingClientRect().right > 390.5).map((node) => node.outerHTML.slice(0, 80))"""
    for model in INPUTS:
        fill(page, model)
        assert page.evaluate(outside) == [], model
        assert page.evaluate("document.documentElement.scrollWidth") == 390, model


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(address, open_page, dark):
    page = open_page(address, dark=dark)
    for model in INPUTS:
        fill(page, model)
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 10, model
        assert contrasts[0][0] >= 4.5, (model, contrasts[:3])


def test_whatever_can_be_used_has_a_name(address, open_page):
    page = open_page(address)
    for model in INPUTS:
        fill(page, model)
        assert page.evaluate(NAMELESS) == [], model


def test_colours_follow_the_system_until_the_button_is_pressed(address, open_page):
    page = open_page(address, "films", dark=True)
    page.get_by_label("Text", exact=True).wait_for()
    paper = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    assert dark == "rgb(18, 22, 28)"
    page.get_by_role("button", name="Change to light colours").click()
    assert page.evaluate(paper) == "rgb(246, 247, 249)"
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Change to dark colours").click()
    assert page.evaluate(paper) == dark


def test_a_picture_changes_its_colours_too(address, open_page):
    page = open_page(address, "films")
    fill(page, "films")
    corner = "() => [...document.querySelector('canvas').getContext('2d').getImageData(1, 1, 1, 1).data]"
    light = page.evaluate(corner)
    page.get_by_role("button", name="Change to dark colours").click()
    assert page.evaluate(corner) != light


def test_all_is_done_by_keyboard_alone(address, open_page, wait_until):
    page = open_page(address, "films")
    page.get_by_label("Text", exact=True).wait_for()
    press = page.keyboard.press
    press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    press("Tab")
    assert page.evaluate("document.activeElement.id") == "model"
    page.keyboard.type("writer")  # a list of choices goes to the one that begins so
    wait_until(page, lambda: page.get_by_label("Beginning of the text").count() == 1)
    press("Tab")
    assert page.evaluate("document.activeElement.id") == "theme"
    press("Tab")
    page.keyboard.type("ab")
    press("Control+Enter")
    wait_until(page, lambda: page.locator(".symbol").count() > 3)
    press("Escape")
    page.get_by_text("Stopped after").wait_for()
    reached = set()
    for _ in range(25):
        press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName + document.activeElement.className"))
    assert {"CANVAS", "DIVtext writing", "BUTTONmain", "SELECT", "INPUT"} <= reached
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_screen_readers_are_told_the_answer(address, open_page, wait_until):
    page = open_page(address, "films")
    fill(page, "films")
    said = page.locator(".unseen[role=status]")
    assert said.inner_text() == page.locator(".answer").inner_text()
    page.select_option("#model", "tokens")
    page.get_by_label("Sentence", exact=True).fill("a b")
    wait_until(page, lambda: page.locator(".unseen[role=status]").inner_text().startswith("2 tags, the last one "))


def test_nothing_that_was_typed_is_kept(address, open_page):
    page = open_page(address, "films")
    fill(page, "films")
    assert page.evaluate(KEPT) == [0, 0, 0, 0, 0]
    assert page.url == f"{address}/#films"
    page.reload()
    assert page.get_by_label("Text", exact=True).input_value() == ""
    assert page.locator("#model").input_value() == "films"  # the address names the model, and nothing else
