"""What goes wrong is said in words: by the server, on the way, in a file; and nothing of a user or a model is HTML."""

from __future__ import annotations

import json

import pytest

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def answer(route, status, body, **headers):
    content = json.dumps(body) if not isinstance(body, str) else body
    route.fulfill(status=status, headers={"Content-Type": "application/json", **headers}, body=content)


def refusal(message):
    return {"error": {"type": "busy", "message": message, "param": None, "code": None}}


def alert(page):
    """The error that is shown, once there is one."""
    shown = page.locator("main [role=alert]:not([hidden]), #problem:not([hidden])").filter(has_text=" ").first
    shown.wait_for()
    return shown.inner_text()


def test_an_error_of_the_server_is_shown_and_goes_away(address, open_page):
    page = open_page(address, "films")
    page.expected_errors = ["429"]
    page.route(
        "**/predict", lambda route: answer(route, 429, refusal("256 requests wait already"), **{"Retry-After": "3"})
    )
    box = page.get_by_label("Text", exact=True)
    box.fill("a film")
    assert alert(page) == "256 requests wait already Try again in 3 s."
    assert page.get_by_text("The answer appears here.").count() == 1
    page.unroute("**/predict")
    box.fill("a good film")
    page.locator(".word").first.wait_for()
    assert page.locator("main [role=alert]:not([hidden])").count() == 0


def test_an_answer_goes_away_when_the_next_one_fails(address, open_page, wait_until):
    page = open_page(address, "forecasts")
    box = page.get_by_label("Series", exact=True)
    box.fill("1 2 3 2 1 2")
    page.locator("svg[role=img]").wait_for()
    box.fill("1 2 3 2 1 x")
    assert alert(page) == "Line 1, column 6: expected a number, got “x”."
    assert page.locator("svg[role=img], canvas").count() == 0
    box.fill("")
    wait_until(page, lambda: page.locator("main [role=alert]:not([hidden])").count() == 0)


def test_a_text_with_too_many_words_is_answered_without_them(address, open_page):
    page = open_page(address, "films")
    page.expected_errors = ["422"]
    page.get_by_label("Text", exact=True).fill("good " * 201)
    page.get_by_text("Words that mattered are not shown: text: expected at most 200 words").wait_for()
    assert page.locator(".answer").count() == 1
    assert page.locator("main [role=alert]:not([hidden])").count() == 0


def test_an_answer_without_words_is_reported_with_its_status(address, open_page):
    page = open_page(address, "films")
    page.expected_errors = ["500"]
    page.route("**/predict", lambda route: answer(route, 500, "<html>"))
    page.get_by_label("Text", exact=True).fill("a film")
    assert alert(page) == "The server answered 500 without saying why."


def test_a_server_that_is_gone(address, open_page):
    page = open_page(address, "films")
    page.expected_errors = ["ERR_CONNECTION_REFUSED"]
    page.get_by_label("Text", exact=True).wait_for()
    page.route("**/predict", lambda route: route.abort("connectionrefused"))
    page.get_by_label("Text", exact=True).fill("a film")
    assert alert(page) == "The server does not answer. Is it still running?"


def test_no_models_at_all(address, open_page):
    page = open_page(address, "films")
    page.expected_errors = ["503"]
    page.route("**/v1/models", lambda route: answer(route, 503, refusal("the server is ending")))
    page.reload()
    assert alert(page) == "the server is ending"


def test_a_token_is_asked_for_and_sent_along(address, open_page):
    page = open_page(address, "films")
    page.expected_errors = ["401"]
    page.get_by_label("Text", exact=True).wait_for()
    sent = []

    def guarded(route):
        given = route.request.headers.get("authorization")
        sent.append(given)
        if given == "Bearer secret":
            return route.continue_()
        return answer(route, 401, refusal("a token is needed"))

    page.route("**/v1/**", guarded)
    page.reload()
    page.get_by_label("Token", exact=True).fill("wrong")
    page.get_by_role("button", name="Enter").click()
    page.get_by_text("This token is not the server's.").wait_for()
    page.get_by_label("Token", exact=True).fill("secret")
    page.keyboard.press("Enter")
    page.get_by_label("Text", exact=True).fill("a film")
    page.locator(".word").first.wait_for()
    assert sent[:3] == [None, "Bearer wrong", "Bearer secret"]
    assert set(sent[3:]) == {"Bearer secret"}


