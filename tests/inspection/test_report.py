"""The report: its numbers stand in the page, the page needs nothing else, and Chromium shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan import inspection
from stepscan.errors import SettingsError
from stepscan.inspection import html, measurement

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A report of three untrained cells: its numbers and its file."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    found = inspection.report(
        inspection.InspectionTarget.from_cells(["elman", "lstm", "gru"], length=30, hidden_size=8), path
    )
    return found, path


@pytest.fixture(scope="module")
def models():
    """A tiny model of each task but tagging."""
    films, labels = ["a good film", "a bad film"] * 8, ["good", "bad"] * 8
    tiny = {"hidden_size": 8, "embedding_size": 8, "epochs": 1, "batch_size": 8, "verbose": False}
    text = 'he said "a b c" (and (more)).\nand so on\n' * 20
    return {
        "classify": ss.Classifier(**tiny, layers=2).fit(films, labels),
        "generate": ss.LanguageModel(**tiny, bptt=8, cell="gru").fit(text),
        "translate": ss.Translator(**tiny, tokenizer="character").fit(["abc", "bca"] * 8, ["cba", "acb"] * 8),
    }


def words_of(path: Path) -> str:
    return " ".join(ET.fromstring(path.read_text("utf-8").split("\n", 1)[1]).itertext())


def test_the_page_has_the_numbers(cells):
    found, path = cells
    shown = words_of(path)
    for part in found.recurrences:
        assert html.written(part.lyapunov_exponent) in shown
        for one in part.memory_horizons.values():
            assert html.written(one.one_over_e) in shown
            assert html.written(one.one_percent) in shown
        for field in part.gradient_flow.fields.values():
            for lag in (1, 2, 5, 10, 20):
                for value in (field.median[lag], field.low[lag], field.high[lag]):
                    assert html.written(value) in shown
        for cell in part.gates.values():
            for gate in cell.gates.values():
                assert html.written(gate.mean) in shown
            for value in np.quantile(cell.time_constants, [0, 0.5, 1]) if len(cell.time_constants) else ():
                assert html.written(value) in shown
    assert html.written(found.recurrences[0].elman_bound) in shown


def test_the_first_paragraph_says_it_in_words(cells):
    found, path = cells
    said = ET.fromstring(path.read_text("utf-8").split("\n", 1)[1]).find(".//p[@class='summary']").text
    assert said == inspection.summary(found)
    steps = round(found.recurrences[0].memory_horizons["h"].one_percent)
    start = "In the Elman network the gradient of an output with respect to earlier states falls to 1 % after"
    assert said.startswith(f"{start} {steps} steps (h); in the LSTM")


def test_the_page_needs_nothing_else(cells, models, tmp_path):
    inspection.report(models["classify"], tmp_path / "classify.html", text="a good film")
    for path in (cells[1], tmp_path / "classify.html"):
        written = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in written
        assert not re.search(r"<(script|link|iframe)\b|@import|url\(", written)
        for address in re.findall(r'(?:href|src)="([^"]*)"', written):
            assert address.startswith("data:image/png;base64,")


def test_the_curve_in_the_page_is_the_curve_in_the_numbers(cells):
    """The first polyline's points, back from places to numbers."""
    found, path = cells
    root = ET.fromstring(path.read_text("utf-8").split("\n", 1)[1])
    svg = root.find(".//{http://www.w3.org/2000/svg}svg[@class='plot']")
    points = [tuple(map(float, p.split(","))) for p in svg.find("{*}polyline").get("points").split()]
    ticks = {
        t.text: float(t.get("y")) - 4 for t in svg.findall("{*}text[@text-anchor='end']") if t.get("class") == "tick"
    }
    decade = (ticks["0.01"] - ticks["1"]) / 2
    shown = [10 ** (-(y - ticks["1"]) / decade) for _, y in points]
    median = found.recurrences[0].gradient_flow.fields["h"].median
    np.testing.assert_allclose(shown, median[: len(shown)], rtol=0.02)


def test_numbers_as_they_are_written():
    cases = {0.0: "0", 1.5: "1.5", -0.25: "−0.25", 1e-5: "1.0·10⁻⁵", 12345: "12,345", float("nan"): "–"}
    assert [html.written(value) for value in cases] == list(cases.values())
    assert html.written(float("inf")) == "∞"
    assert html.written("word") == "word"


def test_text_is_coloured_by_its_values():
    shown = html.coloured_text(["a", "<", "\n"], np.array([1.0, -0.5, 0.0]))
    assert re.findall(r"rgba\(([^)]*)\)", shown) == ["214,84,0,0.75", "0,112,190,0.38", "214,84,0,0.00"]
    assert "".join(ET.fromstring(shown).itertext()) == "a<↵\n"


