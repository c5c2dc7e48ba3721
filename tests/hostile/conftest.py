from __future__ import annotations

import gzip
import os
import re
import shlex
from pathlib import Path

import pytest

REVIEWS = "text,label\n" + "".join(f"a good film{' film' * n},pos\na bad film{' film' * n},neg\n" for n in range(10))
FILES = {
    "reviews.csv": REVIEWS,
    "empty.csv": "",
    "other.csv": "title,stars\na,b\n",
    "header.csv": "text,label\n",
    "one-class.csv": "text,label\na,pos\nb,pos\nc,pos\n",
    "ragged.csv": "text,label\na,pos\nb,neg,too much\n",
    "doubled.csv": "text,label,text\ngood,pos,x\nbad,neg,x\n",
    "two-headers.csv": REVIEWS + REVIEWS,
    "swapped.csv": "label,text\npos,good\nneg,bad\n",
    "decimals.csv": "text;score\ngood;1,234\nbad;2,000\n",
    "ids.csv": "text,label\n" + "".join(f"text {i},{i}\n" for i in range(20)),
    "missing.csv": "text,label\ngood,pos\nbad,NaN\n",
    "three.tsv": "Go.\tVa !\tCC-BY 2.0\nWho?\tQui ?\tCC-BY 2.0\n",
    "after.txt": "a good film\tpos\na bad film\tneg\n",
    "sales.csv": "month,sales\n2020-01,1\n2020-02,2\n",
    "target.ts": "@targetlabel true\n@data\n1,2:0.5\n3,4:0.25\n",
    "latin.csv": b"text,label\na,pos\ncaf\xe9,neg\n",
    "cut.csv.gz": gzip.compress(REVIEWS.encode(), mtime=0)[:-20],
    "bad.jsonl": '{"text": "a", "label": "pos"}\n{"text": }\n',
    "source.txt": "a\nb\nc\n",
    "short.txt": "a\nb\n",
    "gap.txt": "a\n\nc\n",
    "pairs.tsv": "".join(f"{'ab' * n}\t{'ba' * n}\n" for n in range(1, 21)),
    "tags.txt": "a X\nb\n",
    "words.conllu": "1\ta\t_\tX\n",
    "three.conll": "word pos ner\na X O\n\n# of all that\nb Y B-z\n# of all this\nc X O\n",
    "counted.conll": "1\ta\tX\n2\tb\tY\n",
    "blank.conll": "a X _\nb Y _\n",
    "short-text.txt": "abc\n",
    "gap.csv": "month,sales\n2021-01,1\n2021-02,2\n2021-05,3\n2021-06,4\n",
    "newest.csv": "month,sales\n2021-03,1\n2021-02,2\n2021-01,3\n",
    "twice.csv": "month,sales\n2021-01,1\n2021-02,2\n2021-02,3\n",
    "long.csv": "shop,month,sales\nA,2021-01,1\nA,2021-02,2\nB,2021-01,3\nB,2021-02,4\n",
    "panel.csv": "subject,v,w,label\n1,1,2,a\n1,3,4,a\n2,5,6,b\n",
    "across.csv": "shop,2021-01,2021-02\nA,1,2\nB,3,4\n",
    "either.csv": "day,sales\n01/01/2021,1\n01/02/2021,2\n01/03/2021,3\n",
    "tagged-gap.csv": "ms,x,tag\n0,1,a\n20,2,b\n40,1,a\n100,3,a\n",
    "text.txt": "abc abd\n" * 40,
    "deep.toml": "cell = " + "[" * 5000 + "]" * 5000,
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


PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
TRIED: dict[str, list[str]] = {}  # by test: each command, and what was said


@pytest.fixture
def refuses(run, request):
    """Runs a command that must fail in words, leave everything as it was, and stand in the catalogue of errors."""

    def check(folder: Path, code: int, fragments: list[str], *args: object) -> None:
        before = contents(folder)
        result = run(*args)
        assert (result.code, result.out) == (code, ""), result
        assert "Traceback" not in result.err
        assert result.words.startswith("error: " if code == 1 else "Usage: "), result.words
        for fragment in fragments:
            assert fragment in result.words
        assert contents(folder) == before
        said = _without_places(result.words, folder)
        record(request.node, _without_places(shlex.join(["stepscan", *map(str, args)]), folder), said)
        if not os.environ.get("WRITE_ERRORS"):
            assert said in PAGE.read_text(), "docs/errors.md is out of date: make errors"

    return check


def record(node: pytest.Item, command: str, said: str) -> None:
    """Enter a command into the catalogue, with what its test did to the files before."""
    case: dict[str, object] = (getattr(node, "callspec", None) and node.callspec.params) or {}
    changes = [str(value)[:100] for name, value in case.items() if name in ("name", "change", "text")]
    entry = "".join(f"# {change}\n" for change in changes) + f"$ {command}\n{said}\n"
    entries = TRIED.setdefault(f"{node.path.name}:{node.originalname.removeprefix('test_').replace('_', ' ')}", [])
    if entry not in entries:
        entries.append(entry)


def _without_places(text: str, folder: Path) -> str:
    """The text without what differs from run to run: where it ran, and where in a file of times a fault was seen."""
    text = text.replace("python -m pytest.stepscan", "stepscan")  # click names the program that runs it
    text = re.sub(r"column \d+ \(char \d+\)", "column … (char …)", text)
    text = re.sub(r"/\S*/models\d+/", "models/", text.replace(f"{folder}/", ""))
    return text.replace(str(folder), ".")


def pytest_sessionfinish() -> None:
    """With WRITE_ERRORS, the catalogue is written anew out of what was tried."""
    if not os.environ.get("WRITE_ERRORS"):
        return
    parts = [HEAD, "## The files\n\n| file | what is in it |\n|---|---|\n"]
    parts += [f"| `{name}` | `{_shown(content)}` |\n" for name, content in FILES.items()]
    for key, said in TRIED.items():
        parts.append(f"\n## {key.partition(':')[2].capitalize()}\n\n```text\n{chr(10).join(said)}```\n")
    PAGE.write_text("".join(parts))


HEAD = """# Error messages

This page is made by the tests (`make errors`): each command was run, ended with exit code 1 (2 for wrong usage), wrote
nothing, and said what stands below it. Where a line is bad, `--skip-bad-lines` skips, counts and reports it instead.

"""


def _shown(content: str | bytes) -> str:
    text = repr(content).removeprefix("b")[1:-1]
    return (text if len(text) <= 60 else text[:57] + "…").replace("|", "\\|").replace("`", "'") or " "


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file in a folder with its bytes, hidden ones too; None for a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
