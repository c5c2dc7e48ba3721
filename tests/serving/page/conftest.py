"""A browser on the page of a server of small models. Skipped where Chromium or Playwright is absent."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
GOLDEN = Path(__file__).parents[2] / "golden" / "0.1.0"
OLD = {  # name on the page → model folder of an earlier version
    "films": "classify",
    "forecasts": "generate-series",
    "numbers": "classify-series",
    "reversed": "translate",
    "spans": "tag-crf",
    "tokens": "tag",
    "topics": "classify-labels",
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """The folders of the models on the page, by name."""
    writer = tmp_path_factory.mktemp("page") / "writer"
    settings = {"hidden_size": 8, "embedding_size": 4, "bptt": 8, "epochs": 2, "batch_size": 4, "layers": 1}
    model = ss.LanguageModel(**settings, cell="lstm", tokenizer="character", verbose=False, seed=1)
    model.fit("abc abd acd\n" * 60).save(writer)
    words, steps = writer.with_name("words"), writer.with_name("steps")
    model = ss.LanguageModel(**settings, cell="gru", tokenizer="word", verbose=False, seed=1)
    model.fit("the cat sat\nthe dog sat\n" * 30).save(words)
    series = [np.random.default_rng(seed).normal(size=(8, 2)) for seed in range(12)]
    tags = [["up" if step[0] > 0 else "down" for step in one] for one in series]
    ss.Tagger(hidden_size=6, epochs=2, bidirectional=False, verbose=False, seed=1).fit(series, tags).save(steps)
    new = {"steps": steps, "words": words, "writer": writer}
    return {**{name: GOLDEN / folder for name, folder in OLD.items()}, **new}


@pytest.fixture(scope="session")
def loaded(folders) -> dict[str, Any]:
    """The same models, to compare what the page shows with what they say."""
    return {name: runtime.load(folder) for name, folder in folders.items()}


@contextmanager
def _serving(folders: dict[str, Path]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    models = [f"{name}={folder}" for name, folder in folders.items()]
    command = [sys.executable, "-m", "stepscan", "serve", *models, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(40)


@pytest.fixture(scope="session")
def serve() -> Callable[[dict[str, Path]], AbstractContextManager[str]]:
    """A context in which a process serves model folders by name; it is the server's address."""
    return _serving


@pytest.fixture(scope="session")
def address(folders) -> Iterator[str]:
    """The address of a server of these models."""
    with _serving(folders) as found:
        yield found


def _wait_for(address: str, server: Any) -> None:
    for _ in range(600):
        assert server.poll() is None, f"the server ended with status {server.returncode}"
        try:
            urllib.request.urlopen(f"{address}/", timeout=5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server did not begin to answer")


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a network of its own. Its loop must not outlive the module: other tests run theirs."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra `dev`")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser) -> Any:
    """Opens a page: `open_page(address, model, width=…, dark=…)`. At the end of the test, nothing was asked of another
    address, and the console has no error that the test did not expect (by a word in `page.expected_errors`)."""
    contexts, pages = [], []

    def start(address: str, model: str = "", *, width: int = 1200, dark: bool = False) -> Any:
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.errors, page.foreign, page.expected_errors = [], [], []
        page.set_default_timeout(15_000)
        context.on("request", lambda request: _note_foreign(page, request.url, address))
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(f"{address}/#{model}")
        pages.append(page)
        return page

    yield start
    for page in pages:
        assert page.foreign == []
        unexpected = [e for e in page.errors if not any(word in e for word in page.expected_errors)]
        assert unexpected == []
    for context in contexts:
        context.close()


def _note_foreign(page: Any, url: str, address: str) -> None:
    if not url.startswith((address, "data:", "blob:")):
        page.foreign.append(url)


@pytest.fixture
def wait_until(request) -> Callable[..., None]:
    """`wait_until(page, condition)`: waits, while the browser works, until the condition holds."""

    def wait(page: Any, condition: Callable[[], bool], seconds: float = 15) -> None:
        for _ in range(int(seconds * 20)):
            if condition():
                return
            page.wait_for_timeout(50)
        raise AssertionError(f"this did not happen within {seconds} s")

    return wait


@pytest.fixture(scope="session")
def series_file(tmp_path_factory) -> Path:
    """A file of numbers with a heading."""
    path = tmp_path_factory.mktemp("series") / "sales.csv"
    values = np.round(20 + 5 * np.sin(np.arange(30)), 2)
    path.write_text("sales\n" + "\n".join(map(str, values.tolist())) + "\n")
    return path
