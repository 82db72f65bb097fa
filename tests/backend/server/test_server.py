"""The protocol, frame by frame, against a real backend."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
import psutil
import pytest
import skimage.data

from backend.thin import protocol
from tests.backend.real_backend import NONCE, Backend, Peer, await_that, harmonize_header, proof

pytestmark = pytest.mark.integration

HELLO = {"op": "hello", "protocol": [1, 0], "client": {"name": "test", "version": "1"}, "nonce": NONCE}
SLOW = 576
"""A network size that keeps the worker busy for about a second."""


def codes(replies: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """(id, code or operation) of all replies but progress."""
    return [(reply["id"], reply.get("code", reply["op"])) for reply in replies if reply["op"] != "progress"]


def peer_status(peer: Peer) -> dict[str, Any]:
    """The answer to `status`; progress of what runs is passed over."""
    number = peer.send({"op": "status"})
    while (reply := peer.receive()[0])["id"] != number:
        assert reply["op"] == "progress"
    return reply


def await_state(peer: Peer, state: str) -> None:
    """Waits until the backend is idle or working."""
    await_that(lambda: peer_status(peer)["state"] == state)


def test_hello_proves_that_it_is_the_files_backend(backend: Backend, peer: Peer) -> None:
    reply = peer.ask(HELLO)
    assert reply["op"] == "hello"
    assert reply["proof"] == proof(backend.facts)
    assert reply["protocol"] == list(protocol.PROTOCOL)
    assert reply["models"] == ["gknet-s"]
    assert reply["limits"] == {"pixels": 250_000_000, "frame_bytes": 2**31 - 1, "requests": 4, "queue": 16}


def test_a_newer_minor_version_is_served_and_a_newer_major_one_refused(peer: Peer) -> None:
    assert peer.ask({**HELLO, "protocol": [1, 99]})["op"] == "hello"
    refused = peer.ask({**HELLO, "protocol": [2, 3]})
    assert refused["code"] == "unsupported"
    assert "2.3" in refused["message"]
    assert ".".join(map(str, protocol.PROTOCOL)) in refused["message"]


@pytest.mark.parametrize(("user", "key"), [("gknet", "0" * 64), ("gknet", "0"), ("somebody", None)])
def test_a_peer_without_the_key_gets_nothing(backend: Backend, user: str, key: str | None) -> None:
    assert_refused(backend, user, key)


@pytest.mark.parametrize("part", [slice(-1), slice(1, None)], ids=["beginning", "end"])
def test_a_part_of_the_key_is_not_enough(backend: Backend, part: slice) -> None:
    assert_refused(backend, "gknet", backend.facts["key"][part])


def assert_refused(backend: Backend, user: str, key: str | None) -> None:
    stranger = Peer(backend.facts, user=user, key=key)
    with suppress(TimeoutError):  # where it is refused before it has sent
        stranger.send(HELLO)
    with pytest.raises(TimeoutError):
        stranger.receive(0.5)
    stranger.close()


def test_status_says_how_the_backend_is(backend: Backend, peer: Peer) -> None:
    reply = peer.ask({"op": "status"})
    assert (reply["op"], reply["pid"], reply["queue"]) == ("status", backend.process.pid, 0)
    assert reply["state"] in ("idle", "working")
    assert 10e6 < reply["memory"] < 4e9
    assert 0 < reply["uptime"] < 600
    assert reply["version"] == backend.facts["version"]


def test_a_result_repeats_the_layers_kind_and_keeps_its_alpha(
    peer: Peer, layer: np.ndarray, reference: np.ndarray
) -> None:
    number = peer.send(harmonize_header(layer, reference), layer, reference)
    stages = []
    while (answer := peer.receive())[0]["op"] == "progress":
        stages.append(answer[0]["stage"])
        assert answer[0]["text"]
        assert 0 <= answer[0]["done"] <= answer[0]["total"]
    header, (pixels,) = answer
    assert (header["op"], header["id"]) == ("result", number)
    assert [header[name] for name in ("width", "height", "channels", "depth", "space")] == [120, 160, 4, "u8", "srgb"]
    assert header["warnings"] == []
    assert set(header["timings"]) == {"load", "reduce", "network", "apply"}
    order = ["wait", "load", "reduce", "network", "apply"]
    assert [order.index(stage) for stage in stages] == sorted(order.index(stage) for stage in stages)
    assert {"load", "reduce", "network", "apply"} <= set(stages)
    result = np.frombuffer(pixels, np.uint8).reshape(layer.shape)
    assert np.array_equal(result[..., 3], layer[..., 3])
    assert not np.array_equal(result, layer)


def test_what_fits_already_is_said_to(peer: Peer) -> None:
    """A part of a table lies on the table that it is a part of."""
    table = np.ascontiguousarray(skimage.data.coffee()[60:300, 100:420])
    part = np.dstack([table[80:230, 20:140], np.full((150, 120), 255, np.uint8)])
    for light, said in ((1.0, 1), (0.5, 0)):
        lit = np.dstack([(part[..., :3] * light).astype(np.uint8), part[..., 3]])
        lit[:2, :2, 3] = 0  # opaque layers are none that was cut out
        header = harmonize_header(lit, table)
        header["layer"] |= {"x": 20, "y": 80}
        result = peer.ask(header, lit, table)
        assert result["op"] == "result"
        assert len(result["warnings"]) == said
        assert all(warning.startswith("Hardly any change") for warning in result["warnings"])


def test_questions_are_answered_while_a_request_runs(peer: Peer, layer: np.ndarray, reference: np.ndarray) -> None:
    slow = peer.send(harmonize_header(layer, reference, network_size=SLOW), layer, reference)
    await_state(peer, "working")
    for _ in range(5):
        start = time.monotonic()
        status = peer.send({"op": "status"})
        reply = next(one for one in iter(lambda: peer.receive()[0], None) if one["id"] == status)
        assert reply["state"] == "working"
        assert time.monotonic() - start < 1  # the machine may be busy: what counts is that the request goes on
    assert codes(peer.until_end(slow)) == [(slow, "result")]


def test_waiting_requests_are_cancelled_at_once_and_running_ones_soon(
    peer: Peer, layer: np.ndarray, reference: np.ndarray
) -> None:
    running = peer.send(harmonize_header(layer, reference, network_size=SLOW), layer, reference)
    waiting = peer.send(harmonize_header(layer, reference), layer, reference)
    kept = peer.send(harmonize_header(layer, reference), layer, reference)
    first = peer.send({"op": "cancel", "request": waiting})
    second = peer.send({"op": "cancel", "request": 10**6})
    third = peer.send({"op": "cancel", "request": running})  # the last, for what runs ends in its own time
    replies = peer.until_end(running, waiting, kept, first, second, third)
    assert codes(replies) == [
        (first, "cancelled"),
        (waiting, "cancelled"),
        (second, "cancelled"),
        (third, "cancelled"),
        (running, "cancelled"),
        (kept, "result"),
    ]
    found = {reply["id"]: reply["found"] for reply in replies if reply["op"] == "cancelled"}
    assert found == {first: True, second: False, third: True}


def test_a_client_cannot_cancel_anothers_request(
    backend: Backend, peer: Peer, layer: np.ndarray, reference: np.ndarray
) -> None:
    running = peer.send(harmonize_header(layer, reference, network_size=SLOW), layer, reference)
    await_state(peer, "working")
    other = Peer(backend.facts)
    assert other.ask({"op": "cancel", "request": running})["found"] is False
    other.close()
    assert codes(peer.until_end(running)) == [(running, "result")]


def test_one_client_may_have_four_requests(peer: Peer, layer: np.ndarray, reference: np.ndarray) -> None:
    header = harmonize_header(layer, reference, network_size=SLOW)
    ids = [peer.send(header, layer, reference)]
    ids += [peer.send(harmonize_header(layer, reference), layer, reference) for _ in range(4)]
    again = peer.send({**header, "id": ids[0]}, layer, reference)
    replies = codes(peer.until_end(*ids[1:]))
    assert replies[:2] == [(ids[4], "busy"), (again, "bad_request")]
    assert replies[2:] == [(number, "result") for number in ids[:4]]


def test_the_queue_is_bounded(backend: Backend, peer: Peer, layer: np.ndarray, reference: np.ndarray) -> None:
    running = peer.send(harmonize_header(layer, reference, network_size=1024), layer, reference)
    await_state(peer, "working")
    others = [Peer(backend.facts) for _ in range(5)]
    header = harmonize_header(layer, reference)
    ids = {other: [other.send(header, layer, reference) for _ in range(4)] for other in others}
    refused = 0
    await_that(lambda: peer_status(peer)["queue"] == protocol.MAX_QUEUE)
    for other in others:
        questions = [other.send({"op": "cancel", "request": number}) for number in ids[other]]
        ends = codes(other.until_end(*ids[other], *questions))
        refused += sum(code == "busy" for _, code in ends)
        other.close()
    assert refused == 20 - protocol.MAX_QUEUE
    peer.ask({"op": "cancel", "request": running})


def test_what_a_vanished_client_asked_for_is_dropped(
    backend: Backend, peer: Peer, layer: np.ndarray, reference: np.ndarray
) -> None:
    served = peer_status(peer)["served"]
    leaver = Peer(backend.facts)
    for _ in range(4):
        leaver.send(harmonize_header(layer, reference, network_size=SLOW), layer, reference)
    await_that(lambda: peer_status(peer)["queue"] == 3)
    leaver.close()
    await_that(lambda: peer_status(peer)["state"] == "idle")
    assert peer_status(peer)["queue"] == 0
    assert peer_status(peer)["served"] == served


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"op": "dance"}, "bad_request"),
        ({"op": None}, "bad_request"),
        ({"reference": None}, "bad_request"),
        ({"options": {"fit": "0123456789abcdef"}}, "bad_request"),
        ({"options": {"model": "gknet-xl"}}, "unsupported"),
        ({"options": {"strength": float("nan")}}, "bad_request"),
        ({"selection": {"width": 120, "height": 160}}, "bad_request"),
    ],
)
def test_wrong_requests_are_refused(
    peer: Peer, layer: np.ndarray, reference: np.ndarray, change: dict[str, Any], code: str
) -> None:
    reply = peer.ask({**harmonize_header(layer, reference), **change}, layer, reference)
    assert (reply["op"], reply["code"]) == ("error", code)
    assert reply["message"]
    assert reply["hint"]


def test_a_forgotten_fit_is_unknown(peer: Peer, layer: np.ndarray, reference: np.ndarray) -> None:
    header = {**harmonize_header(layer, reference), "reference": None, "options": {"fit": "0123456789abcdef"}}
    assert peer.ask(header, layer)["code"] == "unknown_fit"


def test_an_opaque_layer_needs_a_selection(peer: Peer, layer: np.ndarray, reference: np.ndarray) -> None:
    opaque = layer.copy()
    opaque[..., 3] = 255
    for pixels in (opaque, np.ascontiguousarray(layer[..., :3])):
        header = harmonize_header(pixels, reference)
        reply = peer.ask(header, pixels, reference)
        assert reply["code"] == "no_foreground"
        assert "select" in reply["hint"]
        selection = np.ascontiguousarray(layer[..., 3])
        header["selection"] = {"width": 120, "height": 160}
        assert peer.ask(header, pixels, reference, selection)["op"] == "result"


def test_a_message_that_is_no_message_is_answered_without_an_id(peer: Peer) -> None:
    for frames in ([b""], [b"\xc1"], [b"\x93\x01\x02\x03"], [msgpack.packb({"op": "status", "id": -1})], [b"x", b"y"]):
        peer.send_raw(*frames)
        reply, _ = peer.receive()
        assert (reply["op"], reply["id"], reply["code"]) == ("error", None, "bad_request")


def test_lies_about_sizes_cost_no_memory(
    backend: Backend, peer: Peer, layer: np.ndarray, reference: np.ndarray
) -> None:
    header = harmonize_header(layer, reference)
    process = psutil.Process(backend.process.pid)
    before = process.memory_info().rss
    for field, value in (("width", 250_000_000), ("height", 299_999), ("width", 2**63), ("channels", 3), ("width", 0)):
        reply = peer.ask({**header, "layer": {**header["layer"], field: value}}, layer, reference)
        assert reply["code"] in ("too_large", "bad_request")
    assert process.memory_info().rss - before < 20e6


def mutated(message: list[bytes], chance: random.Random) -> list[bytes]:
    """The message with some of its bytes changed, cut or repeated, or its frames shuffled."""
    frames = [bytearray(frame) for frame in message]
    for _ in range(chance.randint(1, 4)):
        frame = chance.choice(frames[:1] * 8 + frames)
        kind = chance.randrange(6)
        place = chance.randrange(len(frame) + 1)
        if kind <= 1 and place < len(frame):
            frame[place] = chance.randrange(256)
        elif kind == 2:
            del frame[place : place + chance.randint(1, 8)]
        elif kind == 3:
            frame[place:place] = chance.randbytes(chance.randint(1, 8))
        elif kind == 4:
            frames.insert(chance.randrange(len(frames) + 1), bytearray(chance.randbytes(chance.randint(0, 64))))
        elif len(frames) > 1:
            frames.pop(chance.randrange(len(frames)))
    return [bytes(frame) for frame in frames]


def fuzz(backend: Backend, layer: np.ndarray, reference: np.ndarray, count: int) -> None:
    """Sends mutated messages; the backend must live on, answer everybody else, and not grow."""
    chance = random.Random(4)
    small, below = np.ascontiguousarray(layer[::8, ::8]), np.ascontiguousarray(reference[::16, ::16])
    seeds: list[list[bytes]] = [
        [msgpack.packb({**harmonize_header(small, below), "id": 7}), small.tobytes(), below.tobytes()],
        [msgpack.packb({**HELLO, "id": 8})],
        [msgpack.packb({"op": "cancel", "id": 9, "request": 7})],
        [msgpack.packb({"op": "status", "id": 10})],
    ]
    process = psutil.Process(backend.process.pid)
    witness, fuzzer = Peer(backend.facts), Peer(backend.facts)
    witness.ask(harmonize_header(layer, reference), layer, reference)
    before = process.memory_info().rss
    for number in range(count):
        message = mutated(chance.choice(seeds), chance)
        if b"shutdown" not in message[0]:
            fuzzer.send_raw(*message)
        while fuzzer.socket.poll(0):
            fuzzer.receive()
        if number % 500 == 499:
            last = fuzzer.send({**HELLO, "id": 10**9})
            while fuzzer.receive()[0]["id"] != last:
                pass
            assert witness.ask(HELLO)["proof"] == proof(backend.facts)
            fuzzer.close()
            fuzzer = Peer(backend.facts)
    assert witness.ask(harmonize_header(layer, reference), layer, reference)["op"] == "result"
    fuzzer.close()
    witness.close()
    assert backend.process.poll() is None
    assert process.memory_info().rss - before < 100e6


def test_mutated_messages_do_no_harm(backend: Backend, layer: np.ndarray, reference: np.ndarray) -> None:
    fuzz(backend, layer, reference, 1000)


@pytest.mark.slow
def test_very_many_mutated_messages_do_no_harm(backend: Backend, layer: np.ndarray, reference: np.ndarray) -> None:
    fuzz(backend, layer, reference, 20_000)


@pytest.mark.slow
def test_memory_stays_flat_over_a_hundred_cancelled_requests(
    backend: Backend, peer: Peer, reference: np.ndarray
) -> None:
    large = np.random.default_rng(0).integers(0, 255, (3000, 4000, 4), dtype=np.uint8)
    header = harmonize_header(large, reference, network_size=64)
    process = psutil.Process(backend.process.pid)
    sizes = []
    for _ in range(100):
        running = peer.send(header, large, reference)
        while (reply := peer.receive()[0])["id"] != running or reply.get("stage") in ("wait", "load"):
            pass
        asked = peer.send({"op": "cancel", "request": running})
        peer.until_end(*({running, asked} if reply["op"] == "progress" else {asked}))
        sizes.append(process.memory_info().rss)
    assert max(sizes[50:]) - max(sizes[:20]) < large.nbytes
