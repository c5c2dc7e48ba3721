from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from stepscan.data.tokenizers import TextTokenizer
from stepscan.data.vocabulary import word_facts
from stepscan.errors import ModelFormatError, SettingsError, StepscanError

KINDS = ("word", "whitespace", "character", "byte", "bpe")
TEXTS = ["the cat sat on the mat", "The dog's well-made <unk> mat; don't!", "naïve café 日本 😀 <eos>"]
TRAINED = {kind: TextTokenizer.train(kind, TEXTS, vocabulary_size=300 if kind == "bpe" else None) for kind in KINDS}
every_kind = pytest.mark.parametrize("kind", KINDS)
text = st.text(st.characters(exclude_categories=["Cs"]))


@every_kind
def test_special_tokens_come_first(kind):
    tokenizer = TRAINED[kind]
    assert tokenizer.kind == kind
    assert tokenizer.tokens[:4] == ["<pad>", "<unk>", "<bos>", "<eos>"]
    assert (tokenizer.pad, tokenizer.unknown, tokenizer.begin, tokenizer.end) == (0, 1, 2, 3)
    assert len(tokenizer) == len(tokenizer.tokens) == len(set(tokenizer.tokens))
    assert repr(tokenizer) == f"TextTokenizer(kind={kind!r}, {len(tokenizer)} tokens)"


def test_the_most_frequent_come_first_and_ties_are_alphabetical():
    tokenizer = TextTokenizer.train("whitespace", ["b a c", "c B b", "é z"])
    assert tokenizer.tokens[4:] == ["b", "c", "B", "a", "z", "é"]
    assert tokenizer.encode("z\tc\n\u2028q  é") == [8, 5, 1, 9]
    tokenizer = TextTokenizer.train("character", ["abcb", "a"])
    assert tokenizer.tokens[4:] == ["a", "b", "c"]


def test_vocabulary_size_counts_special_tokens_and_rare_words_are_left_out():
    texts = ["a a a b b c d d"]
    assert TextTokenizer.train("word", texts, vocabulary_size=6).tokens[4:] == ["a", "b"]
    assert TextTokenizer.train("word", texts, minimum_count=3).tokens[4:] == ["a"]
    assert len(TextTokenizer.train("bpe", TEXTS * 2, vocabulary_size=270)) == 270
    assert len(TextTokenizer.train("bpe", TEXTS, minimum_count=99)) == 260


def test_words():
    pieces = {
        "I don't like it, it's 's well-made.": ["I", "don't", "like", "it", ",", "it's", "'s", "well-made", "."],
        "do n't 've ca n’t ’S l’été": ["do", "n't", "'ve", "ca", "n’t", "’S", "l’été"],
        "'hello' 'sir' dogs' -lrb- k-19": ["'", "hello", "'", "'", "sir", "'", "dogs", "'", "-", "lrb", "-", "k-19"],
        "3.14 1,000.50 a.b U.S. 2nd": ["3.14", "1,000.50", "a", ".", "b", "U", ".", "S", ".", "2nd"],
        "... -- `` '' foo_bar": [*"...--``''", "foo", "_", "bar"],
        "naïve cafe\u0301 क्षि Straße": ["naïve", "cafe\u0301", "क्षि", "Straße"],
        "می\u200cخواهم 😀😀\u00a0日本": ["می\u200cخواهم", "😀", "😀", "日本"],
    }
    for string, words in pieces.items():
        tokenizer = TextTokenizer.train("word", [string])
        assert [tokenizer.tokens[id] for id in tokenizer.encode(string)] == words
        assert tokenizer.decode(tokenizer.encode(string)) == " ".join(words)


@every_kind
def test_text_never_turns_into_special_ids(kind):
    ids = TRAINED[kind].encode("a <eos> <pad><bos> <unk>")
    if kind == "whitespace":
        assert ids == [1, 3, 1, 1]
    else:
        assert not {0, 2, 3} & set(ids)
    if kind in ("byte", "bpe"):
        assert 1 not in ids


def test_bpe_learns_no_special_token_from_text():
    tokenizer = TextTokenizer.train("bpe", ["<eos><pad> <eos>"] * 50, vocabulary_size=400)
    assert not set(range(4)) & set(tokenizer.encode("<eos><pad> <eos>"))
    assert tokenizer.decode(tokenizer.encode("<eos><pad> <eos>")) == "<eos><pad> <eos>"


