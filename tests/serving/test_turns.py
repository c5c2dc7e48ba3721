"""Clients take turns, places are shared, models are replaced without a dropped request."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import Client, started

import stepscan as ss
from stepscan import runtime
from stepscan.decoding import Sampler
from stepscan.options import ServeOptions
from stepscan.serving.channel import Channel
from stepscan.serving.deliveries import Deliveries
from stepscan.serving.errors import ApiError
from stepscan.serving.fair_queue import FairQueue
from stepscan.serving.gate import Gate
from stepscan.serving.prefixes import PrefixState, PrefixTree
from stepscan.serving.text_group import TextGroup
from stepscan.serving.text_task import TextRequest, TextTask
from stepscan.serving.work import WorkQueue


def test_clients_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(item[0], item)
    assert [queue.pop() for _ in range(3)] == ["a1", "b1", "c1"]
    queue.put("b", "b2")
    assert [queue.pop() for _ in range(len(queue))] == ["a2", "c2", "b2", "a3"]
    with pytest.raises(IndexError):
        queue.pop()


def test_a_gate_keeps_a_place_for_another_client() -> None:
    gate = Gate(10, "things")
    for _ in range(8):
        gate.enter("greedy")
    with pytest.raises(ApiError) as caught:
        gate.enter("greedy")
    assert (caught.value.status, caught.value.retry_after) == (429, 1)
    gate.enter("another"), gate.enter("a third")
    with pytest.raises(ApiError, match="expected at most 10 things at once, got more"):
        gate.enter("a fourth")
    for client in ("another", "a third", *["greedy"] * 8):
        gate.leave(client)
    assert (gate.count, gate.refused, gate.entered) == (0, 2, 10)
    single = Gate(1, "things")
    single.enter("one")
    with pytest.raises(ApiError):
        single.check("two")


def test_the_tree_of_prefixes() -> None:
    tree = PrefixTree(1000)
    states = [PrefixState(np.zeros((1, 20), np.float32), np.zeros(5, np.float32)) for _ in range(12)]
    ids = list(range(200))
    tree.keep(ids[:64], states[0]), tree.keep(ids[:128], states[1]), tree.keep(ids[:130], states[2])
    assert tree.longest(ids) == (128, states[1])
    assert tree.longest(ids[:130]) == (130, states[2])
    assert tree.longest(ids[:127]) == (64, states[0])
    assert tree.longest(ids[1:]) == (0, None)
    assert tree.longest([]) == (0, None)
    assert tree.nbytes == 300
    for number in range(9):
        tree.keep([number] * 64, states[number])
    assert (len(tree), tree.nbytes) == (10, 1000)
    assert tree.longest(ids)[0] == 64  # used last, of the first three
    tree.keep([5], PrefixState(np.zeros((1, 1000), np.float32), np.zeros(5, np.float32)))  # more than there is room for
    assert tree.nbytes == 1000


def test_a_client_with_many_requests_does_not_hold_up_another(folders: dict[str, Path], tmp_path: Path) -> None:
    """The other's request is answered long before the 40 large ones that came first."""
    (tmp_path / "tokens").write_text("greedy-token-0123456789\nmodest-token-0123456789\n")
    greedy, modest = ({"authorization": f"Bearer {name}-token-0123456789"} for name in ("greedy", "modest"))
    with (
        started({"mirror": folders["mirror"]}, token_file=str(tmp_path / "tokens"), queue=100) as client,
        ThreadPoolExecutor(40) as pool,
    ):
        path = "/v1/models/mirror/predict"
        worker = client.served.engines["mirror"].worker
        large = [pool.submit(client.post, path, {"inputs": ["ab" * (n + 1)] * 150}, headers=greedy) for n in range(40)]
        while not worker.batches:
            time.sleep(0.001)
        answer = client.post(path, {"inputs": ["ab"]}, headers=modest)
        done = sum(one.done() for one in large)
        assert answer.status_code == 200
        assert done < 20
        assert all(one.result().status_code == 200 for one in large)


def write_model(folder: Path, text: str, **settings: Any) -> None:
    quick: dict[str, Any] = {"hidden_size": 8, "epochs": 1, "bptt": 16, "batch_size": 4}
    ss.LanguageModel(**quick, **settings).fit(text).save(folder, overwrite=True)


