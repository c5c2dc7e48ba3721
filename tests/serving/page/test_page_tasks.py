"""Each kind of model is tried on the page by clicking and typing, and the page shows what the model says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from stepscan.serving.inside import trace, word_effects

SHARE = re.compile(r"(\d+\.\d) %")


def texts(locator):
    return [re.sub(r"\s+", " ", text).strip() for text in locator.all_inner_texts()]


def test_a_classifier_answers_with_probabilities_and_the_words_that_mattered(address, open_page, loaded):
    page, model, text = open_page(address, "films"), loaded["films"], "a good, good film"
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("heading", name="Words that mattered").wait_for()
    [record], [p] = model.predict_records([text]), model.predict_proba([text])
    assert texts(page.locator(".answer")) == [record["label"]]
    shown = dict(zip(texts(page.locator(".bars dt")), texts(page.locator(".bars .figure")), strict=False))
    for label, probability in zip(model.labels_, p, strict=True):
        assert float(SHARE.fullmatch(shown[label])[1]) == pytest.approx(100 * probability, abs=0.051)
    found = word_effects(model, text)
    words = page.locator(".word")
    assert texts(words) == [text[word.start : word.end] for word in found.words]
    for mark, word in zip(words.all(), found.words, strict=True):
        assert ("for" if word.effect >= 0 else "against") in mark.get_attribute("class")
        assert f"{100 * word.without:.1f} %" in mark.get_attribute("title")
    assert page.locator(".text").inner_text() == text


def test_an_emptied_text_has_no_answer(address, open_page):
    page = open_page(address, "films")
    page.get_by_label("Text", exact=True).fill("a film")
    page.locator(".word").first.wait_for()
    page.get_by_label("Text", exact=True).fill("")
    page.get_by_text("The answer appears here.").wait_for()
    assert page.locator(".word, canvas").count() == 0


def test_several_labels_have_their_own_probabilities(address, open_page, loaded):
    page, model = open_page(address, "topics"), loaded["topics"]
    page.get_by_label("Text", exact=True).fill("a good film")
    page.locator(".bars").first.wait_for()
    [record] = model.predict_records(["a good film"])
    expected = ", ".join(record["labels"]) or "none of the labels"
    assert texts(page.locator(".answer")) == [expected]
    figures = sorted(
        float(SHARE.fullmatch(text)[1]) for text in texts(page.locator(".bars .figure"))[: len(model.labels_)]
    )
    assert figures == pytest.approx(sorted(100 * model.predict_proba(["a good film"])[0]), abs=0.051)


def test_a_series_is_dragged_in_and_a_number_comes_out(address, open_page, loaded):
    page, model = open_page(address, "numbers"), loaded["numbers"]
    page.evaluate("""() => {
        window.given = new DataTransfer();
        window.given.items.add(new File(["value\\n1.5\\n2\\n-0.25\\n"], "walk.csv", { type: "text/csv" }));
    }""")
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": page.evaluate_handle("window.given")})
    page.locator(".answer").wait_for()
    page.get_by_text("walk.csv: 3 steps").wait_for()
    expected = float(model.predict([np.array([[1.5], [2.0], [-0.25]])])[0])
    assert float(page.locator(".answer").inner_text().replace("−", "-")) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["tokens", "spans"])
def test_a_sentence_is_tagged_as_one_types(address, open_page, loaded, wait_until, name):
    page, model = open_page(address, name), loaded[name]
    box = page.get_by_label("Sentence", exact=True)
    box.press_sequentially("a b")
    wait_until(page, lambda: page.locator(".tagged").count() == 2)
    box.press_sequentially(", a")
    wait_until(page, lambda: page.locator(".tagged").count() == 4)
    tokens = ["a", "b", ",", "a"]
    assert texts(page.locator(".tagged span")) == tokens
    assert texts(page.locator(".tagged small")) == model.predict([tokens])[0]
    page.get_by_label("Punctuation is a token of its own").uncheck()
    wait_until(page, lambda: page.locator(".tagged").count() == 3)
    assert texts(page.locator(".tagged span")) == ["a", "b,", "a"]
    page.get_by_text("As a table, with probabilities").click()
    [p] = model.predict_proba([["a", "b,", "a"]])
    shown = [float(SHARE.fullmatch(text)[1]) for text in texts(page.locator("td:last-child"))]
    assert shown == pytest.approx(100 * p.max(axis=1), abs=0.051)


def test_steps_of_two_numbers_are_tagged(address, open_page, loaded, wait_until):
    page, model = open_page(address, "steps"), loaded["steps"]
    page.get_by_label("Series", exact=True).fill("x;y\n1.5;0\n-1;0.25\n2;1")
    wait_until(page, lambda: page.locator(".tagged").count() == 3)
    assert texts(page.locator(".tagged span")) == ["1.5, 0", "−1, 0.25", "2, 1"]
    expected = model.predict([np.array([[1.5, 0.0], [-1.0, 0.25], [2.0, 1.0]])])[0]
    assert texts(page.locator(".tagged small")) == expected
    page.get_by_label("Series", exact=True).fill("1;2\n3")
    page.get_by_text("Line 2: expected 2 numbers, got 1. This model reads series of 2 a step.").wait_for()


def test_a_translation_comes_with_its_attention(address, open_page, loaded):
    page, model = open_page(address, "reversed"), loaded["reversed"]
    page.get_by_label("Text", exact=True).fill("abca")
    page.locator(".attention").wait_for()
    expected = model.translate(["abca"])[0][0].text
    assert texts(page.locator(".answer")) == [expected or "(nothing)"]
    source, target, weights = model.attention_weights("abca", expected)
    assert texts(page.locator(".attention thead th")) == source
    assert texts(page.locator(".attention tbody th")) == target
    cells = [cell.get_attribute("aria-label") for cell in page.locator(".attention tbody td").all()]
    shown = np.array([float(cell.strip("<> %")) for cell in cells]).reshape(weights.shape)
    np.testing.assert_allclose(shown, 100 * weights, atol=0.06)


def test_a_forecast_is_drawn_with_its_interval(address, open_page, loaded, series_file, wait_until):
    page, model = open_page(address, "forecasts"), loaded["forecasts"]
    page.get_by_label("Drop a file of numbers here, or choose one").set_input_files(series_file)
    page.get_by_label("Steps ahead").fill("5")
    page.get_by_label("Interval").fill("80")
    wait_until(page, lambda: page.get_by_text("The next 5 steps, and the 80 % interval").count() == 1)
    values = np.loadtxt(series_file, skiprows=1)
    median, low, high = model.forecast(values, 5, level=0.8, seed=0)
    page.get_by_text("As a table").click()
    shown = [float(cell.replace("−", "-").replace(",", "")) for cell in texts(page.locator("tbody td"))]
    expected = np.concatenate([median, low, high], axis=1)
    np.testing.assert_allclose(np.array(shown).reshape(5, 3), expected, rtol=1e-3)
    assert texts(page.locator("tbody th")) == ["31", "32", "33", "34", "35"]
    points = {
        name: page.locator(f".chart .{name}").first.get_attribute("points").split() for name in ("known", "median")
    }
    assert (len(points["known"]), len(points["median"])) == (30, 6)
    assert points["known"][-1] == points["median"][0]  # the forecast begins where the series ends
    assert len(page.locator(".chart .interval").first.get_attribute("points").split()) == 12
    assert "30 steps, then the median of the next 5" in page.locator("svg[role=img]").get_attribute("aria-label")


def test_a_text_appears_symbol_by_symbol_with_probabilities(address, open_page, loaded):
    page, model = open_page(address, "writer"), loaded["writer"]
    page.get_by_label("Beginning of the text").fill("ab")
    for label, value in (("Length", "30"), ("Seed", "5"), ("Temperature", "0.9"), ("Top k", "3"), ("Top p", "0.95")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Pace").select_option("0")
    page.get_by_role("button", name="Write").click()
    page.get_by_text("30 symbols: the length is reached.").wait_for()
    expected = model.generate("ab", length=30, seed=5, temperature=0.9, top_k=3, top_p=0.95)
    assert page.locator(".writing").evaluate("box => box.textContent") == expected
    probabilities = trace(model, expected).probabilities
    box = page.locator(".writing")
    box.focus()
    for place in range(3):
        page.keyboard.press("ArrowRight")
        said = page.locator(".writing + p").inner_text()
        shown = float(SHARE.search(said)[1])
        assert shown == pytest.approx(100 * probabilities[3 + place], abs=0.051)


def test_words_are_written_with_spaces_between_them(address, open_page, loaded):
    page, model = open_page(address, "words"), loaded["words"]
    page.get_by_label("Beginning of the text").fill("the")
    for label, value in (("Length", "12"), ("Seed", "3")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Pace").select_option("0")
    page.get_by_role("button", name="Write").click()
    page.get_by_text("12 symbols: the length is reached.").wait_for()
    expected = model.generate("the", length=12, seed=3, temperature=0.8)
    assert page.locator(".writing").evaluate("box => box.textContent") == expected
    assert page.locator(".symbol").count() == 12


def test_writing_stops_when_asked(address, open_page, wait_until):
    page = open_page(address, "writer")
    for length in ("100", "4000"):  # the server has written all of the first, and not of the second
        page.get_by_label("Length", exact=True).fill(length)
        page.get_by_role("button", name="Write").click()
        wait_until(page, lambda: page.locator(".symbol").count() > 4)
        page.get_by_role("button", name="Stop").click()
        written = page.locator(".symbol").count()
        assert page.get_by_role("button", name="Stop").is_disabled()
        page.wait_for_timeout(200)
        assert 4 < page.locator(".symbol").count() == written < 100
        assert page.get_by_text(f"Stopped after {written} symbols.").is_visible()


def test_a_stop_text_ends_the_text(address, open_page, loaded):
    page, model = open_page(address, "writer"), loaded["writer"]
    page.get_by_label("Stop text").fill("d")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Pace").select_option("0")
    page.get_by_label("Length", exact=True).fill("300")
    page.get_by_role("button", name="Write").click()
    expected = model.generate("", length=300, temperature=0, stop="d")
    page.get_by_text("the stop text came" if len(expected) < 300 else "the length is reached").wait_for()
    assert page.locator(".writing").evaluate("box => box.textContent") == expected