def test_bytes_are_numbered_in_their_order():
    tokenizer = TRAINED["byte"]
    assert len(tokenizer) == 260
    assert tokenizer.encode("aé\n") == [4 + 97, 4 + 0xC3, 4 + 0xA9, 4 + 10]
    assert tokenizer.decode([4 + 0xC3]) == "\ufffd"


@pytest.mark.parametrize("kind", ["byte", "bpe"])
@settings(max_examples=100)
@given(string=text)
def test_bytes_and_bpe_round_trip(kind, string):
    tokenizer = TRAINED[kind]
    assert tokenizer.decode([2, *tokenizer.encode(string), 3, 0]) == string


@settings(max_examples=100)
@given(strings=st.lists(text))
def test_characters_round_trip_and_the_library_agrees(strings):
    tokenizer = TextTokenizer.train("character", strings)
    for string in strings:
        ids = tokenizer.encode(string)
        assert tokenizer.decode(ids) == string
        assert len(ids) == len(string)
        assert ids == tokenizer._tokenizer.encode(string).ids


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("kind", ["character", "byte"])
@settings(max_examples=50)
@given(string=text)
def test_what_is_looked_up_is_what_the_library_says(kind, lowercase, string):
    tokenizer = TextTokenizer.train(kind, TEXTS, lowercase=lowercase)
    assert tokenizer.encode(string) == tokenizer._tokenizer.encode(string).ids


@every_kind
def test_a_batch_is_its_texts(kind):
    tokenizer = TRAINED[kind]
    texts = [*TEXTS, "", " \n"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(each) for each in texts]
    assert tokenizer.encode_batch([]) == []
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


def test_what_is_unknown_shows():
    assert TRAINED["character"].encode("aZ")[1] == 1
    assert TRAINED["character"].decode(TRAINED["character"].encode("aZ")) == "a\ufffd"
    assert TRAINED["word"].decode(TRAINED["word"].encode("the zebra")) == "the \ufffd"
    assert TRAINED["bpe"].decode([1]) == "\ufffd"


@every_kind
@pytest.mark.parametrize("id", [-1, 10**6])
def test_ids_outside_the_vocabulary_are_refused(kind, id):
    tokenizer = TRAINED[kind]
    with pytest.raises(SettingsError) as caught:
        tokenizer.decode([4, id])
    assert str(caught.value) == f"expected ids from 0 to {len(tokenizer) - 1}, got {id}."


def test_one_id_for_each_token_of_split_text():
    sentences = [["New York", "dog's", "<pad>"], ["ΣΑΣ", "<pad>"]]
    tokenizer = TextTokenizer.train("word", sentences)
    assert tokenizer.tokens[4:] == ["New York", "dog's", "ΣΑΣ"]
    assert tokenizer.encode_tokens(["dog's", "New York", "new york", "", "<pad>", "<eos>"]) == [5, 4, 1, 1, 1, 1]
    tokenizer = TextTokenizer.train("whitespace", sentences, lowercase=True)
    assert tokenizer.tokens[4:] == ["dog's", "new york", "σασ"]
    assert tokenizer.encode_tokens(["ΣΑΣ", "new YORK", "x", "<unk>", "<eos>"]) == [6, 5, 1, 1, 3]
    assert tokenizer.encode("ΣΑΣ DOG's x <unk> <eos>") == [6, 4, 1, 1, 3]
    for kind in ("character", "byte", "bpe"):
        with pytest.raises(SettingsError) as caught:
            TRAINED[kind].encode_tokens(["a"])
        assert str(caught.value) == (
            f"expected a tokenizer with one id per token, got kind {kind!r}, which may give several; "
            "use kind 'whitespace' or 'word'."
        )


@every_kind
def test_lower_case(kind):
    tokenizer = TextTokenizer.train(kind, ["The ÉTÉ the"], lowercase=True)
    assert tokenizer.encode("THE été") == tokenizer.encode("the ÉTÉ")
    assert tokenizer.decode(tokenizer.encode("THE ÉTÉ")) == "the été"