def test_a_model_is_replaced_without_a_dropped_request(
    folders: dict[str, Path], models: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "tokens").write_text("a-token-of-the-tests\n")
    headers = {"authorization": "Bearer a-token-of-the-tests"}
    shutil.copytree(folders["writer"], tmp_path / "model")
    with started({"model": tmp_path / "model"}, token_file=str(tmp_path / "tokens")) as client:
        client.http.headers.update(headers)
        path = "/v1/models/model/generate"
        assert client.json("/v1/models/model/reload", {})["changed"] is False
        session, alone = client.open("model"), models["writer"].session()
        client.json(f"{session}/push", {"items": "one"}), alone.push("one")
        write_model(tmp_path / "new", "two three one. " * 60, seed=2)
        new = runtime.load(tmp_path / "new")
        expected = {one.generate("one", length=40, seed=3) for one in (models["writer"], new)}
        seen, stop = set(), threading.Event()

        def write() -> int:
            count = 0
            while not stop.is_set():
                seen.add("one" + client.text(path, {"prompt": "one", "length": 40, "seed": 3}))
                count += 1
            return count

        with ThreadPoolExecutor(4) as pool:
            writing = [pool.submit(write) for _ in range(4)]
            time.sleep(0.3)
            write_model(tmp_path / "model", "two three one. " * 60, seed=2)
            answer = client.json("/v1/models/model/reload", {})
            assert answer == {"model": "model", "changed": True, "fingerprint": new.fingerprint.hex()}
            time.sleep(0.3)
            stop.set()
            assert min(one.result() for one in writing) > 1
        assert seen == expected
        assert "one" + client.text(path, {"prompt": "one", "length": 40, "seed": 3}) == new.generate(
            "one", length=40, seed=3
        )
        client.json(f"{session}/push", {"items": " two"}), alone.push(" two")
        assert client.get(f"{session}/state").content == alone.state()
        [old] = client.served._retired
        assert not old.is_ended
        client.http.delete(session)
        deadline = time.monotonic() + 5
        while not old.is_ended and time.monotonic() < deadline:
            time.sleep(0.01)
        assert old.is_ended
        (tmp_path / "model" / "config.json").write_text("{}")
        status, kind, _ = client.refused("/v1/models/model/reload", {})
        assert (status, kind) == (422, "invalid")
        assert client.text(path, {"length": 3})


def test_a_model_is_not_replaced_without_a_token(server: Client) -> None:
    assert server.refused("/v1/models/judge/reload", {})[:2] == (403, "unauthorised")


def test_a_first_symbol_beside_64_texts_takes_at_most_3_steps(models: dict[str, Any]) -> None:
    """Turn by turn, as the thread makes them."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    work = WorkQueue()
    group = TextGroup(models["writer"], ServeOptions(), work)

    def begin(prompt: str) -> TextTask:
        request = TextRequest(Sampler(), 1000, prompt, seed=1)
        task = TextTask(models["writer"], request, Channel(Deliveries(loop), eager=False), "client")
        group.put(task)
        return task

    def turn() -> None:
        group.step()
        group.admit()
        work.run(0.002)

    others = [begin("one two") for _ in range(64)]
    while not all(task.count for task in others):
        turn()
    for prompt in ("", "three four five. "):
        new, before = begin(prompt), group.steps
        while not new.count:
            turn()
        assert group.steps - before <= 3
    loop.close()


def test_texts_go_on_beside_a_text_that_fails(models: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the server in one text is an error of that text alone."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    work = WorkQueue()
    group, deliveries = TextGroup(models["writer"], ServeOptions(), work), Deliveries(loop)
    request = TextRequest(Sampler(), 20, "one", seed=1)
    good, bad = (TextTask(models["writer"], request, Channel(deliveries, eager=False), "client") for _ in range(2))
    monkeypatch.setattr(bad, "accept", lambda _: 1 / 0)
    for task in (good, bad):
        group.put(task)
    while not group.is_empty:
        group.step(), group.admit(), work.run(0.002)
    for call, arguments, _ in deliveries.take():
        call(*arguments)
    symbols, ending = loop.run_until_complete(good.channel.read())
    assert "one" + "".join(one.text for one in symbols) == models["writer"].generate("one", length=20, seed=1)
    assert ending is not None
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(bad.channel.read())
    loop.close()
