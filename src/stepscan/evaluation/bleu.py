"""BLEU (Papineni et al. 2002) by sacreBLEU, with a tokenizer for the script of the references."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from stepscan.errors import SettingsError, nearest

logger = logging.getLogger(__name__)
_DEFAULT = "13a"
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_KANA = r"\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9d"
_OTHER = r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan; Burmese; Khmer
_INNER_SPACE = re.compile(f"(?<=[{_HAN}{_KANA}{_OTHER}]) (?=[{_HAN}{_KANA}{_OTHER}])")
_SPACES_PER_LETTER = 0.1  # with more inner spaces per letter, spaces separate words


class Bleu(NamedTuple):
    """A BLEU score, 0 … 100, and sacreBLEU's signature, which names the tokenizer."""

    score: float
    signature: str


def bleu(predicted: Sequence[str], references: Sequence[str], tokenize: str | None = None) -> Bleu:
    """BLEU of texts against one reference each.

    Args:
        predicted: the translations.
        references: the reference translations.
        tokenize: sacreBLEU's tokenizer; None: by the script of the references.

    Raises:
        SettingsError: the tokenizer is unknown, or a package that it needs is not installed.
    """
    from sacrebleu.metrics import BLEU

    if tokenize is not None and not isinstance(tokenize, str):
        raise SettingsError(f"tokenize: expected a name or None, got {tokenize!r}")
    if tokenize is not None and tokenize not in BLEU.TOKENIZERS:
        raise SettingsError(f"unknown BLEU tokenizer {tokenize!r}.{nearest(tokenize, BLEU.TOKENIZERS)}")
    name = tokenize or _choose_tokenizer(references)
    try:
        metric: Any = BLEU(tokenize=name)
        score = metric.corpus_score(list(predicted), [list(references)]).score
    except (ImportError, RuntimeError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise SettingsError(f"sacreBLEU's tokenizer {name!r} cannot be used here: {first}") from None
    return Bleu(score, str(metric.get_signature()))


def _choose_tokenizer(references: Sequence[str]) -> str:
    """The tokenizer for the script of the references; logged if it is not the default."""
    name, script = tokenizer_for("\n".join(references))
    if name != _DEFAULT:
        logger.info(
            f"the references are in {script} without spaces between words, so BLEU uses sacreBLEU's tokenizer "
            f"{name!r}; --bleu-tokenize (bleu_tokenize=) names another"
        )
    return name


def tokenizer_for(text: str) -> tuple[str, str]:
    """sacreBLEU's tokenizer for a text, and the script without spaces that requires it (empty for the default).

    Chinese: `zh`; Japanese: `ja-mecab`, or `char` where MeCab is not installed; Thai, Lao, Tibetan, Burmese and Khmer:
    `char`. A text in one of these with spaces between its words, and any other: `13a`.
    """
    han, kana, others = (len(re.findall(f"[{letters}]", text)) for letters in (_HAN, _KANA, _OTHER))
    letters = han + kana + others
    if 2 * letters <= sum(map(str.isalpha, text)) or len(_INNER_SPACE.findall(text)) >= _SPACES_PER_LETTER * letters:
        return _DEFAULT, ""
    if others > han + kana:
        return "char", "Thai, Lao, Tibetan, Burmese or Khmer"
    if 20 * kana < han:
        return "zh", "Chinese"
    mecab = find_spec("MeCab") is not None and find_spec("ipadic") is not None
    return ("ja-mecab", "Japanese") if mecab else ("char", "Japanese")
