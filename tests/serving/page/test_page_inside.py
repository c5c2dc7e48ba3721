"""The inside of a model on the page: the numbers of its trace, which come while the model reads or writes."""

from __future__ import annotations

import pytest

from stepscan.serving.inside import trace


def summary(page):
    return page.locator("canvas").first.get_attribute("aria-label")


def test_units_and_gates_are_those_of_the_model(address, open_page, loaded):
    page, model = open_page(address, "writer"), loaded["writer"]
    page.get_by_label("Beginning of the text").fill("abc abd")
    page.locator("canvas").wait_for()
    [layer] = trace(model, "abc abd").layers
    assert page.get_by_role("heading", name="layer 1: LSTM(4 → 8)").count() == 1
    assert f"8 units over 8 steps, mean {layer.units.mean():.3g}"[:30].replace("-", "−") in summary(page)
    names = ["input gate", "forget gate", "output gate"]
    shown = page.locator(".layer .bars")
    assert shown.locator("dt").all_inner_texts() == names
    figures = [float(text) for text in shown.locator(".figure").all_inner_texts()]
    expected = [layer.gates[name.split()[0]][-1].mean() for name in names]
    assert figures == pytest.approx(expected, abs=0.0051)


def test_a_value_is_read_out_by_the_arrow_keys(address, open_page, loaded):
    page, model = open_page(address, "writer"), loaded["writer"]
    page.get_by_label("Beginning of the text").fill("abc")
    page.locator("canvas").wait_for()
    page.get_by_label("Show").select_option("forget")
    page.locator("canvas").focus()
    page.keyboard.press("ArrowRight")  # begins at the last step, the first unit
    page.keyboard.press("ArrowDown")
    value = trace(model, "abc").layers[0].gates["forget"][-1, 1]
    said = page.locator("canvas + p").inner_text()
    assert said.startswith("c, unit 2: ")
    assert float(said.rpartition(" ")[2]) == pytest.approx(value, abs=6e-4)
    page.keyboard.press("ArrowLeft")
    assert page.locator("canvas + p").inner_text().startswith("b, unit 2: ")


def test_the_inside_follows_while_the_model_writes(address, open_page, wait_until):
    page = open_page(address, "writer")
    page.get_by_label("Length", exact=True).fill("60")
    page.get_by_role("button", name="Write").click()
    page.locator("canvas").wait_for()
    seen = set()

    def grown():
        seen.add(summary(page))
        return len(seen) > 3

    wait_until(page, grown)
    assert not page.get_by_role("button", name="Stop").is_disabled()  # it is still writing
    page.get_by_role("button", name="Stop").click()


def test_both_directions_of_a_layer_are_shown(address, open_page):
    page = open_page(address, "films")
    page.get_by_label("Text", exact=True).fill("a good film")
    page.locator("canvas").first.wait_for()
    titles = [f"layer 1, {direction}: LSTM(4 → 6)" for direction in ("forward", "backward")]
    assert page.locator(".layer h3").all_inner_texts() == titles


def test_a_cell_without_gates_shows_its_units(address, open_page):
    page = open_page(address, "reversed")
    page.get_by_label("Text", exact=True).fill("abc")
    page.locator("canvas").first.wait_for()
    assert page.locator(".layer select").first.locator("option").all_inner_texts() == ["hidden units"]
    assert not page.locator(".layer .bars").first.is_visible()
