"""Translations that are being written, a symbol at a time, many of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.probabilities import softmax
from stepscan.decoding import row_generators
from stepscan.errors import StepscanError
from stepscan.models.sessions import decoder_states
from stepscan.models.texts import WritingRequest, Written


class TranslationText:
    """A translation that is being written.

    Args:
        model: the runtime model.
        roles: of the leaves of the decoder's state.
        state: after what was read: a `TranslationState`, which a step replaces.
        request: how it is written.
    """

    def __init__(self, model: Any, roles: Any, state: Any, request: WritingRequest) -> None:
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
