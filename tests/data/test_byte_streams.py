"""Streams are opened once, whatever they are called, and lose nothing to whoever only looks."""

from __future__ import annotations

import gzip
import io
import logging
import os
import sys
import threading
import time
import zlib
from contextlib import suppress

import numpy as np
import pytest

from stepscan.data.byte_streams import available_chunks, file_descriptor, is_stream, may_block
from stepscan.data.line_writer import write_chunks, write_lines
from stepscan.data.lines import check_files, read_lines, read_text
from stepscan.data.readers import read_labelled, read_parallel, read_sentences, read_tagged, read_texts
from stepscan.data.series.npy_files import unlabelled_arrays
from stepscan.data.series.readers import read_labelled_series, read_series
from stepscan.data.vectors import read_vectors
from stepscan.errors import DataError

MANY = "".join(f"w{number % 7}\tX{number % 3}\n" + "\n" * (number % 5 == 0) for number in range(30_000))


@pytest.fixture
def pipe():
    """`pipe(bytes)`: the path of an open pipe through which they come, in small pieces if `pause` says so."""
    opened = []

    def make(raw: bytes, pause: float = 0.0, size: int = 4096) -> str:
        reading, writing = os.pipe()
        opened.append(reading)

        def write() -> None:
            with suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as file:
                for start in range(0, len(raw), size):
                    file.write(raw[start : start + size])
                    time.sleep(pause)

        threading.Thread(target=write, daemon=True).start()
        return f"/dev/fd/{reading}"

    yield make
    for number in opened:
        os.close(number)


@pytest.fixture
def fifo(tmp_path):
    def make(raw: bytes, name: str = "fifo"):
        path = tmp_path / name
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=(raw,), daemon=True).start()
        return path

    return make


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "fifo"])
def test_all_of_a_stream_is_read_by_every_reader(request, tmp_path, kind, packed):
    """Each reader, those that look at the first lines first too, finds in a stream what it finds in a file."""
    make = request.getfixturevalue(kind)
    csv = "text,label\n" + "a good film,pos\na bad film,neg\n" * 5_000
    contents = {
        "t.txt": ("a\u2028b\x0cc\n" * 20_000, read_text),
        "lines.txt": ("a b c\n" * 20_000, lambda path: list(read_lines(path))),
        "texts.csv": (csv, lambda path: read_texts(path, format="csv")),
        "l.csv": (csv, lambda path: read_labelled(path, format="csv")),
        "pairs.tsv": ("ab\tba\n" * 9_000, lambda path: read_parallel(path, format="tsv")),
        "s.conll": (MANY, lambda path: read_sentences(path)),
        "c.conll": (MANY, lambda path: read_sentences(path, format="columns")),
        "tags.conll": (MANY, read_tagged),
        "x.ts": ("@data\n" + "1,2,3:a\n" * 9_000, lambda path: len(read_labelled_series(path, format="ts"))),
        "h.csv": ("x,y\n" + "1,2\n" * 9_000, lambda path: [one.tolist() for one in read_series(path)]),
        "v.txt": ("a 1 2\n" * 9_000 + "b 3 4\n", lambda path: read_vectors(path, ["b"])[0]["b"].tolist()),
    }
    for name, (text, read) in contents.items():
        raw = gzip.compress(text.encode()) if packed else text.encode()
        (tmp_path / name).write_bytes(raw)
        expected = read(tmp_path / name)
        assert read(make(raw, *(["f" + name] if kind == "fifo" else []))) == expected, name


@pytest.mark.parametrize("packed", [False, True])
def test_a_slow_stream_is_the_same(pipe, packed):
    raw = b"\xef\xbb\xbfone\r\ntwo\n"
    raw = gzip.compress(raw) + gzip.compress(b"three") if packed else raw + b"three"
    assert list(read_lines(pipe(raw, pause=0.001, size=1))) == [(1, "one"), (2, "two"), (3, "three")]


def test_arrays_come_through_streams(pipe):
    file = io.BytesIO()
    np.save(file, np.arange(40_000.0).reshape(-1, 2))
    for raw in (file.getvalue(), gzip.compress(file.getvalue())):
        assert unlabelled_arrays(pipe(raw))[0].sum() == 799_980_000