def test_an_error_in_the_middle_of_a_text(address, open_page):
    page = open_page(address, "writer")
    event = {"text": "ab", "symbols": [{"id": 1, "text": c, "probability": 0.5} for c in "ab"]}
    body = f"data: {json.dumps(event)}\n\ndata: {json.dumps(refusal('the time is over'))}\n\n"
    page.route("**/generate", lambda route: answer(route, 200, body, **{"Content-Type": "text/event-stream"}))
    page.get_by_role("button", name="Write").click()
    assert alert(page) == "the time is over"
    assert page.get_by_role("button", name="Stop").is_disabled()


def test_symbols_that_are_words_keep_their_spaces(address, open_page):
    page = open_page(address, "writer")
    symbols = [{"id": i, "text": word, "probability": p} for i, (word, p) in enumerate([("the", 0.25), ("cat", 0.75)])]
    done = {"done": True, "reason": "end", "count": 2, "prompt_symbols": 0, "known_symbols": 0}
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in ({"text": " the cat", "symbols": symbols}, done))
    page.route("**/generate", lambda route: answer(route, 200, body, **{"Content-Type": "text/event-stream"}))
    page.get_by_role("button", name="Write").click()
    page.get_by_text("2 symbols: the text came to its end. Their mean probability is 50.0 %.").wait_for()
    assert page.locator(".symbol").all_text_contents() == [" the", " cat"]


def test_what_a_model_says_is_never_html(address, open_page):
    page = open_page(address, "films")
    record = {"predictions": [{"label": HOSTILE, "probability": 1.0, "probabilities": {HOSTILE: 1.0}}]}
    words = {
        "label": HOSTILE,
        "answer": 1.0,
        "words": [{"start": 0, "end": len(HOSTILE), "effect": 1.0, "without": 0.5}],
    }
    page.route("**/predict", lambda route: answer(route, 200, record))
    page.route("**/words", lambda route: answer(route, 200, words))
    page.on("dialog", lambda dialog: page.errors.append("a script ran"))
    page.get_by_label("Text", exact=True).fill(HOSTILE)
    page.locator(".word").wait_for()
    assert page.locator(".answer").inner_text() == HOSTILE
    assert page.locator("main img, main script").count() == 0


UNREADABLE = {
    "1\n2\nabc": "Line 3, column 1: expected a number, got “abc”.",
    "1\nNaN": "Line 2, column 1: expected a number, got “NaN”.",
    "1\n1e999": "Line 2, column 1: expected a number, got “1e999”.",
    "1,2\n3,4": "Line 1: expected 1 number, got 2. This model reads series of 1 a step.",
}


def test_a_series_that_cannot_be_read(address, open_page):
    page = open_page(address, "numbers")
    for text, words in UNREADABLE.items():
        page.get_by_label("Series", exact=True).fill(text)
        assert alert(page) == words


def test_series_as_people_write_them(address, open_page, loaded):
    page = open_page(address, "numbers")
    expected = float(loaded["numbers"].predict([[1.0, 2.0, 3.0]])[0])
    for text in ("1 2 3", "1, 2, 3", "1;2;3", "1\t2\t3", "\ufeffvalue\r\n1\r\n2\r\n3\r\n", "1\n\n2\n3", "1.0\n2e0\n+3"):
        page.get_by_label("Series", exact=True).fill("")
        page.get_by_text("The answer appears here.").wait_for()
        page.get_by_label("Series", exact=True).fill(text)
        page.get_by_text("3 steps").first.wait_for()
        page.locator(".answer").wait_for()
        assert float(page.locator(".answer").inner_text().replace("−", "-")) == pytest.approx(expected, rel=1e-3)


UNREADABLE_FILES = [
    ("notes.csv", b"1\nhello\n", "notes.csv: Line 2, column 1: expected a number, got “hello”."),
    ("photo.csv", b"\x89PNG\x00\xff", "photo.csv: expected a text file of numbers, got something else."),
    ("large.csv", b"1\n" * 1_000_001, "large.csv: expected at most 2 MB, got 2.0 MB."),
]


def test_a_file_that_cannot_be_read(address, open_page):
    page = open_page(address, "numbers")
    for name, content, words in UNREADABLE_FILES:
        given = {"name": name, "mimeType": "text/csv", "buffer": content}
        page.get_by_label("Drop a file of numbers here, or choose one").set_input_files(given)
        page.get_by_text(words).wait_for()


def test_a_series_too_short_to_forecast(address, open_page):
    page = open_page(address, "forecasts")
    page.expected_errors = ["422"]
    page.get_by_label("Series", exact=True).fill("1, 2")
    assert "has 2 steps, but at least 4 are needed" in alert(page)
