from __future__ import annotations

import gzip
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepscan.data.line_writer import write_lines
from stepscan.data.lines import read_lines, read_text
from stepscan.errors import DataError


def message(path):
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    with pytest.raises(DataError) as again:
        read_text(path)
    assert str(again.value) == str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_lines_are_numbered_and_end_at_lf_and_crlf_only(tmp_path, packed):
    raw = b"\xef\xbb\xbfone\r\n\n two\x0c\xe2\x80\xa8\xc2\x85\x0b\x1c \rthree\n\xef\xbb\xbffour\r"
    path = tmp_path / "no-gz-in-the-name.txt"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    lines = ["one", "", " two\x0c\u2028\x85\x0b\x1c \rthree", "\ufefffour\r"]
    assert list(read_lines(path)) == list(enumerate(lines, start=1))
    assert read_text(path) == "\n".join(lines)
    assert list(read_lines(str(path))) == list(read_lines(path))


def test_text_keeps_whether_the_last_line_is_ended(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"a\r\nb\r\n")
    assert read_text(path) == "a\nb\n"
    assert list(read_lines(path)) == [(1, "a"), (2, "b")]


def test_reading_streams(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"good\n\xff\n")
    assert next(read_lines(path)) == (1, "good")


@pytest.mark.parametrize("raw", [b"", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0), gzip.compress(b"\n", mtime=0)])
def test_a_file_without_text_is_an_error(tmp_path, raw):
    path = tmp_path / "void.txt"
    path.write_bytes(raw)
    assert message(path) == f"{path}: expected at least one line of text, got an empty file."
    path.write_bytes(b"\n \t\r\n\n")
    assert message(path) == f"{path}: expected at least one line of text, got only blank lines."


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "train.txt.gz").touch()
    path = tmp_path / "train.txt"
    assert message(path) == f"{path}: no such file. Did you mean 'train.txt.gz'?"
    path = tmp_path / "zzz"
    assert message(path) == f"{path}: no such file."
    path = tmp_path / "folder" / "train.txt"
    assert message(path) == f"{path}: no such file: there is no folder '{tmp_path / 'folder'}'."
    path = tmp_path / "train.txt.gz" / "x"
    assert message(path) == f"{path}: the file cannot be read: Not a directory."


def test_a_folder_is_not_a_file(tmp_path):
    assert message(tmp_path) == f"{tmp_path}: expected a file, got a folder. Name a file in it."


@pytest.mark.parametrize("packed", [False, True])
def test_bytes_that_are_not_utf8_are_named(tmp_path, packed):
    path = tmp_path / "latin1.txt"
    raw = b"fine\n\xc3\xa9t\xe9\n"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert message(path) == (
        f"{path}, line 2: expected UTF-8 text, got 0xe9 at byte 4 of the line. "
        "Convert the file first, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW"
    )


def test_surrogates_are_not_utf8(tmp_path):
    path = tmp_path / "cesu"
    path.write_bytes(b"\xed\xa0\x80")
    assert "line 1: expected UTF-8 text, got 0xed at byte 1 of the line." in message(path)


def test_gzip_that_is_cut_off_or_damaged_is_an_error(tmp_path):
    path = tmp_path / "a.gz"
    whole = gzip.compress(b"one\ntwo\n")
    path.write_bytes(whole[:-5])
    assert message(path).startswith(
        f"{path}, line 3: expected gzip data, got a truncated or damaged file: Compressed file ended"
    )
    assert message(path).endswith(". Fetch or compress the file again.")
    path.write_bytes(whole[:-8] + bytes(8))
    assert message(path).startswith(
        f"{path}, line 3: expected gzip data, got a truncated or damaged file: CRC check failed"
    )
    path.write_bytes(whole[:10] + b"\xff" * 9)
    assert message(path).startswith(f"{path}, line 1: expected gzip data, got a truncated or damaged file: Error -3")


LINES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n")).filter(lambda line: line[-1:] != "\r")
)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@settings(max_examples=50)
@given(lines=LINES)
def test_what_is_written_reads_back(tmp_path_factory, name, lines):
    path = tmp_path_factory.mktemp("lines") / name
    lines = ["first", *lines]
    write_lines(path, lines)
    assert [line for _, line in read_lines(path)] == lines
    assert read_text(path) == "".join(line + "\n" for line in lines)
    assert os.listdir(path.parent) == [name]


def test_gzip_is_written_by_name_and_always_the_same(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_lines(tmp_path / name, ["é"])
    packed = (tmp_path / "a.gz").read_bytes()
    assert gzip.decompress(packed) == b"\xc3\xa9\n"
    assert (tmp_path / "b.gz").read_bytes() == packed


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.txt"
    write_lines(path, ["old"])

    def lines():
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lines(path, lines())
    for broken in ("a\nb", "a\r"):
        with pytest.raises(DataError) as caught:
            write_lines(path, ["new", broken])
        assert str(caught.value) == f"{path}, line 2: expected one line to write, got text with a line end."
    assert path.read_bytes() == b"old\n"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_writing_into_a_missing_folder_is_an_error(tmp_path):
    path = tmp_path / "no" / "out.txt"
    with pytest.raises(DataError) as caught:
        write_lines(path, ["a"])
    assert str(caught.value) == f"{path}: the file cannot be written: No such file or directory."


def test_neither_readers_nor_tokenizers_import_torch():
    code = "import sys, stepscan.data.readers, stepscan.data.tokenizers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_pipe_is_written_to_and_a_link_is_followed(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    write_lines(tmp_path / "pipe", ["one", "two"])
    assert reader.communicate(timeout=30)[0] == b"one\ntwo\n"
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_lines(tmp_path / "link", ["three"])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "three\n"
