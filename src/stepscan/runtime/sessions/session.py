"""What sessions of every kind are: a moment of a sequence, replaced whole by the next one, by one thread at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from stepscan.errors import SettingsError, StepscanError
from stepscan.kernels.native import library
from stepscan.runtime.batches import Array, Batch, pad_numbers
from stepscan.runtime.layers import address
from stepscan.runtime.series import checked_series
from stepscan.runtime.sessions.saved import read_saved, write_saved

logger = logging.getLogger(__name__)


class Moment(NamedTuple):
    """A session between two pushes. The next is made beside it, so that what ends a push early changes nothing."""

    stream: Any  # the layers' state
    kept: Mapping[str, Array]  # what a kind keeps beside it; never changed
    held: str = ""  # text at the end whose symbols depend on what follows; the two above have not read it


class Session:
    """A sequence that is going on. `model.session()` makes one; it may be used from any thread.

    Whatever ends a call early, an error or Ctrl-C, leaves the session as it was before the call or after it.

    Args:
        model: of the runtime.

    Raises:
        SettingsError: the model cannot go one step at a time; the layer that is to blame is named.
    """

    def __init__(self, model: Any) -> None:
        model.network_.layer.check_causal()
        self._model, self._network = model, model.network_
        self._streams = self._new_stream(), self._new_stream()  # one has the state, the next is made in the other
        self._owner = library.SessionLock()
        self._turn = library.SessionLocks([self._owner])
        self._now = Moment(self._streams[0], {})
        self.reset()

    def push(self, items: Any) -> Any:
        """Read more of the sequence, and say what comes of it: see the session's kind.

        Raises:
            SettingsError: the items are not what the model reads, or not finite numbers; the session is as it was.
        """
        with self._turn:
            settled, held = self._settled(self._now.held, items)
            vectors = self._vectors(self._model, [settled], "piece").data[0]
            outputs, moment = self._after(self._now, vectors, self._spare, held)
            answer = self._answer(outputs, self._ahead(moment))
            self._now = moment
        return answer

    def reset(self) -> None:
        """Begin a new sequence."""
        with self._turn:
            self._now = self._begin()

    def state(self) -> bytes:
        """All that is needed to go on, on another machine too: `restore` takes it, of a session of the same model."""
        with self._turn:
            now = self._now
            return write_saved(self._model.fingerprint, layers_state(self._network, now), now.kept, now.held)

    def restore(self, state: bytes) -> Self:
        """Go on from where a session was when its `state` was taken.

        Raises:
            StepscanError: these are not the bytes of a session's state, or of one of another model (other weights,
                labels or tokenizers among them), or they hold what no session comes to, such as NaN.
        """
        saved = read_saved(state, self._model)
        with self._turn:
            saved.check(self._network.layer, self._begin().kept)
            if saved.held and self._settled("", saved.held)[0]:
                raise StepscanError("these bytes are not a state of a session: the text held back is not one")
            self._now = self._moment(saved.layers, saved.kept, saved.held)
        return self

    def fork(self) -> Self:
        """A second session that has read what this one has; from here on they go their own ways."""
        twin = type(self)(self._model)
        with self._turn:
            now = self._now
            twin._now = twin._moment(layers_state(self._network, now), now.kept, now.held)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._model, self.state())

    # What a kind of session writes: ------------------------------------------------------------------------------

    def _begin(self) -> Moment:
        """The moment before anything was read, made beside the present one."""
        raise NotImplementedError

    def _settled(self, held: str, items: Any) -> tuple[Any, str]:
        """What of the items, after text held back, can be read for good, and what is to be held back."""
        return items, ""

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any], what: str) -> Batch:
        """What the layers read of each of several pieces; `what` names one in messages."""
        raise NotImplementedError

    def _keep(self, kept: Mapping[str, Array], outputs: Array) -> Mapping[str, Array]:
        """What is kept after items whose layers' outputs are `[T, H]`, given what was kept before, which stays."""
        return kept

    def _answer(self, outputs: Array, moment: Moment) -> Any:
        """What `push` returns, given the outputs for the items just read, and the moment after all of the sequence."""
        return self._answers(self._model, [moment], outputs[-1:])[0]

    @classmethod
    def _answers(cls, model: Any, moments: Sequence[Moment], outputs: Array) -> list[Any]:
        """What `step_many` returns, given each session's moment and output `[N, H]`."""
        raise NotImplementedError

    # What they share: --------------------------------------------------------------------------------------------

    @property
    def _spare(self) -> Any:
        """The stream that the present moment does not need."""
        first, second = self._streams
        return second if self._now.stream is first else first

    def _new_stream(self) -> Any:
        return library.Stream(self._network.layer.native)

    def _moment(self, state: Array, kept: Mapping[str, Array], held: str = "") -> Moment:
        """A moment with the layers' state `[1, S]`, beside the present one."""
        stream, state = self._spare, np.ascontiguousarray(state, np.float32)
        stream.write(address(state), self._network.layer.capacity(state))
        return Moment(stream, kept, held)

    def _after(self, before: Moment, vectors: Array, stream: Any, held: str = "") -> tuple[Array, Moment]:
        """The layers' outputs for more items, and the moment after them, which takes the stream."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        outputs = np.empty((len(vectors), self._network.layer.output_size), np.float32)
        stream.copy(before.stream)
        if not stream.push(vectors, outputs, self._model.threads):
            overflowed()
        return outputs, Moment(stream, self._keep(before.kept, outputs), held)

    def _ahead(self, moment: Moment) -> Moment:
        """The moment after what is held back, as if nothing followed it."""
        if not moment.held:
            return moment
        return self._after(moment, self._vectors(self._model, [moment.held], "piece").data[0], self._new_stream())[1]


def _restored(model: Any, state: bytes) -> Any:
    return model.session().restore(state)


def layers_state(network: Any, moment: Moment) -> Array:
    """The layers' state `[1, S]`; of layers that keep items, with room for those that there are."""
    layer, items = network.layer, moment.stream.items
    state = np.empty((1, layer.state_size + items * layer.cache_size), np.float32)
    moment.stream.read(address(state), items)
    return state


