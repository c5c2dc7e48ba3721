"""All that a server serves: models by name, and sessions by identifier."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepscan.errors import StepscanError
from stepscan.models.model import load_model
from stepscan.options import ServeOptions
from stepscan.serving.body_budget import BodyBudget
from stepscan.serving.deliveries import Deliveries
from stepscan.serving.engine import Engine
from stepscan.serving.errors import busy, invalid, not_found
from stepscan.serving.journal import Journal
from stepscan.serving.logs import log
from stepscan.serving.record import Record, SessionSettings

_BODIES = 32  # of the largest size, that may arrive at once
_LONGEST_TTL = 365 * 86400.0  # seconds


class Served:
    """Models and sessions; made and used by the event loop.

    Args:
        folders: the model folders by name.
        options: those of the server.
    """

    def __init__(self, folders: Mapping[str, Path], options: ServeOptions) -> None:
        self.folders, self.options = dict(folders), options
        self.loop = asyncio.get_running_loop()
        self.engines: dict[str, Engine] = {}
        self.records: dict[str, Record] = {}
        self._retired: list[Engine] = []
        self.bodies = BodyBudget(_BODIES * options.max_body * 2**20)
        self._reloading = asyncio.Lock()
        self._state_dir = None if options.state_dir is None else _locked_folder(Path(options.state_dir))

    @property
    def state_bytes(self) -> int:
        """Bytes of the states of all sessions."""
        return sum(engine.stepper.sessions.state_bytes for engine in self.all_engines)

    @property
    def all_engines(self) -> list[Engine]:
        """Engines that have not ended, of models that were reloaded too."""
        return [*self.engines.values(), *(engine for engine in self._retired if not engine.is_ended)]

    async def start(self) -> None:
        """Load the models, and the sessions of a former process.

        Raises:
            StepscanError: a model cannot be loaded, or the folder of states cannot be used.
        """
        for name, path in self.folders.items():
            self.engines[name] = await self._begin(name, await self._load(path))

    async def reload(self, name: str) -> bool:
        """Read a model folder again; whether it holds another model than before. Requests that are running, and
        sessions that are open, go on with the old one. A model that is still at work for its sessions comes back with
        them: its file of sessions has one writer.

        Raises:
            StepscanError: the folder cannot be read; the old model is served on.
        """
        async with self._reloading:
            model = await self._load(self.folders[name])
            old = self.engines[name]
            if model.fingerprint == old.model.fingerprint:
                return False
            await self._drop_ended()
            new = self._revived(name, model) or await self._begin(name, model)
            self.engines[name] = new
            self._retired = [engine for engine in self._retired if engine is not new] + [old]
            old.retire()
            log("model reloaded", model=name)
            return True

    async def end(self) -> None:
        """End all threads, after what they were asked to do."""
        engines = [*self.engines.values(), *self._retired]
        for engine in engines:
            engine.end()
        for engine in engines:
            await asyncio.to_thread(engine.join, 10.0)
        if self._state_dir is not None:
            os.close(self._state_dir[1])

    def engine(self, name: str) -> Engine:
        """The engine of a model.

        Raises:
            ApiError: there is no model of that name.
        """
        if name not in self.engines:
            raise not_found(f"model: expected one of {', '.join(self.engines)}, got {name!r:.60}")
        return self.engines[name]

    def record(self, id: Any) -> Record:
        """An open session.

        Raises:
            ApiError: there is no session of that identifier.
        """
        record = self.records.get(id) if isinstance(id, str) else None
        if record is None or record.is_closed:
            raise not_found(f"session: expected one that is open, got {id!r:.60}; it may have been closed")
        return record

    def new_record(self, engine: Engine, client: str, settings: Mapping[str, Any]) -> Record:
        """A place for a session, which counts from now on; `opened` or `discard` follows.

        Raises:
            ApiError: there is no room for another session, or a setting is out of range.
        """
        if engine.why_no_sessions:
            raise invalid(engine.why_no_sessions, "model")
        if len(self.records) >= self.options.sessions:
            raise busy(f"expected at most {self.options.sessions:,} sessions at once, got more", 10)
        if not engine.has_room_for_states:
            raise busy(f"expected states of at most {self.options.state_memory:,} MB, got more", 10)
        record = Record(engine, self._settings(engine, settings), client)
        self._add(record)
        return record

    def discard(self, record: Record) -> None:
        """Give up a place that `new_record` gave."""
        record.engine.forget(record)

    def _add(self, record: Record) -> None:
        self.records[record.id] = record
        record.engine.records[record.id] = record

    def _settings(self, engine: Engine, given: Mapping[str, Any]) -> SessionSettings:
        ttl, rollback, durable = given.get("ttl"), given.get("rollback"), given.get("durable")
        ttl = self.options.session_ttl if ttl is None else ttl
        rollback = self.options.rollback if rollback is None else rollback
        if rollback > max(self.options.rollback, 0):
            raise invalid(f"rollback: expected at most {self.options.rollback}, got {rollback}", "rollback")
        if not 0 < ttl <= _LONGEST_TTL:
            raise invalid(f"ttl: expected seconds above 0, at most a year, got {ttl}", "ttl")
        if durable and engine.journal is None:
            raise invalid("durable: expected false, since the server has no --state-dir, got true", "durable")
        return SessionSettings(float(ttl), rollback, engine.journal is not None and durable is not False)

    def _revived(self, name: str, model: Any) -> Engine | None:
        """The retired engine of a model, which is served again; None if it has ended, or there was none."""
        for engine in self._retired:
            is_that = engine.name == name and engine.model.fingerprint == model.fingerprint
            if is_that and not engine.is_ended:
                engine.revive()
                return engine
        return None

    async def _drop_ended(self) -> None:
        """Let go of retired engines that have ended, after their threads, which may still write."""
        while ended := [engine for engine in self._retired if engine.is_ended]:
            await asyncio.to_thread(ended[0].join, 10.0)
            self._retired.remove(ended[0])

    async def _load(self, path: Path) -> Any:
        model = await asyncio.to_thread(load_model, path, None, self.options.threads)
        await asyncio.to_thread(lambda: model.fingerprint)
        return model

    async def _begin(self, name: str, model: Any) -> Engine:
        """The engine of a model, which runs, with the sessions of a former process."""
        journal = None
        if self._state_dir is not None:
            path = self._state_dir[0] / f"{name}.{model.fingerprint.hex()}.sessions"
            journal = await asyncio.to_thread(Journal, path, Deliveries(self.loop))
            self._tell_of_others(name, path)
        engine = Engine(name, model, self, journal)
        if journal is not None:
            for record in await asyncio.to_thread(self._restored, engine, journal):
                self._add(record)
        engine.start()
        return engine

    def _restored(self, engine: Engine, journal: Journal) -> list[Record]:
        """The sessions of a former process."""
        records = []
        for saved in journal.saved():
            settings = SessionSettings(saved.ttl, min(saved.rollback, self.options.rollback), True)
            record = Record(engine, settings, saved.client, saved.id)
            try:
                record.session = engine.model.session("" if engine.model.task == "translate" else None)
                record.session.restore(saved.state)
            except StepscanError as error:
                raise StepscanError(f"{journal.path}: session {saved.id}: {error}") from None
            record.position = saved.position
            engine.stepper.sessions.adopted(record)
            records.append(record)
        if records:
            log("sessions restored", model=engine.name, count=len(records))
        return records

    def _tell_of_others(self, name: str, path: Path) -> None:
        """Log files with sessions of other versions of a model, which are left as they are."""
        others = [other.name for other in path.parent.glob(f"{name}.*.sessions") if other != path]
        if others:
            log("sessions of other versions of the model are kept, but not served", level=30, model=name, files=others)


def _locked_folder(path: Path) -> tuple[Path, int]:
    """A folder that this process alone uses, and the descriptor of its lock.

    Raises:
        StepscanError: another process uses it, or it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StepscanError(f"--state-dir {path}: expected a folder to write to, got: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StepscanError(f"--state-dir {path}: expected a folder of this server alone, got one in use") from None
    return path, lock