def test_a_look_gives_back(pipe):
    path = pipe(b"first\n" + b"x" * 9_000 + b"\nlast")
    assert next(iter(read_lines(path, peek=True))) == (1, "first")
    assert [line[:5] for _, line in read_lines(path, peek=True)] == ["first", "xxxxx", "last"]
    assert [line[:5] for _, line in read_lines(path)] == ["first", "xxxxx", "last"]
    with pytest.raises(DataError, match="got an empty file"):  # what was read is over
        list(read_lines(path))


def test_reading_again_from_the_middle_is_an_error(pipe):
    path = pipe(b"a line\n" * 300_000)
    lines = read_lines(path)
    for _ in range(250_000):
        next(lines)
    lines.close()
    with pytest.raises(DataError) as caught:
        next(read_lines(path))
    assert str(caught.value) == (
        f"{path}: expected to read it once, got a second reader: its beginning is gone. Save it as a file first."
    )


def test_a_named_pipe_can_be_used_again(fifo, tmp_path):
    path = fifo(b"one\n")
    assert list(read_lines(path)) == [(1, "one")]
    path.unlink()
    assert list(read_lines(fifo(b"two\n"))) == [(1, "two")]


def test_what_a_path_names(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a\n")
    (tmp_path / "link").symlink_to("/dev/fd/1")
    (tmp_path / "chain").symlink_to("link")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "7").write_text("a\n")
    monkeypatch.chdir(tmp_path)
    names = ["/dev/stdin", "/dev/stdout", "/dev/fd/63", "/proc/self/fd/5", f"/proc/{os.getpid()}/fd/5", "link", "chain"]
    assert [file_descriptor(name) for name in names] == [0, 1, 63, 5, 5, 1, 1]
    names = ["file", "loop", "7", "missing", "/dev/null", "/proc/1/fd/3", tmp_path]
    assert [file_descriptor(name) for name in names] == [None] * 7
    assert [is_stream(name) for name in ("-", "/dev/null", "chain", "file", "missing", tmp_path, "loop")] == [
        *[True] * 3,
        *[False] * 4,
    ]


def test_a_file_on_standard_input_does_not_keep_one_waiting(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a\n")
    with open(tmp_path / "file") as file:
        assert not may_block(f"/dev/fd/{file.fileno()}")
        monkeypatch.setattr(sys, "stdin", file)
        assert not may_block("-")
    reading, writing = os.pipe()
    assert may_block(f"/dev/fd/{reading}")
    assert not may_block(tmp_path / "file")
    os.close(reading)
    os.close(writing)
    assert not may_block(f"/dev/fd/{reading}")


def test_checking_leaves_streams_alone(fifo, pipe):
    path = fifo(b"one\n")
    check_files([path])
    assert list(read_lines(path)) == [(1, "one")]
    one = pipe(b"one\n")
    with pytest.raises(DataError) as caught:
        check_files([one, f"/proc/self/fd/{one.rpartition('/')[2]}"])
    assert str(caught.value).endswith(": expected it once, got it twice: it can be read only once.")
    check_files([one])
    assert list(read_lines(one)) == [(1, "one")]


def test_standard_input_is_named(monkeypatch):
    def given(raw):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))

    given(b"\xef\xbb\xbfone\r\n")
    assert list(read_lines("-")) == [(1, "one")]
    for raw, message in (
        (b"a\n\xff\n", "standard input, line 2: expected UTF-8 text, got 0xff at byte 1 of the line."),
        (b"a\0\n", "standard input, line 1: expected text, got NUL (0x00) at byte 2 of the line."),
        (b"", "standard input: expected at least one line of text, got an empty file."),
        (gzip.compress(b"a\n")[:-4], "standard input, line 2: expected gzip data, got a truncated or damaged file"),
        (b"\xff\xfea\0", "standard input: expected UTF-8 text, got the byte order mark of UTF-16."),
        (b"a\rb\rc", "standard input: expected lines that end in LF or CRLF"),
        (b"a" * (2**24 + 1), "standard input, line 1: expected a line of at most 16 MiB, got a longer one."),
    ):
        given(raw)
        with pytest.raises(DataError) as caught:
            list(read_lines("-"))
        assert str(caught.value).startswith(message)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match=r"^standard input: expected text, got a closed standard input\.$"):
        list(read_lines("-"))


