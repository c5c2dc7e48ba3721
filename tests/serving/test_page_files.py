"""The files of the page: guarded by their headers, complete, and without an address of anyone else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from stepscan.serving.page_files import HEADERS, page_files


def scripts():
    return {path: file.body.decode() for path, file in page_files().items() if path.endswith(".js")}


def test_what_is_imported_is_there():
    files = page_files()
    for path, text in scripts().items():
        for name in re.findall(r'^import .* from "([^"]+)";$', text, re.MULTILINE):
            assert name in files, f"{path} imports {name}"
    assert {"/", "/page/style.css", "/page/icon.svg", "/page/main.js"} <= set(files)


def test_each_script_is_imported_by_another_or_by_the_page():
    used = set(re.findall(r'from "([^"]+)"', "\n".join(scripts().values()))) | {"/page/main.js"}
    assert used == set(scripts())


def test_what_is_imported_is_exported_and_used():
    texts = scripts()
    for path, text in texts.items():
        for names, source in re.findall(r'^import \{ (.*) \} from "([^"]+)";$', text, re.MULTILINE):
            for name in names.split(", "):
                exported = rf"^export (?:async )?(?:function\*?|class|const) {name}\b"
                assert re.search(exported, texts[source], re.MULTILINE), f"{path} imports {name} from {source}"
                assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{path} imports {name} and does not use it"


def test_no_file_names_another_address():
    for path, file in page_files().items():
        outside = set(re.findall(r"""(?:https?:)?//[a-z][^\s"'`<)]*""", file.body.decode())) - {
            "http://www.w3.org/2000/svg"
        }
        assert {found for found in outside if not re.match(r"// ", found)} == set(), path


def test_the_page_has_no_script_or_style_of_its_own():
    found = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            names = {name for name, _ in attributes}
            inline = {name for name in names if name.startswith("on") or name == "style"}
            if inline or tag == "style" or (tag == "script" and "src" not in names):
                found.append(tag)

    Tags().feed(page_files()["/"].body.decode())
    assert found == []


def test_nothing_makes_html_out_of_text():
    for path, text in scripts().items():
        for danger in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert danger not in text, path


def test_nothing_is_stored():
    for path, text in scripts().items():
        for place in ("localStorage", "sessionStorage", "indexedDB", "document.cookie", "caches."):
            assert place not in text, path


def test_headers_guard_every_file():
    for path, file in page_files().items():
        policy = dict(rule.split(" ", 1) for rule in file.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert {policy[kind] for kind in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
        assert policy["frame-ancestors"] == "'none'"
        assert file.headers["X-Content-Type-Options"] == "nosniff"
        assert "charset=utf-8" in file.content_type or path.endswith(".svg")
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_files_are_short_enough_to_read():
    for path, file in page_files().items():
        assert file.body.count(b"\n") < 250, path
