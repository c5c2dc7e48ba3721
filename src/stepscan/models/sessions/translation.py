"""Session of a translator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from stepscan.backends.batches import SCORES, Array, enough_memory_for
from stepscan.backends.probabilities import softmax
from stepscan.data.example_checks import checked_texts
from stepscan.decoding import Sampler, checked_whole, row_generators
from stepscan.models.sessions import decoder_states
from stepscan.models.sessions.saved_state import SavedState, reject
from stepscan.models.sessions.session import Session, check_single, locked, raise_overflow, replace_states
from stepscan.models.sessions.translation_texts import TranslationState, TranslationText, read_together
from stepscan.models.texts import WritingRequest
from stepscan.models.translator import default_length

_SOURCE, _DECODER = "source", "decoder"  # names in a saved state


class TranslationSession(Session):
    """Reads and writes a translation of one source: `push` reads more of it and returns the probability `[V]` of each
    symbol to be the next; `generate` continues it.

    Pieces of a text may end anywhere, also within a word: each result is that for the text so far. `reset` begins
    another translation of the same source. The source is part of the state: `restore` takes that of a session of any.

    Args:
        model: a runtime model.
        source: the text to translate.

    Raises:
        SettingsError: the source is not a text, or so long that its encoding does not fit into memory.
    """

    _state: TranslationState

    def __init__(self, model: Any, source: str = "") -> None:
        super().__init__(model)
        generator = self._network.generator
        self._roles = decoder_states.leaf_roles(generator.layer, generator.initial_state(1))
        self._state = self._encoded(model.network_inputs(checked_texts([source], "source"))[0])

    def push(self, items: str) -> Array:
        """Read more of the translation; `""` reads nothing.

        Returns:
            The probability `[V]` of each symbol to be the next, float32.

        Raises:
            SettingsError: it is not a text, or the state would not be finite; the session is unchanged.
        """
        with self._lock:
            ready, pending = self._split(items)
            after = self._read(self._state, ready)._replace(pending=pending)
            probabilities = softmax(self._scores(self._flush(after)))[0]
            self._state = after
        return probabilities

    def generate(
        self,
        length: int | None = None,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        seed: int | None = None,
    ) -> str:
        """Continue the translation until the end symbol; returns the new text, which the session has then read.

        The end symbol is not read, so that a translation may go on after it. Pending text is completed first: what is
        pushed later joins neither with it nor with the symbols written.

        Args:
            length: the largest number of symbols; None: twice the source's, its end symbol included, and 20.
            temperature: divides the scores before sampling; 0: always the most probable symbol.
            top_k, top_p, min_p: restrict sampling, as those of `stepscan.decoding.Sampler`.
            seed: random seed; None: a new one each time.

        Raises:
            SettingsError: an argument is out of range, or the state would not be finite; the session is unchanged.
        """
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        [random] = row_generators(seed, 1)
        if length is not None:
            length = checked_whole(length, "length")
        tokenizer = self._tokenizer
        ids: list[int] = []
        with self._lock:
            current = self._flush(self._state)
            length = default_length(current.source) if length is None else length
            while len(ids) < length:
                scores = self._scores(current)
                scores[:, [tokenizer.pad, tokenizer.unknown, tokenizer.begin]] = -np.inf
                [chosen] = sampler(scores, random).tolist()
                if chosen == tokenizer.end:
                    break
                ids.append(chosen)
                current = self._read_ids(current, [chosen])
            text = tokenizer.decode(ids)
            self._state = current
        return text

    def text(self, request: WritingRequest) -> TranslationText:
        """A translation that continues this one; the session does not change before `adopt`."""
        with self._lock:
            state = self._flush(self._state)
        tokenizer = self._tokenizer
        excluded = sorted({tokenizer.pad, tokenizer.unknown, tokenizer.begin, *request.excluded})
        return TranslationText(self._model, self._roles, state, request._replace(excluded=excluded))

    def adopt(self, text: TranslationText) -> None:
        """Take what `text` of this session has written as read.

        Raises:
            SettingsError: the state is not finite; the session is unchanged.
        """
        if not decoder_states.is_finite(self._roles, text.state.decoder):
            raise_overflow()
        with self._lock:
            self._state = text.state

    @property
    def attention(self) -> Array | None:
        """The attention weights `[S]` of the last step, from which the next symbol is predicted: the last row of
        `Translator.attention_weights` for the text so far. None for a model without attention."""
        weights = self._network.attention_weights(self._flush(self._state).decoder)
        return None if weights is None else weights[0]

    @property
    def source_symbols(self) -> list[str]:
        """The S symbols of the source, the end symbol included."""
        tokens = self._model._source_tokenizer.tokens
        return [tokens[i] for i in self._state.source]

    @property
    def nbytes(self) -> int:
        return self._state.nbytes

    def fork(self) -> Self:
        copy = type(self)(self._model)
        copy._state = self._state
        return copy

    def _initial_state(self) -> TranslationState:
        return self._state._replace(decoder=self._state.start, pending="")

    def _split_pending(self, pending: str, items: Any) -> tuple[str, str]:
        return self._tokenizer.split_settled(pending + checked_texts([items])[0])

    def _tensors(self, state: TranslationState) -> dict[str, Array]:
        leaves = decoder_states.to_tensors(self._roles, state.decoder, _DECODER)
        return {_SOURCE: np.array(state.source, np.int64), **leaves}

    def _restored(self, saved: SavedState) -> TranslationState:
        source = self._checked_source(saved)
        new = self._encoded(source.tolist())
        layers = decoder_states.layers_by_name(self._roles, _DECODER)
        leaves = decoder_states.to_tensors(self._roles, new.start, _DECODER)
        others = {name: leaf for name, leaf in leaves.items() if name not in layers}
        saved.check(layers, {_SOURCE: source, **others})
        decoder = decoder_states.from_tensors(self._roles, saved.tensors, new.start, _DECODER)
        return new._replace(decoder=decoder, pending=saved.pending)

    @classmethod
    def _step_together(cls, model: Any, sessions: Sequence[Any], items: Sequence[Any]) -> list[Any]:
        rows = model.tokenizers_["tokenizer"].encode_batch(checked_texts(items, "item"))
        check_single(np.array([len(row) for row in rows]), items)
        roles, ids = sessions[0]._roles, np.array(rows)[:, 0]
        with locked(sessions):
            before = [session._flush(session._state) for session in sessions]
            decoders = [state.decoder for state in before]
            scores, joined = model.network_.generator.array_step(ids, decoder_states.join(roles, decoders))
            after = [
                state._replace(decoder=decoder, pending="")
                for state, decoder in zip(before, decoder_states.split(roles, joined, decoders), strict=True)
            ]
            for number, state in enumerate(after, start=1):
                if not decoder_states.is_finite(roles, state.decoder):
                    raise_overflow(f"item {number}: ")
            results = list(softmax(scores))
            replace_states(sessions, after)
        return results

    @classmethod
    def _push_together(cls, model: Any, sessions: Sequence[Any], pieces: Sequence[Any]) -> list[Any]:
        with locked(sessions):
            split = [session._split(piece) for session, piece in zip(sessions, pieces, strict=True)]
            encode = model.tokenizers_["tokenizer"].encode_batch
            before = [session._state for session in sessions]
            after = read_together(model, sessions[0]._roles, before, encode([ready for ready, _ in split]))
            after = [state._replace(pending=rest) for state, (_, rest) in zip(after, split, strict=True)]
            flushed = read_together(model, sessions[0]._roles, after, encode([rest for _, rest in split]))
            results = [softmax(session._scores(state))[0] for session, state in zip(sessions, flushed, strict=True)]
            replace_states(sessions, after)
        return results

    @property
    def _tokenizer(self) -> Any:
        return self._model.tokenizers_["tokenizer"]

    def _encoded(self, source: Sequence[int]) -> TranslationState:
        """The state before any symbol of a translation of a source's ids."""
        with enough_memory_for([len(source)], "text"):
            encoded = self._network.encode_rows([source])
            state = TranslationState(tuple(source), encoded, encoded)
            start = self._read_ids(state, [self._tokenizer.begin], "source: ").decoder
        return state._replace(start=start, decoder=start)

    def _checked_source(self, saved: SavedState) -> Array:
        """The ids of a saved state's source."""
        source, tokenizer = saved.tensors.get(_SOURCE), self._model._source_tokenizer
        if source is None:
            reject(f"{_SOURCE!r} is missing")
        if source.dtype != np.int64 or source.ndim != 1 or not len(source):
            reject(f"{_SOURCE!r}: expected int64 [S], got {source.dtype} {list(source.shape)}")
        if source.min() < 0 or source.max() >= len(tokenizer) or source[-1] != tokenizer.end:
            reject(f"{_SOURCE!r}: expected ids below {len(tokenizer)}, that of the end symbol last, got others")
        return source

    def _read(self, state: TranslationState, text: str) -> TranslationState:
        """The state after more text."""
        return self._read_ids(state, self._tokenizer.encode(text))

    def _read_ids(self, state: TranslationState, ids: Sequence[int], where: str = "") -> TranslationState:
        """The state after more symbols; `where` precedes messages."""
        generator, decoder = self._network.generator, state.decoder
        steps = max(1, SCORES // len(state.source))  # attention weights that are computed together
        for first in range(0, len(ids), steps):
            batch = generator.batch([ids[first : first + steps]])
            _, decoder = generator.layer(generator.embedding(batch), decoder)
        if not decoder_states.is_finite(self._roles, decoder):
            raise_overflow(where)
        return state._replace(decoder=decoder)

    def _flush(self, state: TranslationState) -> TranslationState:
        """The state after the pending text, as if nothing followed it."""
        return self._read(state, state.pending)._replace(pending="") if state.pending else state

    def _scores(self, state: TranslationState) -> Array:
        """The scores `[1, V]` of the next symbol."""
        generator = self._network.generator
        return generator.score(generator.layer.readout(state.decoder))