def test_lines_are_there_as_soon_as_they_were_sent():
    for packer in (None, zlib.compressobj(wbits=31)):
        reading, writing = os.pipe()

        def send(text, packer=packer, writing=writing):
            raw = text.encode()
            os.write(writing, packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH) if packer else raw)

        portions = available_chunks(read_lines(f"/dev/fd/{reading}"), 5)
        send("one\n")
        assert next(portions) == [(1, "one")]
        send("two\nthr")
        assert next(portions) == [(2, "two")]
        send("ee\n")
        assert next(portions) == [(3, "three")]
        if packer:
            os.write(writing, packer.flush())
        os.close(writing)
        assert list(portions) == []
        os.close(reading)


def test_portions_are_all_there_is_and_errors_come_last():
    def items():
        yield from range(100)
        raise KeyError("end")

    found = []

    def collect():
        for portion in available_chunks(items(), 7):
            assert 1 <= len(portion) <= 7
            found.extend(portion)

    with pytest.raises(KeyError, match="end"):
        collect()
    assert found == list(range(100))
    assert list(available_chunks(iter(()), 7)) == []


def test_an_open_file_is_written_on(tmp_path):
    """As a shell's `{ …; } > file` has it: what stands there stays, and what comes later follows."""
    with open(tmp_path / "out", "w+b", buffering=0) as file:
        file.write(b"before\n")
        write_lines(f"/dev/fd/{file.fileno()}", ["one"])
        (tmp_path / "link").symlink_to(f"/proc/self/fd/{file.fileno()}")
        write_lines(tmp_path / "link", ["two"])
        file.write(b"after\n")
    assert (tmp_path / "out").read_bytes() == b"before\none\ntwo\nafter\n"
    assert sorted(os.listdir(tmp_path)) == ["link", "out"]


def test_portions_are_written_at_once(capfd, tmp_path):
    written = []

    def portions():
        yield ["one", "two"]
        written.append(capfd.readouterr().out)
        yield ["three"]
        written.append(capfd.readouterr().out)

    write_chunks("-", portions())
    assert written == ["one\ntwo\n", "three\n"]
    with pytest.raises(
        DataError, match=r"^standard output, line 3: expected one line to write, got text with a line end\.$"
    ):
        write_chunks("-", [["one"], ["two", "a\nb"]])


def test_a_pipe_whose_name_says_gzip_gets_gzip(tmp_path):
    os.mkfifo(tmp_path / "out.gz")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "out.gz").read_bytes()))
    reader.start()
    write_lines(tmp_path / "out.gz", ["é", "b"])
    reader.join(30)
    assert gzip.decompress(found[0]) == "é\nb\n".encode()


def test_a_tagger_is_told_what_a_stream_holds(pipe, caplog):
    """Without a name that says so: text, one sentence a line, unless there are tabs."""
    caplog.set_level(logging.WARNING, "stepscan")
    assert read_sentences(pipe(b"ab cd\n\nef")) == [["ab", "cd"], [], ["ef"]]
    assert read_sentences(pipe(b"# a title\n")) == [["#", "a", "title"]]
    assert read_sentences(pipe(b"ab\tX\ncd\tY\n\nef\tX\n")) == [["ab", "cd"], ["ef"]]
    row = "\t_" * 8 + "\n"
    conllu = f"# text = ab cd\n1\tab{row}2\tcd{row}\n".encode()
    assert read_sentences(pipe(conllu)) == [["ab", "cd"]]
    assert not caplog.records
    path = pipe(b"ab\ncd\n")
    assert read_sentences(path) == [["ab"], ["cd"]]
    assert caplog.messages == [f"{path}: read as text, one sentence per line; for columns add --format columns"]
    assert read_sentences(pipe(b"ab\ncd\n"), format="columns") == [["ab", "cd"]]