def test_a_language_model_reads_what_it_wrote(models):
    found = inspection.report(models["generate"], seed=1)
    text = models["generate"].generate("", length=200, seed=1)
    assert "".join(found.items) == text
    assert found.recurrences[0].states["h"].shape == (201, 8)


def test_units_that_track_something(models):
    text = '"aaa" (b (c)) d\nee "f" g\n' * 4
    found = inspection.report(models["generate"], text=text)
    assert [one.property for one in found.units] == ["position in line", "inside quotes", "nesting depth"]
    inside = inspection.inside_quotes(text)
    one = found.units[1]
    assert one.correlation == pytest.approx(np.corrcoef(one.values[1:], inside)[0, 1], abs=0.02)
    others = [abs(np.corrcoef(unit[1:], inside)[0, 1]) for unit in found.recurrences[0].states["h"].T]
    assert abs(one.correlation) >= max(others) - 0.02


def test_a_classifier_shows_which_tokens_decide(models, tmp_path):
    found = inspection.report(models["classify"], tmp_path / "report.html", text="a good film")
    assert found.saliency.tokens == ["a", "good", "film"]
    shown = words_of(tmp_path / "report.html")
    for value in (*found.saliency.leave_one_out, *found.saliency.gradient_times_input):
        assert html.written(float(value)) in shown
    assert [part.name for part in found.recurrences] == [
        *("0.forward lstm", "0.backward lstm"),
        *("2.forward lstm", "2.backward lstm"),
    ]


def test_a_translator_shows_where_it_looked(models, tmp_path):
    found = inspection.report(models["translate"], tmp_path / "report.html", text="abc")
    source, target, weights = models["translate"].attention_weights("abc", models["translate"].predict(["abc"])[0])
    assert (found.attention.source, found.attention.target) == (source, target)
    np.testing.assert_array_equal(found.attention.weights, weights)
    assert html.written(float(weights[0].max())) in words_of(tmp_path / "report.html")
    assert [part.name for part in found.recurrences] == [
        "encoder forward lstm",
        "encoder backward lstm",
        "decoder lstm",
    ]


def test_the_second_layer_reads_what_the_first_gives():
    stack = ss.Stack([ss.Bidirectional(ss.GRU(3, 4), ss.GRU(3, 4)), ss.LSTM(8, 5)])
    inputs = ss.Sequences(torch.randn(2, 6, 3), [6, 4])
    forward, backward, second = inspection.InspectionTarget.from_layer(stack, inputs, "two layers").recurrences
    assert [one.name for one in (forward, backward, second)] == [
        f"two layers {place}" for place in ("0.forward gru", "0.backward gru", "1 lstm")
    ]
    torch.testing.assert_close(second.inputs.zeroed().data, stack.layers[0](inputs)[0].data)
    torch.testing.assert_close(backward.inputs.data, inputs.reversed().data)


def test_a_layer_of_ones_own(tmp_path):
    inputs = ss.Sequences(torch.randn(2, 12, 3), [12, 9])
    found = inspection.report(ss.LSTM(3, 4), tmp_path / "report.html", inputs=inputs)
    assert found.about == {"layer": "LSTM(3 → 4)", "rows": 2, "length": 12}
    assert (tmp_path / "report.html").stat().st_size > 10_000
    with pytest.raises(
        SettingsError, match=r"expected inputs \[B, T, I\] for LSTM\(3 → 4\) to read, got none; give inputs"
    ):
        inspection.report(ss.LSTM(3, 4))


def test_what_has_no_recurrence():
    layer = ss.BidirectionalTransformer(8, 8)
    with pytest.raises(SettingsError, match="expected a layer with a hidden state, got none"):
        inspection.report(layer, inputs=ss.Sequences(torch.randn(1, 4, 8), [4]))


def test_what_cannot_be_inspected(models):
    with pytest.raises(SettingsError, match=r"a Layer or names of cells, got int"):
        inspection.report(3)
    with pytest.raises(SettingsError, match="an ensemble has no layers of its own"):
        inspection.report(ss.ensemble([models["classify"], models["classify"]]))
    with pytest.raises(SettingsError, match="the text is empty"):
        inspection.report(models["classify"], text=" ")