@every_kind
def test_saved_tokenizers_load_the_same(kind, tmp_path):
    path = tmp_path / "tokenizer.json"
    TextTokenizer.train(kind, TEXTS, lowercase=True).save(path)
    tokenizer = TextTokenizer.train(kind, TEXTS, lowercase=True)
    for again in (TextTokenizer.load(path), pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert (again.kind, again.tokens) == (tokenizer.kind, tokenizer.tokens)
        for each in [*TEXTS, "<eos> DON'T"]:
            assert again.encode(each) == tokenizer.encode(each)
            assert again.decode(again.encode(each)) == tokenizer.decode(tokenizer.encode(each))
    assert Tokenizer.from_file(str(path)).token_to_id("<eos>") == 3
    assert os.listdir(tmp_path) == ["tokenizer.json"]


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ModelFormatError) as caught:
        TextTokenizer.load(path)
    assert str(caught.value).endswith("tokenizer.json cannot be read: No such file or directory")
    TRAINED["word"].save(path)
    whole = path.read_text()
    gap = json.loads(whole)
    gap["model"]["vocab"]["the"] = 1000
    for broken, reason in {
        "": "it is not JSON: Expecting value: line 1 column 1 (char 0).",
        whole[:-40]: "it is not JSON: ",
        "{}": "expected an object with added_tokens, decoder, model, ",
        json.dumps(gap): "expected ids from 0 without a gap in the vocabulary, got others.",
    }.items():
        path.write_text(broken)
        with pytest.raises(ModelFormatError) as caught:
            TextTokenizer.load(path)
        assert str(caught.value).startswith(f"{path}: not a valid tokenizer: {reason}")
    stranger = json.loads(whole)
    for splitter in (pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace()):
        path.write_text(json.dumps({**stranger, "pre_tokenizer": json.loads(splitter.__getstate__())}))
        with pytest.raises(ModelFormatError, match="expected a pre_tokenizer of a known kind, got "):
            TextTokenizer.load(path)


def changed(kind, **model):
    """The file of a trained tokenizer whose model is another."""
    found = json.loads(TRAINED[kind]._tokenizer.to_str())
    return json.dumps({**found, "model": {**found["model"], **model}})


VOCABULARY = TRAINED["bpe"]._tokenizer.get_vocab()
MERGES = json.loads(TRAINED["bpe"]._tokenizer.to_str())["model"]["merges"]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"dropout": 0.5}, "dropout of the BPE: expected None, got 0.5"),
        ({"unk_token": "<unk>"}, "unk_token of the BPE: expected None, got '<unk>'"),
        ({"continuing_subword_prefix": "a" * 10**6}, "continuing_subword_prefix of the BPE: expected None, got 'aaa"),
        ({"end_of_word_suffix": "é"}, "end_of_word_suffix of the BPE: expected None, got 'é'"),
        ({"byte_fallback": True}, "byte_fallback of the BPE: expected False, got True"),
        ({"fuse_unk": 0}, "fuse_unk of the BPE: expected False, got 0"),
        ({"ignore_merges": True}, "ignore_merges of the BPE: expected False, got True"),
        ({"cache_capacity": 2**40}, "expected a BPE with type, dropout, "),
        ({"merges": None}, "expected a list of merges, got None"),
        ({"merges": [["a", ""]]}, "expected merges of two tokens of the vocabulary, each pair once, got ['a', '']"),
        ({"merges": [["q", "x"]]}, "expected merges of two tokens of the vocabulary, each pair once, got ['q', 'x']"),
        (
            {"merges": [["a", "b", "c"]]},
            "expected merges of two tokens of the vocabulary, each pair once, got ['a', 'b",
        ),
        ({"merges": [*MERGES, MERGES[0]]}, "expected merges of two tokens of the vocabulary, each pair once"),
        ({"merges": ["a t"]}, "expected merges of two tokens of the vocabulary, each pair once"),
        ({"merges": [["<pad", ">"]]}, "expected merges of two tokens of the vocabulary, each pair once"),
        ({"vocab": {**VOCABULARY, "": len(VOCABULARY)}}, "expected tokens of bytes, got an empty one"),
        ({"vocab": {**VOCABULARY, "日": len(VOCABULARY)}}, "expected tokens of bytes, got one with '日'"),
        (
            {"vocab": {"aa" if token == "a" else token: id for token, id in VOCABULARY.items()}, "merges": []},
            "expected the characters of all 256 bytes in the vocabulary, got none 'a'",
        ),
    ],
)
def test_pieces_that_nobody_learned(model, reason):
    with pytest.raises(ModelFormatError) as caught:
        TextTokenizer.parse(changed("bpe", **model), "tokenizer.json")
    assert str(caught.value).startswith(f"tokenizer.json: not a valid tokenizer: {reason}")
    assert len(str(caught.value)) < 400


