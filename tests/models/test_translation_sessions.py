"""Sessions of translators: piece by piece, forked, saved and together, they say what the model says, to the bit."""

from __future__ import annotations

import contextlib
import copy
import pickle
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import stepscan as ss
from stepscan import runtime
from stepscan.backends.probabilities import softmax

SOURCES = ["abc", "", "cabbage", "b", "ab" * 20, "a c"]
TARGET = "cba bac"
SETTINGS: dict[str, dict[str, Any]] = {
    "additive": {"attention": "additive", "cell": "lstm,gru", "layers": 2},
    "dot": {"attention": "dot"},
    "general, input feeding": {"attention": "general", "input_feeding": True},
    "cross": {"attention": "cross", "cell": "lstm,gru", "layers": 2},
    "none": {"attention": "none"},
    "transformer, additive": {"attention": "additive", "cell": "transformer", "layers": 2},
    "transformer, input feeding": {"attention": "additive", "cell": "transformer", "input_feeding": True},
    "transformer, cross": {"attention": "cross", "cell": "transformer,lstm", "layers": 2},
    "transformer, none": {"attention": "none", "cell": "transformer", "layers": 2},
}
NAMES = list(SETTINGS)
TOKENIZERS: dict[str, dict[str, Any]] = {
    "word": {"tokenizer": "word", "source_tokenizer": "character"},
    "bpe": {"tokenizer": "bpe", "vocabulary_size": 280},
    "byte": {"tokenizer": "byte"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small translators that reverse texts, badly."""
    path, chance = tmp_path_factory.mktemp("translators"), random.Random(0)
    sources = ["".join(chance.choices("abcdeg ", k=chance.randint(1, 8))) for _ in range(60)]
    settings: dict[str, Any] = {"hidden_size": 8, "embedding_size": 8, "epochs": 2, "tokenizer": "character"}
    for name, chosen in SETTINGS.items():
        model = ss.Translator(**settings | chosen).fit(sources, [source[::-1] for source in sources])
        model.save(path / name)
    config = path / "transformer, additive" / "config.json"
    config.write_text(
        config.read_text().replace('"transformer": {', '"transformer": {"context": 5,')
    )  # less than is read
    pairs = [("the dog", "der Hund bellt, nicht wahr?"), ("a dog's", "des Hund's Ball ist 3.5 m")] * 12
    for name, chosen in TOKENIZERS.items():
        ss.Translator(**settings | chosen).fit(*zip(*pairs, strict=True)).save(path / name)
    return path


def test_a_short_context(folder: Path) -> None:
    decoder = runtime.load(folder / "transformer, additive").network_.generator.layer
    assert decoder.layer.native.context == 5 < len(TARGET)


def forced(model: Any, source: str, target: str) -> list[np.ndarray]:
    """The probabilities `[V]` of the next symbol after the begin symbol and after each one of the target, alone and
    step by step."""
    tokenizer, state, rows = (
        model.tokenizers_["tokenizer"],
        model.network_.encode_rows(model.network_inputs([source])),
        [],
    )
    for token in [tokenizer.begin, *tokenizer.encode(target)]:
        scores, state = model.network_.generator.array_step(np.array([token]), state)
        rows.append(softmax(scores)[0])
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_teacher_forcing(folder: Path, name: str) -> None:
    model = runtime.load(folder / name)
    end = model.tokenizers_["tokenizer"].end
    for source in SOURCES:
        session, rows = model.session(source), forced(model, source, TARGET)
        assert session.push("").dtype == np.float32
        assert np.array_equal(session.push(""), rows[0])
        for t, symbol in enumerate(TARGET, start=1):
            assert np.array_equal(session.push(symbol), rows[t])
        at_once = model.session(source)
        assert np.array_equal(at_once.push(TARGET), rows[-1])
        assert at_once.state() == session.state()
        ids = [*model.tokenizers_["tokenizer"].encode(TARGET), end]
        total, count = model.log_probabilities([source], [TARGET])[0]
        assert count == len(ids)
        assert sum(np.log(row[i]) for row, i in zip(rows, ids, strict=True)) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_attention(folder: Path, name: str) -> None:
    model = runtime.load(folder / name)
    session = model.session("cab")
    if name in ("none", "transformer, none"):
        assert session.attention is None
        return
    symbols, _, weights = model.attention_weights("cab", TARGET)
    assert session.source_symbols == symbols == ["c", "a", "b", "<eos>"]
    for row, symbol in zip(weights, [*TARGET, ""], strict=True):
        assert np.array_equal(session.attention, row)
        session.push(symbol)
    session.attention[:] = 0  # it is the user's
    assert np.array_equal(session.attention, weights[-1])


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_greedy_writing_is_translation(folder: Path, name: str, weights: str) -> None:
    model = runtime.load(folder / name, weights=weights)
    model.beam_width, model.length_penalty = 1, 0.0
    for source in SOURCES:
        for prefix in ("", "cab"):
            session = model.session(source)
            session.push(prefix)
            expected = model.translate([source], prefix=prefix)[0][0].text
            written = session.generate()
            assert prefix + written == expected
            whole = model.session(source)
            assert np.array_equal(whole.push(prefix + written), session.push(""))
            assert whole.state() == session.state()
    expected = model.translate(["abc"], maximum_length=3)[0][0].text
    assert model.session("abc").generate(3) == expected


def test_sampling(folder: Path) -> None:
    model = runtime.load(folder / "additive")
    choice: dict[str, Any] = {"temperature": 1.5, "top_k": 6, "top_p": 0.95, "min_p": 0.01}
    session = model.session("abc")
    texts = {session.fork().generate(9, seed=seed, **choice) for seed in range(20)}
    assert len(texts) > 5
    long, short = (session.fork().generate(length, seed=3, **choice) for length in (9, 4))
    assert long.startswith(short)
    assert session.fork().generate(9, seed=3, **choice) == long
    assert session.generate(0) == ""
    for _ in range(10):
        assert not {"\ufffd", "<", "\n"} & set(session.fork().generate(30, temperature=3.0))
    ended = model.session("abc")
    while ended.generate():
        pass
    assert ended.generate(temperature=0) == ""


@pytest.mark.parametrize(
    "pieces",
    [["der Hu", "nd", "'s B", "all"], ["3", ".", "5 m", ""], list("nicht wahr?  der\r\n Hund"), ["", "Hund", " "]],
)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_text_in_any_pieces(folder: Path, name: str, pieces: list[str]) -> None:
    model = runtime.load(folder / name)
    session = model.session("the dog")
    for end, piece in enumerate(pieces, start=1):
        assert np.array_equal(session.push(piece), forced(model, "the dog", "".join(pieces[:end]))[-1])
    text = "".join(pieces)
    for one in (model.session("a").restore(session.state()), session.fork(), pickle.loads(pickle.dumps(session))):
        assert np.array_equal(one.attention, session.attention)
        assert np.array_equal(one.push("s on"), forced(model, "the dog", text + "s on")[-1])
    model.beam_width, model.length_penalty = 1, 0.0
    expected = model.translate(["the dog"], prefix=text, maximum_length=8)[0][0].text
    tokenizer = model.tokenizers_["tokenizer"]
    whole = tokenizer.decode(tokenizer.encode(text))  # words lose their white space
    assert session.generate(8) == expected.removeprefix(whole).removeprefix(" " if name == "word" and whole else "")


@pytest.mark.parametrize("name", NAMES)
def test_forks_and_resets(folder: Path, name: str) -> None:
    model = runtime.load(folder / name)
    session = model.session("cab")
    begun = session.state()
    session.push("ba")
    twin, third, state = session.fork(), copy.deepcopy(session), session.state()
    session.push("c")
    assert twin.state() == third.state() == state != session.state()
    assert np.array_equal(twin.push("c"), session.push(""))
    session.reset()
    assert session.state() == begun
    assert session.source_symbols == twin.source_symbols == ["c", "a", "b", "<eos>"]


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_states_travel(folder: Path, name: str, weights: str) -> None:
    model, elsewhere = (runtime.load(folder / name, weights=weights) for _ in range(2))
    session = model.session("cabbage")
    session.push("ega")
    state = session.state()
    again = elsewhere.session("another").restore(state)
    assert again.state() == state
    assert again.source_symbols == session.source_symbols
    for one in (again, pickle.loads(pickle.dumps(session))):
        assert np.array_equal(one.push("b"), session.fork().push("b"))
        assert one.generate(20, temperature=1, seed=1) == written_after_b(session)
        one.reset()
        assert one.state() == model.session("cabbage").state()


def written_after_b(session: Any) -> str:
    """What a session writes after a `b`."""
    twin = session.fork()
    twin.push("b")
    return twin.generate(20, temperature=1, seed=1)


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_many_together(folder: Path, name: str, weights: str) -> None:
    """A step of many sessions, of sources and targets of different lengths, says what each push would say."""
    model, chance = runtime.load(folder / name, weights=weights, threads=2), random.Random(1)
    together, alone = ([model.session(source) for source in SOURCES] for _ in range(2))
    for number, pair in enumerate(zip(together, alone, strict=True)):
        for session in pair:
            session.push("abgce" * (2 * number))
    for t in range(4):
        items = chance.choices("abceg ", k=len(SOURCES))
        found = model.step_batch(together, items)
        for session, item, probabilities in zip(alone, items, found, strict=True):
            assert np.array_equal(probabilities, session.push(item))
        for one, other in zip(together, alone, strict=True):
            assert one.state() == other.state()
            assert np.array_equal(one.attention, other.attention) or one.attention is other.attention is None
        if t == 1:
            together[3].reset(), alone[3].reset()
            together[5], alone[5] = together[4].fork(), alone[4].fork()
    assert together[2].generate(9) == alone[2].generate(9)


def test_whole_words_together(folder: Path) -> None:
    model = runtime.load(folder / "word")
    sessions = [model.session("the dog"), model.session("a")]
    sessions[0].push("der Hun")
    found = model.step_batch(sessions, ["d", "Hund"])
    for row, source, text in zip(found, ("the dog", "a"), ("der Hun d", "Hund"), strict=True):
        assert np.array_equal(row, forced(model, source, text)[-1])


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        (["a"], "expected an item for each session, each session once, got 1 and 2"),
        (["a", ""], "item 2: expected one item, got 0"),
        (["ab", "a"], "item 1: expected one item, got 2: 'ab'; use push for it"),
        (["a", 3], "item 2: expected a string, got 3"),
    ],
)
def test_items_that_are_not_one(folder: Path, items: list[Any], reason: str) -> None:
    model = runtime.load(folder / "additive")
    sessions = [model.session("abc"), model.session("b")]
    before = [one.state() for one in sessions]
    with pytest.raises(ss.SettingsError, match=reason):
        model.step_batch(sessions, items)
    assert [one.state() for one in sessions] == before


def test_sessions_of_other_models(folder: Path) -> None:
    model, other = runtime.load(folder / "dot"), runtime.load(folder / "none")
    with pytest.raises(ss.SettingsError, match="session 2: expected a session of this model, got another"):
        model.step_batch([model.session("a"), other.session("a")], ["a", "b"])
    with pytest.raises(ss.StepscanError, match="another model"):
        model.session("a").restore(other.session("a").state())
    with pytest.raises(ss.StepscanError, match="another model"):
        model.session("a").restore(runtime.load(folder / "dot", weights="int8").session("a").state())


def test_sources_that_are_not(folder: Path) -> None:
    model = runtime.load(folder / "none")
    with pytest.raises(ss.SettingsError, match=r"source: expected the text .*, got none; use model\.session\(source\)"):
        model.session()
    for source in (3, ["ab"], b"ab", "o\ud83d"):
        with pytest.raises(ss.SettingsError, match=r"source 1: expected (a string|valid Unicode), got"):
            model.session(source)
    joined = ss.ensemble([model, runtime.load(folder / "none")])
    with pytest.raises(ss.SettingsError, match="expected one model, got an ensemble of 2; use a session of each"):
        joined.session("ab")


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda session: session.push(3), "expected a string, got 3"),
        (lambda session: session.push(None), "expected a string, got None"),
        (lambda session: session.push("o\ud83d"), "expected valid Unicode"),
        (lambda session: session.generate(-1), "length: expected a whole number, 0 or more, got -1"),
        (lambda session: session.generate(2.0), "length: expected a whole number"),
        (lambda session: session.generate(2, seed=1.5), "seed: expected a whole number"),
        (lambda session: session.generate(2, temperature=-1), "temperature: expected"),
        (lambda session: session.generate(2, top_k=-1), "top_k: expected"),
        (lambda session: session.generate(2, top_p=0), "top_p: expected"),
        (lambda session: session.generate(2, min_p=2), "min_p: expected"),
    ],
)
def test_wrong_use(folder: Path, call: Any, reason: str) -> None:
    session = runtime.load(folder / "cross").session("abc")
    session.push("a")
    before = session.state()
    with pytest.raises(ss.SettingsError, match=reason):
        call(session)
    assert session.state() == before


def raising(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("part", "call"),
    [
        ("network_.generator.score", lambda session: session.push("ab")),
        ("tokenizers_.tokenizer.decode", lambda session: session.generate(5)),
        ("network_.generator.score", lambda session: session._model.step_batch([session], ["a"])),
        ("network_.encode_rows", lambda session: session.restore(session.state())),
    ],
)
def test_what_ends_early(folder: Path, monkeypatch: pytest.MonkeyPatch, part: str, call: Any) -> None:
    model = runtime.load(folder / "transformer, cross")
    session = model.session("abc")
    session.push("a")
    before = session.state()
    owner: Any = model
    *path, name = part.split(".")
    for step in path:
        owner = owner[step] if isinstance(owner, dict) else getattr(owner, step)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, raising)
        with pytest.raises(KeyboardInterrupt):
            call(session)
    assert session.state() == before
    assert call(session) is not None


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


CALLS: dict[str, Any] = {
    "push": lambda model, those: those[0].push("abc"),
    "generate": lambda model, those: those[0].generate(10, temperature=1, seed=1),
    "step_batch": lambda model, those: model.step_batch(those, ["a"] * 5),
    "restore": lambda model, those: those[0].restore(those[1].state()),
}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_at_any_moment(folder: Path, name: str) -> None:
    model, chance, hits = runtime.load(folder / "transformer, cross"), random.Random(0), 0
    sessions = [model.session(source) for source in SOURCES[:5]]
    old = [one.state() for one in sessions]
    started = time.perf_counter()
    CALLS[name](model, sessions)
    duration, new = time.perf_counter() - started, [one.state() for one in sessions]
    before = signal.signal(signal.SIGALRM, interrupted)
    try:
        for _ in range(60):
            for one, state in zip(sessions, old, strict=True):
                one.restore(state)
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, duration))
                CALLS[name](model, sessions)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                hits += 1
            assert [one.state() for one in sessions] in (old, new)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert hits


def test_what_is_not_finite(folder: Path) -> None:
    model = runtime.load(folder / "transformer, none")
    session = model.session("abc")
    before = session.state()
    weight = model.network_.generator.embedding.weight
    model.network_.generator.embedding.weight = weight * np.float32(np.inf)
    for call in (lambda: session.push("a"), lambda: session.generate(3), lambda: model.step_batch([session], ["a"])):
        with np.errstate(invalid="ignore"), pytest.raises(ss.SettingsError, match="its state would not be finite"):
            call()
    with np.errstate(invalid="ignore"), pytest.raises(ss.SettingsError, match="source: expected inputs"):
        model.session("abc")
    model.network_.generator.embedding.weight = weight
    assert session.state() == before


# Bytes that are no state ----------------------------------------------------------------------------------------------


def test_a_state_is_small(folder: Path) -> None:
    """It has neither the memory, nor room that is not used."""
    model = runtime.load(folder / "transformer, cross")
    session = model.session("ab" * 200)
    before = len(session.state())
    session.push("abc" * 10)
    assert 0 <= len(session.state()) - before - 30 * 8 * 4 * 2 < 64  # keys and values of one layer
    names = {name for name in load(session.state()) if name.startswith("decoder.")}
    attending = {f"decoder.{layer}.{field}" for layer in (1, 3) for field in ("weights", "h")}
    assert names == {"decoder.0", "decoder.2", "decoder.4"} | attending


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("dot", lambda t: t | {"decoder.inner": t["decoder.inner"] * np.nan}, "'decoder.inner': expected finite"),
        ("dot", lambda t: t | {"decoder.weights": t["decoder.weights"] + np.inf}, "'decoder.weights': expected finite"),
        (
            "dot",
            lambda t: t | {"decoder.weights": t["decoder.weights"][:, 1:]},
            r"float32 \[1, 4\], got float32 \[1, 3",
        ),
        ("dot", lambda t: t | {"decoder.length": t["source"]}, r"'decoder.length': expected nothing, got int64 \[4\]"),
        ("dot", lambda t: t | {"decoder.inner": t["decoder.inner"][:, 1:]}, "'decoder.inner': expected float32"),
        ("dot", lambda t: t | {"decoder.inner": t["decoder.inner"][0]}, "'decoder.inner': expected float32"),
        ("dot", lambda t: t | {"decoder.inner": t["decoder.inner"].astype(float)}, "got float64"),
        ("dot", lambda t: {k: v for k, v in t.items() if k != "decoder.inner"}, "'decoder.inner' is missing"),
        ("dot", lambda t: {k: v for k, v in t.items() if k != "decoder.weights"}, "'decoder.weights': .* got nothing"),
        ("dot", lambda t: {k: v for k, v in t.items() if k != "source"}, "'source' is missing"),
        ("dot", lambda t: t | {"source": t["source"][:0]}, r"'source': expected int64 \[S\], got int64 \[0\]"),
        ("dot", lambda t: t | {"source": t["source"][None]}, r"'source': expected int64 \[S\], got int64 \[1, 4\]"),
        ("dot", lambda t: t | {"source": t["source"].astype(float)}, r"'source': expected int64 \[S\], got float64"),
        ("dot", lambda t: t | {"source": t["source"] - 9}, "'source': expected ids below"),
        ("dot", lambda t: t | {"source": t["source"] + 2**40}, "'source': expected ids below"),
        ("dot", lambda t: t | {"source": t["source"][:-1]}, "'source': expected ids below .* end symbol last"),
        ("dot", lambda t: t | {"source": np.append(t["source"], t["source"])}, "'decoder.weights': expected float32"),
        ("dot", lambda t: t | {"held": np.frombuffer(b"ab", np.uint8)}, "impossible pending text"),
        ("dot", lambda t: t | {"held": np.frombuffer(b"\xff", np.uint8)}, "state: expected bytes"),
        ("transformer, none", lambda t: t | {"decoder": t["decoder"][:, :-8]}, "'decoder': expected"),
        ("transformer, none", lambda t: t | {"decoder": t["decoder"] * 0}, "'decoder': expected a count"),
        ("transformer, none", lambda t: t | {"decoder": t["decoder"] + 1}, "'decoder': expected a count"),
    ],
)
def test_states_that_no_session_comes_to(folder: Path, name: str, change: Any, reason: str) -> None:
    session = runtime.load(folder / name).session("cab")
    session.push("a")
    before = session.state()
    with pytest.raises(ss.StepscanError, match=reason):
        session.restore(save(change(load(before))))
    assert session.state() == before


@pytest.mark.parametrize("state", [None, 5, "text", [], b"", b"junk"])
def test_what_is_not_bytes_of_a_state(folder: Path, state: Any) -> None:
    session = runtime.load(folder / "none").session("cab")
    with pytest.raises(ss.StepscanError, match="state: expected bytes"):
        session.restore(state)


@pytest.mark.parametrize("name", [*NAMES, "bpe"])
def test_mutated_bytes(folder: Path, name: str) -> None:
    """Random bytes changed, cut out or put in: an error of ours and an unchanged session, or a state that works."""
    model, chance = runtime.load(folder / name), random.Random(name)
    session = model.session("cab dog")
    session.push("der Hu" if name == "bpe" else "ab")
    before, refused = session.state(), 0
    for _ in range(200):
        mutated = bytearray(before)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(mutated))
            what = chance.random()
            if what < 0.6:
                mutated[at] = chance.choice((0, 255, chance.randrange(256)))
            elif what < 0.8:
                del mutated[at : at + chance.choice((1, 4, 8, 100))]
            else:
                mutated[at:at] = chance.randbytes(chance.choice((1, 4, 8)))
        victim = session.fork()
        try:
            victim.restore(bytes(mutated))
        except ss.StepscanError:
            refused += 1
            assert victim.state() == before
            continue
        with contextlib.suppress(ss.StepscanError):  # finite numbers may grow beyond what is
            victim.push("a"), victim.generate(3), model.step_batch([victim, session.fork()], ["a", "b"])
    assert refused > 40


# Threads --------------------------------------------------------------------------------------------------------------


def test_threads_share_a_session(folder: Path) -> None:
    model = runtime.load(folder / "additive")
    session, other = model.session("cab"), model.session("b")

    def work() -> None:
        for _ in range(20):
            session.push("a")
            model.step_batch([session, other], ["a", "a"])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.state() == expected_state(model, "cab", 160)
    assert other.state() == expected_state(model, "b", 80)


def expected_state(model: Any, source: str, count: int) -> bytes:
    session = model.session(source)
    session.push("a" * count)
    return session.state()
