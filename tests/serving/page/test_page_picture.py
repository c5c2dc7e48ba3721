"""The picture of the page in docs/: drawn anew with WRITE_FIGURES=1 (`make figures`), of a model trained for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import stepscan as ss
from stepscan.data import builtin

ROOT = Path(__file__).parents[3]
PICTURE = ROOT / "docs" / "images" / "serve.png"


def test_the_document_shows_the_picture():
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
    assert PICTURE.stat().st_size < 400_000
    assert "](images/serve.png)" in (ROOT / "docs" / "serve.md").read_text("utf-8")


@pytest.mark.skipif("WRITE_FIGURES" not in os.environ, reason="draws the picture anew: make figures")
def test_draw_the_picture(tmp_path, serve, open_page):
    split = builtin.documentation(0)
    settings = {"hidden_size": 128, "embedding_size": 32, "layers": 1, "bptt": 64, "batch_size": 32, "epochs": 3}
    model = ss.LanguageModel(**settings, learning_rate=8e-3, seed=0, verbose=False)
    model.fit(split.train[:400_000], validation=split.valid).save(tmp_path / "help-topics")
    with serve({"help-topics": tmp_path / "help-topics"}) as address:
        page = open_page(address, "help-topics", width=1100)
        page.get_by_label("Beginning of the text").fill("The statement ")
        for label, value in (("Length", "160"), ("Temperature", "0.5"), ("Seed", "1")):
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_label("Pace").select_option("0")
        page.get_by_role("button", name="Write").click()
        page.get_by_text("160 symbols: the length is reached.").wait_for()
        page.get_by_label("Show").select_option("forget")
        page.wait_for_timeout(500)
        page.screenshot(path=PICTURE, full_page=True)
