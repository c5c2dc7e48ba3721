from __future__ import annotations

import gzip
from pathlib import Path

import pytest

REVIEWS = "text,label\n" + "a good film,pos\na bad film,neg\n" * 10
FILES = {
    "reviews.csv": REVIEWS,
    "empty.csv": "",
    "other.csv": "title,stars\na,b\n",
    "header.csv": "text,label\n",
    "one-class.csv": "text,label\na,pos\nb,pos\nc,pos\n",
    "late-class.csv": REVIEWS + "a new film,new\n",
    "ragged.csv": "text,label\na,pos\nb,neg,too much\n",
    "latin.csv": b"text,label\na,pos\ncaf\xe9,neg\n",
    "cut.csv.gz": gzip.compress(REVIEWS.encode())[:-20],
    "bad.jsonl": '{"text": "a", "label": "pos"}\n{"text": }\n',
    "source.txt": "a\nb\nc\n",
    "short.txt": "a\nb\n",
    "gap.txt": "a\n\nc\n",
    "pairs.tsv": "ab\tba\n" * 20,
    "tags.txt": "a X\nb\n",
    "words.conllu": "1\ta\t_\tX\n",
    "short-text.txt": "abc\n",
    "text.txt": "abc abd\n" * 40,
    "typo.toml": "hiden-size = 3\n",
    "broken.toml": "cell = \n",
    "table.toml": "[model]\ncell = 'gru'\n",
    "kind.toml": "hidden-size = 'big'\n",
    "file": "I was here before",
    "full/note.txt": "I was here before",
}


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A folder of hostile files, and the current one."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refuses(run):
    """Runs a command that must fail in words and leave everything as it was."""

    def check(folder: Path, code: int, fragments: list[str], *args: object) -> None:
        before = contents(folder)
        result = run(*args)
        assert (result.code, result.out) == (code, ""), result
        assert "Traceback" not in result.err
        assert result.words.startswith("error: " if code == 1 else "Usage: "), result.words
        for fragment in fragments:
            assert fragment in result.words
        assert contents(folder) == before

    return check


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file in a folder with its bytes, hidden ones too; None for a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
