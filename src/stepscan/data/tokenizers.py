"""From text to ids and back: Hugging Face `tokenizers`, built so that the same input always gives the same ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer, models

from stepscan.data.lines import write_lines
from stepscan.data.tokenizer_file import tokenizer_of_text
from stepscan.data.vocabulary import KINDS, SPECIAL, build_tokenizer, make_tokenizer, normaliser, numbered
from stepscan.errors import ModelFormatError, SettingsError, StepscanError


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn a panic of the tokenizers library, which is not an `Exception`, into an error."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise StepscanError(f"the tokenizers library failed on this text: {str(error)[:200]!r}") from None


_TAIL = 64  # characters of a text's end that are looked at first for where its last tokens begin


class TextTokenizer:
    """A tokenizer of one of five kinds; one JSON file, in Hugging Face's own format, saves it.

    * "word": words (`don't`, `well-made`, Penn's `n't` and `'s`), numbers, and every other character by itself.
    * "whitespace": what stands between white space. The text is taken as already tokenised, its markers included: a
      token spelled `<unk>` or `<eos>` has that special id. In every other kind, no text turns into a special id.
    * "character": Unicode code points.
    * "byte": the bytes of UTF-8, in their order.
    * "bpe": byte-level byte pair encoding, so that nothing is unknown.

    The first ids are those of the special tokens `<pad>`, `<unk>`, `<bos>`, `<eos>`. After them come, for words and
    characters, the most frequent first, equally frequent ones in alphabetical order.
    """

    pad, unknown, begin, end = range(len(SPECIAL))

    def __init__(self, kind: str, tokenizer: Tokenizer) -> None:
        # Otherwise the text "<eos>" would become the special id. Files and pickles do not keep this flag.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.kind = kind
        vocabulary = tokenizer.get_vocab()
        self.tokens: list[str] = sorted(vocabulary, key=vocabulary.__getitem__)
        taken = () if self.kind == "whitespace" else SPECIAL
        self._ids = {token: id for token, id in vocabulary.items() if token not in taken}
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
            texts: the texts; for `encode_tokens`, lists of tokens, which are counted as they are.
            vocabulary_size: at most so many ids, special tokens included; by default all, and for "bpe" 8000.
            lowercase: whether case is dropped.
            minimum_count: how often a word, a character or a pair to be merged must occur.

        Raises:
            SettingsError: an unknown kind, or a setting out of range.
        """
        return cls(kind, build_tokenizer(kind, texts, vocabulary_size, lowercase, minimum_count))

    def extended(self, words: Iterable[str]) -> TextTokenizer:
        """This tokenizer, of kind "word" or "whitespace", with more words after its own: those of `words` that it can
        find in a text and has not yet."""
        split = KINDS[self.kind].splitter.pre_tokenize_str
        found = (word for word in words if self._normalise(word) == word and len(split(word)) == 1)
        tokens = numbered(dict.fromkeys([*self.tokens, *found]))
        model = models.WordLevel(tokens, unk_token=SPECIAL[self.unknown])
        lowercase = self._tokenizer.normalizer is not None
        return TextTokenizer(self.kind, make_tokenizer(self.kind, model, lowercase=lowercase))

    @classmethod
    def load(cls, path: str | Path) -> TextTokenizer:
        """Read what `save` wrote; a missing or broken file is a ModelFormatError."""
        try:
            return cls.parse(Path(path).read_text("utf-8"), path)
        except OSError as error:
            raise ModelFormatError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ModelFormatError(f"{path}: expected a tokenizer, but: {error}.") from None

    @classmethod
    def parse(cls, text: str, path: str | Path) -> TextTokenizer:
        """A tokenizer of the text that `save` writes; `path` is where it is, for errors."""
        try:
            return cls(*tokenizer_of_text(text))
        except ModelFormatError as error:
            raise ModelFormatError(f"{path}: expected a tokenizer, but: {error}.") from None

    def save(self, path: str | Path) -> None:
        """Write one JSON file, whole or not at all."""
        write_lines(path, self._tokenizer.to_str(pretty=True).split("\n"))

    def to_json(self) -> str:
        """What `save` writes, in one line."""
        return self._tokenizer.to_str()

    def encode(self, text: str) -> list[int]:
        """The ids of a text; no special token is added."""
        return self.encode_batch([text])[0]

    @_in_words()
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        # Two kinds need no search for tokens, and looking up is some twenty times faster than asking the library.
        if self.kind == "character":
            return [self._look_up(self._normalise(text)) for text in texts]
        if self.kind == "byte":
            return [[byte + len(SPECIAL) for byte in self._normalise(text).encode()] for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def settled(self, text: str) -> tuple[str, str]:
        """The beginning of a text whose ids are the same whatever follows the text, and the rest, which is short.

        Encoded apart, the two have the ids of the whole. Both are in lower case where the tokenizer drops case.
        """
        text = self._normalise(text)
        if self.kind in ("character", "byte"):
            return text, ""
        size = _TAIL
        while size < len(text):  # no token reaches over the beginning of white space, so the end alone will do
            start = text.rfind(" ", 0, -size)
            if start > 0 and not text[start - 1].isspace() and (end := self._settled_end(text[start:])):
                return text[: start + end], text[start + end :]
            size *= 4
        end = self._settled_end(text)
        return text[:end], text[end:]

    @property
    def drops_space(self) -> bool:
        """Whether white space only separates tokens, and is not kept."""
        return self.kind in ("word", "whitespace")

    @_in_words()
    def encode_tokens(self, tokens: Iterable[str]) -> list[int]:
        """One id for each token of a text that is already split; only for kinds "word" and "whitespace"."""
        if not self.drops_space:
            reason = f"a tokenizer of kind {self.kind!r} gives a token any number of ids"
            raise SettingsError(f"Expected one id for each token, but {reason}; use kind 'whitespace' or 'word'.")
        return self._look_up(map(self._normalise, tokens))

    @_in_words()
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids: special tokens are left out, except that an unknown one is shown as U+FFFD.

        Words are joined by spaces; characters, bytes and BPE give back exactly what was encoded.
        """
        pieces, unknown = [], self.unknown
        for id in ids:
            if not 0 <= id < len(self.tokens):
                raise SettingsError(f"Expected ids from 0 to {len(self.tokens) - 1}, but got {id}.")
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
        """How long the settled beginning of a text is."""
        spans = [span for _, span in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        if not spans or spans[-1][1] < len(text):  # what separates tokens stands at the end
            return len(text)
        # What follows may go on with the last token, or join the last two, such as `don` `'`, `3` `.`, `'` `r`; and how
        # BPE cuts white space depends on whether anything stands after it.
        last = max(0, len(spans) - 2)
        while last and text[slice(*spans[last - 1])].isspace():
            last -= 1
        return spans[last][0] if last else 0

    def _look_up(self, tokens: Iterable[str]) -> list[int]:
        find, unknown = self._ids.get, self.unknown
        return [find(token, unknown) for token in tokens]
