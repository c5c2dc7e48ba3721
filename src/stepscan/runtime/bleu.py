"""BLEU (Papineni et al. 2002) by sacreBLEU, of words as the language that the text is written in separates them."""

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
_OTHERS = r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan; Burmese; Khmer
_BETWEEN = re.compile(f"(?<=[{_HAN}{_KANA}{_OTHERS}]) (?=[{_HAN}{_KANA}{_OTHERS}])")
_SPACED = 0.1  # such spaces a letter: with more, spaces separate words


class Bleu(NamedTuple):
    """A BLEU score, 0 … 100, and sacreBLEU's signature, which names the tokenizer."""

    score: float
    signature: str


def bleu(found: Sequence[str], true: Sequence[str], tokenize: str | None = None) -> Bleu:
    """BLEU of texts against one reference each.

    Args:
        found: the translations.
        true: the references.
        tokenize: sacreBLEU's tokenizer; None chooses it by what the references are written in.

    Raises:
        SettingsError: there is no such tokenizer, or what it needs is not installed.
    """
    from sacrebleu.metrics import BLEU

    if tokenize is not None and not isinstance(tokenize, str):
        raise SettingsError(f"tokenize: expected a name or None, got {tokenize!r}")
    if tokenize is not None and tokenize not in BLEU.TOKENIZERS:
        raise SettingsError(f"unknown BLEU tokenizer {tokenize!r}.{nearest(tokenize, BLEU.TOKENIZERS)}")
    name = tokenize or _chosen(true)
    try:
        metric: Any = BLEU(tokenize=name)
        score = metric.corpus_score(list(found), [list(true)]).score
    except (ImportError, RuntimeError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise SettingsError(f"sacreBLEU's tokenizer {name!r} cannot be used here: {first}") from None
    return Bleu(score, str(metric.get_signature()))


def _chosen(references: Sequence[str]) -> str:
    """The tokenizer for what the references are written in; what is not the usual one is logged."""
    name, written = tokenizer_for("\n".join(references))
    if name != _DEFAULT:
        logger.info(
            f"the references are in {written} without spaces between words, so BLEU uses sacreBLEU's tokenizer "
            f"{name!r}; --bleu-tokenize (bleu_tokenize=) names another"
        )
    return name


def tokenizer_for(text: str) -> tuple[str, str]:
    """sacreBLEU's tokenizer for a text, and the writing that asks for it (empty for one that separates words).

    Chinese: `zh`; Japanese: `ja-mecab`, or `char` where MeCab is not installed; Thai, Lao, Tibetan, Burmese and Khmer:
    `char`. A text in one of these with spaces between its words, and any other: `13a`.
    """
    han, kana, others = (len(re.findall(f"[{letters}]", text)) for letters in (_HAN, _KANA, _OTHERS))
    letters = han + kana + others
    if 2 * letters <= sum(map(str.isalpha, text)) or len(_BETWEEN.findall(text)) >= _SPACED * letters:
        return _DEFAULT, ""
    if others > han + kana:
        return "char", "Thai, Lao, Tibetan, Burmese or Khmer"
    if 20 * kana < han:
        return "zh", "Chinese"
    mecab = find_spec("MeCab") is not None and find_spec("ipadic") is not None
    return ("ja-mecab", "Japanese") if mecab else ("char", "Japanese")
