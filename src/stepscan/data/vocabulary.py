"""How each kind of tokenizer splits text, and how its vocabulary is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from stepscan.errors import SettingsError, nearest

SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>")

# A token of kind "word" is a clitic of the Penn Treebank ('s; its n't is a word); or letters and digits, with
# apostrophes, hyphens and joiners inside, and points and commas between digits; or any single other character.
_RUN = r"[\p{L}\p{M}\p{N}]+"
_CLITIC = rf"['’](?i:s|m|d|t|ll|re|ve|em)(?!{_RUN})"
_WORD = rf"{_RUN}(?:(?:['’\u200c\u200d-]|(?<=\p{{N}})[.,](?=\p{{N}})){_RUN})*"


class Kind(NamedTuple):
    """How a kind of tokenizer splits text, and how it joins tokens (without a decoder, by spaces)."""

    splitter: Any
    decoder: Any = None


_BYTES = decoders.ByteLevel()
KINDS = {
    "word": Kind(pre_tokenizers.Split(Regex(rf"{_CLITIC}|{_WORD}|\S"), "removed", invert=True)),
    "whitespace": Kind(pre_tokenizers.WhitespaceSplit()),
    "character": Kind(pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated"), decoders.Fuse()),
    "byte": Kind(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), _BYTES),
    "bpe": Kind(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), _BYTES),
}


class WordFacts(NamedTuple):
    """About the words of texts: tokens of kind "word" with a letter or a digit."""

    unknown: float  # the share of words that occur once: about that of unknown words in new texts (Good 1953)
    length: float  # mean characters per word


def word_facts(texts: Iterable[str], *, lowercase: bool) -> WordFacts:
    """The facts about the words of texts, whose case counts unless `lowercase`."""
    counts = _count("word", texts, str.lower if lowercase else str)
    words = {token: count for token, count in counts.items() if any(map(str.isalnum, token))}
    total = max(1, sum(words.values()))
    once = sum(count == 1 for count in words.values())
    return WordFacts(once / total, sum(len(word) * count for word, count in words.items()) / total)


def build_tokenizer(
    kind: str,
    texts: Iterable[str | list[str]],
    vocabulary_size: int | None,
    lowercase: bool,
    minimum_count: int,
) -> Tokenizer:
    """A tokenizer with its vocabulary; arguments and errors are those of `TextTokenizer.train`."""
    _check_settings(kind, vocabulary_size, minimum_count)
    tokenizer = _without_special_tokens(kind, models.BPE(), lowercase)
    if kind == "bpe":
        _train_bpe(tokenizer, texts, vocabulary_size or 8000, minimum_count)
    elif kind == "byte":
        tokenizer.model = models.BPE(numbered([*SPECIAL, *byte_letters()]), [])
    else:
        counts = _count(kind, texts, normaliser(tokenizer))
        kept = [token for token, count in counts.items() if count >= minimum_count and token not in SPECIAL]
        # The order of equally frequent tokens of WordLevelTrainer is random.
        kept.sort(key=lambda token: (-counts[token], token))
        tokenizer.model = models.WordLevel(numbered([*SPECIAL, *kept][:vocabulary_size]), unk_token="<unk>")
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def make_tokenizer(kind: str, model: Any, *, lowercase: bool) -> Tokenizer:
    """A tokenizer of a kind with a given model, whose vocabulary has the special tokens."""
    tokenizer = _without_special_tokens(kind, model, lowercase)
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _without_special_tokens(kind: str, model: Any, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = KINDS[kind].splitter
    if KINDS[kind].decoder is not None:
        tokenizer.decoder = KINDS[kind].decoder
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def normaliser(tokenizer: Tokenizer) -> Callable[[str], str]:
    """The function by which a tokenizer changes text before it splits it: to lower case, or not at all."""
    # The library's lower case differs from str.lower, for example at the end of a Greek word.
    return tokenizer.normalizer.normalize_str if tokenizer.normalizer else str


def _check_settings(kind: str, vocabulary_size: int | None, minimum_count: int) -> None:
    if kind not in KINDS:
        raise SettingsError(f"unknown tokenizer {kind!r}.{nearest(kind, KINDS)}")
    if minimum_count < 1:
        raise SettingsError(f"minimum_count: expected 1 or more, got {minimum_count}.")
    least = len(SPECIAL) + (256 if kind in ("byte", "bpe") else 1)
    if vocabulary_size is not None and vocabulary_size < least:
        raise SettingsError(
            f"vocabulary_size: expected {least} or more for a tokenizer of kind {kind!r}, got {vocabulary_size}."
        )


def _count(kind: str, texts: Iterable[str | list[str]], normalise: Callable[[str], str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    split = KINDS[kind].splitter.pre_tokenize_str
    for text in texts:
        if isinstance(text, list):
            counts.update(map(normalise, text))
        elif kind == "character":
            counts.update(normalise(text))
        else:
            counts.update([token for token, _ in split(normalise(text))])
    return counts


def _train_bpe(tokenizer: Tokenizer, texts: Iterable[str | list[str]], size: int, minimum_count: int) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=minimum_count,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)


def byte_letters() -> list[str]:
    """The characters by which byte-level models represent the 256 bytes, in the order of the bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = {ord(letter): letter for letter in alphabet if ord(letter) < 256}
    others = iter(alphabet[len(plain) :])
    return [plain.get(byte) or next(others) for byte in range(256)]


def numbered(tokens: Iterable[str]) -> dict[str, int]:
    """Tokens with their ids: 0, 1, …"""
    return {token: id for id, token in enumerate(tokens)}