def test_models_of_numbers_read_random_numbers(tmp_path):
    tiny = {"hidden_size": 4, "epochs": 1, "batch_size": 8, "verbose": False}
    model = ss.Forecaster(**tiny, bptt=8, embedding_size=4).fit(np.sin(np.arange(200.0)))
    found = inspection.report(model, tmp_path / "report.html")
    assert found.about["read"] == "random numbers"
    assert found.recurrences[0].states["c"].shape == (50, 4)
    with pytest.raises(SettingsError, match="reads numbers, not text"):
        inspection.report(model, text="a")


def test_text_that_html_cannot_hold(models, tmp_path):
    inspection.report(models["generate"], tmp_path / "report.html", text="a\x00b\r<c>&\x1f(d)\n" * 4)
    assert "a" in words_of(tmp_path / "report.html")
    assert "".join(ET.fromstring(html.coloured_text(["\0", "\t<"], np.zeros(2))).itertext()) == "␀␉<"


def test_plain_data_has_neither_nan_nor_infinity(cells):
    written = json.dumps(inspection.as_json(cells[0]), allow_nan=False)
    data = json.loads(written)
    assert [part["name"] for part in data["recurrences"]] == ["elman", "lstm", "gru"]
    assert (
        data["recurrences"][1]["memory_horizons"]["c"]["one_percent"]
        == cells[0].recurrences[1].memory_horizons["c"].one_percent
    )
    assert measurement._plain({"a": float("inf"), "b": [float("nan"), np.float32(0.5)]}) == {
        "a": None,
        "b": [None, 0.5],
    }


def test_inspect_on_the_command_line(run, tmp_path):
    result = run("inspect", "--cell", "elman,gru", "--length", "12", "--hidden-size", "4", "--out", tmp_path / "r.html")
    assert result.code == 0
    assert result.out.startswith("In the Elman network the gradient")
    assert result.out.endswith(f"Report: {tmp_path / 'r.html'}\n")
    assert "Gradient over the lag" in (tmp_path / "r.html").read_text("utf-8")
    result = run("inspect", "--cell", "gru", "--length", "12", "--hidden-size", "4", "--json")
    data = json.loads(result.out)
    assert (data["length"], data["hidden_size"]) == (12, 4)
    assert data["recurrences"][0]["gradient_flow"]["h"]["median"][0] == 1


def test_inspect_a_model_folder(run, models, tmp_path):
    models["classify"].save(tmp_path / "model")
    (tmp_path / "text.txt").write_text("a bad film\n", "utf-8")
    result = run("inspect", tmp_path / "model", "--input", tmp_path / "text.txt", "--json")
    assert json.loads(result.out)["saliency"]["tokens"] == ["a", "bad", "film"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one of them"),
        (("model", "--cell", "gru"), "give one of them"),
        (("--cell", "gru", "--input", "x"), "expected neither a text nor --input"),
        (("model", "--length", "5"), "expected --cell, got a model"),
        (("model", "a", "--input", "b"), "expected either a text or a file, got both"),
        (("--cell", "gruu"), "unknown cell 'gruu'. Did you mean 'gru'"),
        (("--cell", "gru", "--length", "1"), "expected a length of 2 or more"),
    ],
)
def test_wrong_use(run, arguments, words):
    result = run("inspect", *arguments)
    assert result.code == 1
    assert words in result.words


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (1100, True), (380, False)])
def test_chromium_shows_it(cells, tmp_path, width, dark):
    """A picture that is not empty, light or dark as asked, and nothing that is wider than the window."""
    picture = tmp_path / "html.png"
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
        flags += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
        flags += [f"--user-data-dir={profile}", f"--window-size={width},1600", f"--screenshot={picture}"]
        flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
        subprocess.run([CHROMIUM, *flags, cells[1].as_uri()], capture_output=True, timeout=120, check=True)
    pixels = pytest.importorskip("matplotlib.image").imread(picture)
    assert pixels.shape[:2] == (1600, width)
    corner = pixels[2, 2, :3].mean()
    assert (corner < 0.2) if dark else (corner > 0.9)
    drawn = np.abs(pixels[..., :3] - pixels[2, 2, :3]).max(axis=2) > 0.2
    assert 0.01 < drawn.mean() < 0.6
    assert not drawn[:, -4:].any()


def test_a_report_replaces_reports_alone(tmp_path):
    out = tmp_path / "report.html"
    out.touch()
    for _ in range(2):
        inspection.report("elman", out)
    assert "Made by stepscan inspect." in out.read_text()
    out.write_text("<html>my thesis</html>")
    with pytest.raises(ss.SettingsError, match=r"report.html exists and is not a report of stepscan inspect"):
        inspection.report("elman", out)
    assert out.read_text() == "<html>my thesis</html>"
