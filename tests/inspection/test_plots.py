"""Plots stand where their numbers say: places of points, ticks, pixels."""

from __future__ import annotations

import base64
import re
import struct
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest

from stepscan.inspection import axes, diagrams, plots
from stepscan.inspection.png import data_uri, rgba

SVG = "{http://www.w3.org/2000/svg}"


def pixels_of(uri: str) -> np.ndarray:
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    columns, rows = struct.unpack(">II", png[16:24])
    size = struct.unpack(">I", png[33:37])[0]
    assert png[37:41] == b"IDAT"
    lines = np.frombuffer(zlib.decompress(png[41 : 41 + size]), dtype=np.uint8).reshape(rows, 1 + 4 * columns)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(rows, columns, 4)


def curve(y, **bands) -> plots.Curve:
    return plots.Curve("c", np.arange(len(y)), np.array(y, dtype=float), **bands)


def draw(*lines, **settings) -> ET.Element:
    return ET.fromstring(plots.line_plot(lines, title="t", x_label="x", y_label="y", **settings))


def test_a_curve_falls_as_its_numbers_do():
    root = draw(curve([1, 0.1, 0.01]))
    [line] = root.findall(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    top, bottom = axes.TOP, axes.HEIGHT - axes.BOTTOM
    left, right = axes.LEFT, axes.WIDTH - axes.RIGHT
    assert points == [(left, top), ((left + right) / 2, (top + bottom) / 2), (right, bottom)]


def test_a_gap_cuts_a_curve_and_what_is_below_the_axis_is_not_drawn():
    assert len(draw(curve([1, 0.5, np.nan, 0.3, 0.2])).findall(f"{SVG}polyline")) == 2
    [line] = draw(curve([1, 1e-3, 1e-30])).findall(f"{SVG}polyline")
    assert len(line.get("points").split()) == 2


def test_a_band_goes_there_and_back():
    y = np.array([1.0, 0.1])
    [band] = draw(curve(y, low=y / 2, high=y * 2)).findall(f"{SVG}polygon")
    assert len(band.get("points").split()) == 4


def test_ticks_are_round_numbers():
    assert axes.Axis(0, 200, 0, 1).ticks == [(0, "0"), (50, "50"), (100, "100"), (150, "150"), (200, "200")]
    assert [words for _, words in axes.Axis(-1, 1, 0, 1).ticks] == ["−1", "−0.5", "0", "0.5", "1"]
    assert [words for _, words in axes.Axis(1e-4, 1, 0, 1, True).ticks] == ["1", "0.1", "0.01", "10⁻³", "10⁻⁴"]


@pytest.mark.parametrize("values", [[], [np.nan], [5.0, 5.0], [0.0], [-1.0, np.inf]])
@pytest.mark.parametrize("log", [False, True])
def test_an_axis_of_odd_numbers_is_an_axis(values, log):
    axis = axes.Axis.of(np.array(values), 10, 100, log=log)
    assert axis.low < axis.high
    assert axis.ticks
    assert axis.coordinate(axis.low) == 10
    assert axis.coordinate(axis.high) == pytest.approx(100)


def test_pixels_have_the_sign_as_colour_and_the_magnitude_as_opacity():
    found = pixels_of(data_uri(rgba(np.array([[1.0, -0.5, 0.0], [np.nan, 0.2, -1.0]]))))
    assert found[..., 3].tolist() == [[255, 128, 0], [0, 51, 255]]
    assert found[0, 0, :3].tolist() == [214, 84, 0]
    assert found[0, 1, :3].tolist() == [0, 112, 190]


def test_a_heat_map_has_row_0_at_the_bottom():
    values = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    root = ET.fromstring(plots.heatmap(values, title="t", x_label="x", y_label="y"))
    picture = pixels_of(root.find(f"{SVG}image").get("href"))
    assert picture[2, 0].tolist() == [214, 84, 0, 255]
    assert picture[0, 0].tolist() == [0, 112, 190, 255]


def test_a_map_of_shares_goes_down_to_a_millionth():
    values = np.array([[1.0, 1e-3], [1e-9, np.nan]])
    root = ET.fromstring(plots.heatmap(values, title="t", x_label="x", y_label="y", log=True))
    assert pixels_of(root.find(f"{SVG}image").get("href"))[..., 3].tolist() == [[0, 0], [255, 128]]


def test_bars_are_as_high_as_their_shares():
    svg = plots.histogram(np.array([0.5, 0.25]), title="t", x_label="x", edges=np.array([0, 1, 2]))
    first, second = (float(bar.get("height")) for bar in ET.fromstring(svg).findall(f"{SVG}rect"))
    assert first == pytest.approx(2 * second, abs=0.2)
    with pytest.raises(ValueError, match="expected 3 edges for 2 bars, got 2"):
        plots.histogram(np.array([0.5, 0.5]), title="t", x_label="x", edges=np.array([0, 1]))


def test_a_short_curve_has_a_marker_at_each_point_and_a_long_one_where_a_point_stands_alone():
    short, long = draw(curve([1, 0.1, 0.01])), draw(curve([1] * 50))
    assert (len(short.findall(f"{SVG}circle")), len(long.findall(f"{SVG}circle"))) == (3, 0)
    alone = draw(curve([np.nan, 0.1, np.nan] * 20))
    assert (len(alone.findall(f"{SVG}circle")), len(alone.findall(f"{SVG}polyline"))) == (20, 0)


def test_a_legend_names_the_curves_above_the_plot():
    lines = [curve([1, 0.1])._replace(name=name) for name in ("first", "second", "third " * 9)]
    root = draw(*lines, legend=True)
    places = {text.text: (float(text.get("x")), float(text.get("y"))) for text in root.findall(f"{SVG}text")}
    highest = min(float(line.get("y1")) for line in root.findall(f"{SVG}line"))
    names = [places[line.name] for line in lines]
    assert names[0][0] < names[1][0]
    assert names[0][1] == names[1][1] < names[2][1] < highest  # the third has no room in the first row
    assert "first" not in {text.text for text in draw(*lines).findall(f"{SVG}text")}


def test_an_unrolled_graph_has_a_box_a_step():
    root = ET.fromstring(diagrams.unrolled(["1", "2"], ["0", "a", "b"], ["a", "b"], title="t"))
    assert len(root.findall(f"{SVG}rect")) == 2
    assert [text.text for text in root.iter(f"{SVG}text")].count("a") == 2
    with pytest.raises(ValueError, match="expected 3 states and 2 outputs for 2 inputs, got 2 and 2"):
        diagrams.unrolled(["1", "2"], ["0", "a"], ["a", "b"], title="t")


def test_a_padded_batch_has_a_box_an_item_and_dashed_ones_for_the_rest():
    root = ET.fromstring(diagrams.padded(["she", "", "sells"], title="t"))
    kinds = [box.get("class") for box in root.findall(f"{SVG}rect")]
    assert kinds == ["box"] * 3 + ["empty"] * 2 + ["empty"] * 5 + ["box"] * 5
    words = [text.text for text in root.findall(f"{SVG}text")]
    assert words == [*"12345", "length", *"she", "3", "0", *"sells", "5", "step"]
    with pytest.raises(ValueError, match="expected at least one row, got none"):
        diagrams.padded([], title="t")


def test_a_plot_of_nothing():
    with pytest.raises(ValueError, match="expected at least one curve, got none"):
        draw()


def test_a_file_of_its_own_has_its_colours(tmp_path):
    axes.write_svg(plots.line_plot([curve([1, 0.1])], title="a < b", x_label="x", y_label="y"), tmp_path / "plot.svg")
    written = (tmp_path / "plot.svg").read_text("utf-8")
    root = ET.fromstring(written)
    assert root.find(f"{SVG}title").text == "a < b"
    used = set(re.findall(r"var\((--\w+)\)", written))
    assert used <= set(re.findall(r"(--\w+):", written))
