"""Translations by one model, of which many are read, or written, together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stepscan.backends.probabilities import softmax
from stepscan.decoding import row_generators
from stepscan.errors import StepscanError
from stepscan.models.sessions import decoder_states
from stepscan.models.sessions.session import raise_overflow
from stepscan.models.texts import WritingRequest, Written
from stepscan.state import State, named_leaves


class TranslationState(NamedTuple):
    """The state of a session between two calls; never mutated."""

    source: tuple[int, ...]  # ids, the end symbol included
    start: State  # the decoder's, after the begin symbol
    decoder: State  # after all symbols that were read; its memory is that of `start`
    pending: str = ""  # text at the end whose symbols depend on what follows; not in `decoder`

    @property
    def nbytes(self) -> int:
        """Its size in bytes, about; the memory, which no step changes, is counted with each state."""
        return sum(leaf.nbytes for _, leaf in named_leaves((self.start, self.decoder), ""))


class TranslationText:
    """A translation that is being written.

    Args:
        model: the runtime model.
        roles: of the leaves of the decoder's state.
        state: after what was read, which a step replaces.
        request: how it is written.
    """

    def __init__(self, model: Any, roles: Any, state: TranslationState, request: WritingRequest) -> None:
        self.model, self.roles, self.state = model, roles, state
        self.sampler, self.measured, self.excluded = request.sampler, request.measured, list(request.excluded)
        [self.random] = row_generators(request.seed, 1)

    @staticmethod
    def joined(model: Any, texts: Sequence[TranslationText]) -> JointTranslations:
        """Translations by one model that are written together."""
        return JointTranslations(model, texts)


class JointTranslations:
    """Translations by one model that are written together; each is what it is alone.

    Args:
        model: the runtime model.
        texts: the translations, at least one.
    """

    def __init__(self, model: Any, texts: Sequence[TranslationText]) -> None:
        self.model, self.texts = model, texts

    def step(self) -> list[Written | None]:
        """Write one symbol of each, the end symbol included, which is not read; None where scores are not finite."""
        written = [self._sample(text) for text in self.texts]
        end = self.model.tokenizers_["tokenizer"].end
        pairs = zip(self.texts, written, strict=True)
        running = [(text, one.id) for text, one in pairs if one is not None and one.id != end]
        if running:
            self._read([text for text, _ in running], [id for _, id in running])
        return written

    def _sample(self, text: TranslationText) -> Written | None:
        generator = self.model.network_.generator
        scores = generator.score(generator.layer.readout(text.state.decoder))
        probabilities = softmax(scores)[0] if text.measured else None
        scores[:, text.excluded] = -np.inf
        try:
            [chosen] = text.sampler(scores, text.random).tolist()
        except StepscanError:
            return None
        return Written(chosen, 0.0 if probabilities is None else float(probabilities[chosen]))

    def _read(self, texts: Sequence[TranslationText], ids: Sequence[int]) -> None:
        roles, decoders = texts[0].roles, [text.state.decoder for text in texts]
        joined = self.model.network_.generator.array_step(np.array(ids), decoder_states.join(roles, decoders))[1]
        for text, decoder in zip(texts, decoder_states.split(roles, joined, decoders), strict=True):
            text.state = text.state._replace(decoder=decoder)


def read_together(model: Any, roles: Any, states: Sequence[Any], rows: Sequence[Sequence[int]]) -> list[Any]:
    """The states of several sessions after more symbols.

    Args:
        model: the runtime model.
        roles: of the leaves of a decoder's state.
        states: N `TranslationState`.
        rows: the ids that each reads.

    Raises:
        SettingsError: a state would not be finite.
    """
    after = list(states)
    for t in range(max(map(len, rows))):
        chosen = [number for number, row in enumerate(rows) if len(row) > t]
        decoders = [after[number].decoder for number in chosen]
        ids = np.array([rows[number][t] for number in chosen])
        joined = model.network_.generator.array_step(ids, decoder_states.join(roles, decoders))[1]
        for number, decoder in zip(chosen, decoder_states.split(roles, joined, decoders), strict=True):
            if not decoder_states.is_finite(roles, decoder):
                raise_overflow(f"item {number + 1}: ")
            after[number] = after[number]._replace(decoder=decoder)
    return after
