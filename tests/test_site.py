"""A browser walks the site that `make docs` builds: every page opens, every link leads somewhere, nothing is fetched
from elsewhere. Skipped where MkDocs or Chromium is absent."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LECTURE = ["sequences", "abstraction", "patterns", "stacking", "bidirectional", "elman", "vanishing-gradient", "lstm"]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or find_spec("mkdocs") is None or find_spec("mkdocstrings") is None,
    reason="needs Chromium and the extra `docs`",
)


class Links(HTMLParser):
    """Where a page leads, what it shows, and the places in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.shown: list[str] = []
        self.places: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.places |= {given[name] or "" for name in ("id", "name") if name in given}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        if tag in ("img", "script") and given.get("src"):
            self.shown.append(given["src"] or "")
        if tag == "link" and given.get("rel") in ("stylesheet", "icon"):
            self.shown.append(given["href"] or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def pages(site, tmp_path_factory):
    """Every page that can be reached from the first, as the browser shows it."""
    profile = tmp_path_factory.mktemp("profile")
    found: dict[str, Links] = {}
    waiting = [site]
    while waiting:
        address = waiting.pop()
        if address in found:
            continue
        found[address] = Links(dump(address, profile))
        for link in found[address].links:
            target = urldefrag(urljoin(address, link)).url
            if target.startswith(site) and Path(urlsplit(target).path).suffix in ("", ".html"):
                waiting.append(target)
    return found


def dump(address: str, profile: Path) -> str:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
    done = subprocess.run([str(CHROMIUM), *flags, "--dump-dom", address], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "<h1" in done.stdout, address
    return done.stdout


def test_the_walk_comes_to_every_page(site, pages):
    for page in LECTURE:
        assert f"{site}lecture/{page}/" in pages
    names = re.findall(r"([\w/-]+)\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))
    for name in names:
        if name not in ("index", "decisions/README"):
            assert f"{site}{name}/" in pages, name


def test_every_link_leads_to_a_place(site, pages):
    for address, page in pages.items():
        for link in page.links:
            target, place = urldefrag(urljoin(address, link))
            if target in pages and place and not place.startswith("__"):
                assert place in pages[target].places, f"{address} links to {target}#{place}"


def test_nothing_is_fetched_from_elsewhere(site, pages):
    for address, page in pages.items():
        for shown in page.shown:
            assert urljoin(address, shown).startswith((site, "data:")), f"{address} shows {shown}"


@pytest.mark.parametrize("name", LECTURE)
def test_each_page_of_the_lecture_shows_its_picture(site, pages, name):
    shown = [urlsplit(urljoin(site, picture)).path for picture in pages[f"{site}lecture/{name}/"].shown]
    assert any(path.endswith(f"images/lecture/{name}.svg") for path in shown)