def test_bytes_in_another_order():
    vocabulary = TRAINED["byte"]._tokenizer.get_vocab()
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    for model in ({"vocab": vocabulary}, {"merges": [["a", "b"]]}):
        with pytest.raises(ModelFormatError, match="expected the bytes in their order and no merges"):
            TextTokenizer.parse(changed("byte", **model), "t")
    with pytest.raises(ModelFormatError, match="expected 260 symbols for a tokenizer of bytes, got 10"):
        TextTokenizer.parse(changed("byte", vocab={token: id for token, id in vocabulary.items() if id < 10}), "t")


@every_kind
def test_a_file_says_what_was_saved(kind, tmp_path):
    TRAINED[kind].save(tmp_path / "first.json")
    TextTokenizer.load(tmp_path / "first.json").save(tmp_path / "second.json")
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()


def test_a_panic_of_the_library_is_an_error(monkeypatch):
    """What a file can no longer cause: a pattern that takes too long panics, which is not an `Exception`."""
    library = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.Split(Regex("(a|aa)+$"), "isolated")
    tokenizer = copy.deepcopy(TRAINED["word"])
    tokenizer._tokenizer = library
    with pytest.raises(StepscanError, match="the tokenizers library failed on this text: "):
        tokenizer.encode("a" * 60 + "b")


TOO_SMALL = "vocabulary_size: expected %d or more for a tokenizer of kind"


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("words", {}, "unknown tokenizer 'words'. Did you mean 'word'?"),
        ("word", {"minimum_count": 0}, "minimum_count: expected 1 or more, got 0."),
        ("word", {"vocabulary_size": 4}, f"{TOO_SMALL % 5} 'word', got 4."),
        ("bpe", {"vocabulary_size": 259}, f"{TOO_SMALL % 260} 'bpe', got 259."),
    ],
)  # fmt: skip
def test_wrong_settings(kind, settings, reason):
    with pytest.raises(SettingsError) as caught:
        TextTokenizer.train(kind, TEXTS, **settings)
    assert str(caught.value) == reason


def test_training_does_not_depend_on_the_hash_seed():
    code = (
        "import random, sys; from stepscan.data.tokenizers import TextTokenizer; r = random.Random(0)\n"
        "texts = [' '.join(''.join(r.choices('abcdé', k=4)) for _ in range(9)) for _ in range(300)]\n"
        "for kind in sys.argv[1:]:\n"
        "    t = TextTokenizer.train(kind, texts, vocabulary_size=500); print(t.tokens, t.encode_batch(texts))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, *KINDS],
            env={**os.environ, "PYTHONHASHSEED": seed, "TOKENIZERS_PARALLELISM": parallel, "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed, parallel in [("1", "true"), ("2", "true"), ("3", "false")]
    ]
    assert len({hashlib.sha256(output).digest() for output in outputs}) == 1
    assert outputs[0].count(b"\n") == len(KINDS)


def test_word_facts():
    """Of "The the cat sat ." the words are the, the, cat, sat."""
    assert word_facts(["The the cat", "sat ."], lowercase=True) == (0.5, 3.0)
    assert word_facts(["The the cat", "sat ."], lowercase=False) == (1.0, 3.0)
    assert word_facts(["...", ""], lowercase=True) == (0.0, 0.0)


def test_more_words_after_its_own(tmp_path):
    tokenizer = TextTokenizer.train("word", ["a cat a"], lowercase=True)
    more = tokenizer.extended(["cat", "dog", "Dog", "two words", "u.s.", "<unk>", "emu", "dog"])
    assert more.tokens == ["<pad>", "<unk>", "<bos>", "<eos>", "a", "cat", "dog", "emu"]
    assert more.encode("A Dog , emu") == [4, 6, 1, 7]
    more.save(tmp_path / "t.json")
    assert TextTokenizer.load(tmp_path / "t.json").tokens == more.tokens
    assert len(tokenizer) == 6
