"""A backend in one role after another: `fake_backend.py ROLE`, with GKNET_CONNECTION set.

Roles: `normal`; `dies` at once; `never` listens; `mute` listens and answers nothing; `liar` can't prove itself.

What `harmonize` does depends on `options.model`: None answers the layer with every byte's bits turned round, after two
reports of progress; `exit` ends the process; `exit-once` does so in the first process only; `stop` stops it without
ending it; `wait` waits for a cancel; `deaf` doesn't even react to that; `busy` sleeps for 1.5 s in the loop.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgpack
import zmq
from zmq.auth.thread import ThreadAuthenticator

TURNED_ROUND = bytes(255 - value for value in range(256))


class Fake:
    def __init__(self, role: str, path: Path, starts: int) -> None:
        self.role, self.path, self.starts = role, path, starts
        self.key, self.proof_key = secrets.token_hex(32), secrets.token_hex(32)
        context = zmq.Context.instance()
        authenticator = ThreadAuthenticator(context)
        authenticator.start()
        authenticator.configure_plain(domain="*", passwords={"gknet": self.key})
        self.socket = context.socket(zmq.ROUTER)
        self.socket.plain_server = True
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")

    def publish(self) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.touch(0o600)
        fresh.write_text(
            json.dumps({"host": "127.0.0.1", "port": self.port, "key": self.key, "proof_key": self.proof_key})
        )
        fresh.replace(self.path)

    def run(self) -> None:
        waiting: dict[int, bytes] = {}
        while True:
            peer, packed, *frames = self.socket.recv_multipart()
            header = msgpack.unpackb(packed)
            if self.role == "mute":
                continue
            if header["op"] == "harmonize":
                if self.harmonize(peer, header, frames):
                    waiting[header["id"]] = peer
            elif header["op"] == "cancel":
                found = waiting.pop(header["request"], None) is not None
                if found:
                    error = {"op": "error", "id": header["request"], "code": "cancelled", "message": "m", "hint": "h"}
                    self.answer(peer, error)
                self.answer(peer, {**header, "op": "cancelled", "found": found})
            else:
                self.answer(peer, {"id": header["id"], **getattr(self, header["op"])(header)})
            if header["op"] == "shutdown":
                time.sleep(0.1)  # for the farewell to go out
                os._exit(0)

    def answer(self, peer: bytes, header: dict[str, Any], *frames: bytes) -> None:
        self.socket.send_multipart([peer, msgpack.packb(header), *frames])

    def hello(self, header: dict[str, Any]) -> dict[str, Any]:
        key = bytes(32) if self.role == "liar" else bytes.fromhex(self.proof_key)
        proof = hmac.digest(key, header["nonce"], hashlib.sha256)
        limits = {"pixels": 100_000_000, "frame_bytes": 2**30}
        return {"op": "hello", "protocol": [1, 0], "proof": proof, "limits": limits, "client": header["client"]}

    def status(self, _: dict[str, Any]) -> dict[str, Any]:
        here = {"pid": os.getpid(), "starts": self.starts, "session": os.getsid(0), "folder": str(Path.cwd())}
        return {"op": "status", "environment": dict(os.environ), **here}

    def shutdown(self, _: dict[str, Any]) -> dict[str, Any]:
        self.path.unlink()
        return {"op": "bye"}

    def harmonize(self, peer: bytes, header: dict[str, Any], frames: list[bytes]) -> bool:
        """True if the request is to wait."""
        model = header.get("options", {}).get("model")
        if model == "exit" or (model == "exit-once" and self.starts == 1):
            os._exit(1)
        if model == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if model == "busy":
            time.sleep(1.5)
        for done in (0, 1):
            progress = {"stage": "apply", "done": done, "total": 2, "text": "working"}
            self.answer(peer, {"op": "progress", "id": header["id"], **progress})
        if model in ("wait", "deaf"):
            return bool(model == "wait")
        kind = {name: header["layer"][name] for name in ("width", "height", "channels", "depth")}
        result = {"op": "result", "id": header["id"], "fit": "f", "asked": [len(frame) for frame in frames], **kind}
        self.answer(peer, result, frames[0].translate(TURNED_ROUND))
        return False


def main() -> None:
    role, path = sys.argv[1], Path(os.environ["GKNET_CONNECTION"])
    with path.with_name("pids").open("a+") as pids:
        pids.write(f"{os.getpid()}\n")
        pids.seek(0)
        starts = len(pids.readlines())
    if role == "dies":
        print("gknet: I die as I was told to.", file=sys.stderr)
        sys.exit(3)
    if role == "never":
        time.sleep(600)
    fake = Fake(role, path, starts)
    fake.publish()
    fake.run()


main()