def vectors_of_series(model: Any, several: Sequence[Any], what: str) -> Batch:
    """What the layers read of pieces of series, which may be empty; `what` names one in messages."""
    embedding = model.network_.embedding
    empty = np.zeros((0, embedding.size))
    pieces = [empty if np.shape(one) in ((0,), empty.shape) else one for one in several]
    checked = checked_series(pieces, embedding.size, what)
    batch = pad_numbers(checked)
    numbers = Batch(embedding.standardised(batch.data), batch.lengths).zeroed()
    if not np.isfinite(numbers.data).all():
        piece, step, dimension = np.argwhere(~np.isfinite(numbers.data))[0].tolist()
        too_large(f"{what} {piece + 1}", checked[piece], step, dimension)
    return Batch(embedding.projected(numbers.data), batch.lengths)


def too_large(where: str, piece: Array, step: int, dimension: int) -> NoReturn:
    """Refuse the number of a series at a step and dimension, from 0, that is not finite once it is standardised."""
    if np.isfinite(value := piece[step, dimension]):
        shown, remedy = f"{value:.3g}", "which is too large for the model: is it in the units of the training data?"
    else:
        shown, remedy = str(value).replace("nan", "NaN"), "fill the gaps first: no value is guessed"
    raise SettingsError(
        f"{where}: expected finite numbers, got {shown} at step {step + 1}, dimension {dimension + 1}; {remedy}"
    )


def say_without_wide(verb: str) -> None:
    """Warn that what a session says is the network's alone."""
    logger.warning(
        f"a session {verb} by the network alone, without the model's wide part; "
        "its answers differ from those of predict"
    )


def overflowed(where: str = "") -> NoReturn:
    """Refuse what a session would be lost by: no later answer would be a number."""
    raise SettingsError(
        f"{where}expected inputs that the model can take, got numbers so large that its state is not finite after "
        "them; the session is as it was before"
    )
