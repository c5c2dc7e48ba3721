"""What a notebook shows of an estimator."""

from __future__ import annotations

import stepscan as ss


def test_before_and_after_training():
    model = ss.LanguageModel(
        hidden_size=4, embedding_size=4, bptt=8, batch_size=2, max_updates=60, tokenizer="character"
    )
    html = model._repr_html_()
    assert "<strong>LanguageModel</strong>" in html
    assert "<td>hidden_size</td><td>4</td>" in html
    assert "tokenizer" not in html, "it has its default"
    assert "Not trained yet." in html
    html = model.fit("one two <b> three. " * 30)._repr_html_()
    assert "Chosen by data size" in html
    assert html.count("<polyline") == 1
    assert "validation nats" in html
    assert "http" not in html
    assert "<script" not in html
    assert ss.LanguageModel(cell="<b>")._repr_html_().count("&lt;b&gt;") == 1
