"""From text to ids and back: Hugging Face `tokenizers`, built so that the same texts always give the same ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer, models

from stepscan.data.line_writer import write_lines
from stepscan.data.tokenizer_file import parse_tokenizer
from stepscan.data.vocabulary import KINDS, SPECIAL, build_tokenizer, make_tokenizer, normaliser, numbered
from stepscan.errors import ModelFormatError, SettingsError, StepscanError


@contextmanager
def _panics_as_errors() -> Iterator[None]:
    """Turn a panic of the tokenizers library, which is not an `Exception`, into a StepscanError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise StepscanError(f"the tokenizers library failed on this text: {str(error)[:200]!r}") from None


_TAIL = 64  # characters at the end of a text that are searched first for its last tokens
_ENCODED_AT_ONCE = 2048  # texts: the library takes some kilobytes for each


class TextTokenizer:
    """A tokenizer of one of five kinds. It is saved as one JSON file in the format of Hugging Face's `tokenizers`.

    * "word": words (`don't`, `well-made`, the Penn Treebank's `n't` and `'s`), numbers, and every other character.
    * "whitespace": text between whitespace. It is taken as tokenised already, markers included: the token `<unk>` or
      `<eos>` has the special id. With every other kind, no text has a special id.
    * "character": Unicode code points.
    * "byte": the bytes of UTF-8, in their order.
    * "bpe": byte-level byte pair encoding (Sennrich et al. 2016), without unknown tokens.

    The first ids are those of the special tokens `<pad>`, `<unk>`, `<bos>`, `<eos>`. Words and characters follow in
    order of falling frequency, equally frequent ones in alphabetical order.

    Attributes:
        kind: one of the five.
        tokens: the token of each id.
        pad, unknown, begin, end: the ids of the special tokens.
    """

    pad, unknown, begin, end = range(len(SPECIAL))

    def __init__(self, kind: str, tokenizer: Tokenizer) -> None:
        # Otherwise the text "<eos>" would have the special id. Files and pickles do not store this flag.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.kind = kind
        vocabulary = tokenizer.get_vocab()
        self.tokens: list[str] = sorted(vocabulary, key=vocabulary.__getitem__)
        reserved = () if self.kind == "whitespace" else SPECIAL
        self._ids = {token: id for token, id in vocabulary.items() if token not in reserved}
        self._normalise = normaliser(tokenizer)

    @classmethod
    def train(
        cls,
        kind: str,
        texts: Iterable[str | list[str]],
        *,
        vocabulary_size: int | None = None,
        lowercase: bool = False,
        minimum_count: int = 1,
    ) -> TextTokenizer:
        """Build a vocabulary.

        Args:
            kind: "word", "whitespace", "character", "byte" or "bpe".
            texts: texts, or lists of tokens for `encode_tokens`.
            vocabulary_size: the largest number of ids, special tokens included; None: no limit, for "bpe" 8000.
            lowercase: whether text is converted to lower case.
            minimum_count: how often a word, a character or a merged pair must occur.

        Raises:
            SettingsError: an unknown kind, or a setting out of range.
        """
        return cls(kind, build_tokenizer(kind, texts, vocabulary_size, lowercase, minimum_count))

    def extended(self, words: Iterable[str]) -> TextTokenizer:
        """A tokenizer of kind "word" or "whitespace" with further words, whose ids follow those of this one.

        Words that this tokenizer splits or changes to lower case are left out, as are those that it has.
        """
        split = KINDS[self.kind].splitter.pre_tokenize_str
        whole = (word for word in words if self._normalise(word) == word and len(split(word)) == 1)
        tokens = numbered(dict.fromkeys([*self.tokens, *whole]))
        model = models.WordLevel(tokens, unk_token=SPECIAL[self.unknown])
        lowercase = self._tokenizer.normalizer is not None
        return TextTokenizer(self.kind, make_tokenizer(self.kind, model, lowercase=lowercase))

    @classmethod
    def load(cls, path: str | Path) -> TextTokenizer:
        """Read a file that `save` has written.

        Raises:
            ModelFormatError: the file is missing, or is not such a file.
        """
        try:
            return cls.parse(Path(path).read_text("utf-8"), path)
        except OSError as error:
            raise ModelFormatError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ModelFormatError(f"{path}: not a valid tokenizer: {error}.") from None

    @classmethod
    def parse(cls, text: str, path: str | Path) -> TextTokenizer:
        """Parse the text of a file that `save` has written.

        Args:
            text: its content.
            path: the file, for errors.

        Raises:
            ModelFormatError: it is not such a text.
        """
        try:
            return cls(*parse_tokenizer(text))
        except ModelFormatError as error:
            raise ModelFormatError(f"{path}: not a valid tokenizer: {error}.") from None

    def save(self, path: str | Path) -> None:
        """Write one JSON file, atomically.

        Raises:
            DataError: the file cannot be written.
        """
        write_lines(path, self._tokenizer.to_str(pretty=True).split("\n"))

    def to_json(self) -> str:
        """The content of the file that `save` writes, in one line."""
        return self._tokenizer.to_str()

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        return self.encode_batch([text])[0]

    @_panics_as_errors()
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without special tokens."""
        # Two kinds need no search for tokens, and a look-up is about twenty times faster than the library.
        if self.kind == "character":
            return [self._look_up(self._normalise(text)) for text in texts]
        if self.kind == "byte":
            return [[byte + len(SPECIAL) for byte in self._normalise(text).encode()] for text in texts]
        return [
            encoding.ids
            for start in range(0, len(texts), _ENCODED_AT_ONCE)
            for encoding in self._tokenizer.encode_batch_fast(
                texts[start : start + _ENCODED_AT_ONCE], add_special_tokens=False
            )
        ]

    def split_settled(self, text: str) -> tuple[str, str]:
        """Split a text that may continue into the beginning whose ids are final, and the rest, which is short.

        The ids of the two, concatenated, are those of the text. Both are in lower case if the tokenizer has no case.
        """
        text = self._normalise(text)
        if self.kind in ("character", "byte"):
            return text, ""
        size = _TAIL
        while size < len(text):  # no token spans the beginning of white space, so it is enough to split the end
            start = text.rfind(" ", 0, -size)
            if start > 0 and not text[start - 1].isspace() and (end := self._settled_end(text[start:])):
                return text[: start + end], text[start + end :]
            size *= 4
        end = self._settled_end(text)
        return text[:end], text[end:]

    @property
    def drops_space(self) -> bool:
        """Whether white space only separates tokens, so that `decode` does not restore it."""
        return self.kind in ("word", "whitespace")

    @_panics_as_errors()
    def encode_tokens(self, tokens: Iterable[str]) -> list[int]:
        """The id of each token of a text that is split already; only for kinds "word" and "whitespace".

        Raises:
            SettingsError: a tokenizer of another kind.
        """
        if not self.drops_space:
            got = f"got kind {self.kind!r}, which may give several"
            raise SettingsError(f"expected a tokenizer with one id per token, {got}; use kind 'whitespace' or 'word'.")
        return self._look_up(map(self._normalise, tokens))

    @_panics_as_errors()
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, without special tokens; an unknown token is shown as U+FFFD.

        Words are joined by spaces; characters, bytes and BPE restore the encoded text exactly.

        Raises:
            SettingsError: an id that is not in the vocabulary.
        """
        pieces, unknown = [], self.unknown
        for id in ids:
            if not 0 <= id < len(self.tokens):
                raise SettingsError(f"expected ids from 0 to {len(self.tokens) - 1}, got {id}.")
            token = self.tokens[id]
            if id == unknown:
                pieces.append("\ufffd")
            elif token not in SPECIAL:
                pieces.append(token)
        joiner = self._tokenizer.decoder
        return joiner.decode(pieces) if joiner else " ".join(pieces)

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"TextTokenizer(kind={self.kind!r}, {len(self)} tokens)"

    def __reduce__(self) -> tuple[type[TextTokenizer], tuple[str, Tokenizer]]:
        return TextTokenizer, (self.kind, self._tokenizer)

    def _settled_end(self, text: str) -> int:
        """The length of the beginning of a text whose ids are final."""
        spans = [span for _, span in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        if not spans or spans[-1][1] < len(text):  # the text ends in a separator
            return len(text)
        # More text may extend the last token, or join the last two, such as `don` `'`, `3` `.`, `'` `r`; and how BPE
        # splits white space depends on what follows it.
        last = max(0, len(spans) - 2)
        while last and text[slice(*spans[last - 1])].isspace():
            last -= 1
        return spans[last][0] if last else 0

    def _look_up(self, tokens: Iterable[str]) -> list[int]:
        find, unknown = self._ids.get, self.unknown
        return [find(token, unknown) for token in tokens]
