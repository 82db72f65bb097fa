"""A small backend that fails in one way: `failing_backend.py WAY`, with GKNET_CONNECTION set; says "ready".

Ways: `out-of-memory` answers every `harmonize` so; `newer` speaks a newer protocol than the plug-in; `refuses` finds
the plug-in's protocol too new.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import msgpack
import zmq
from zmq.auth.thread import ThreadAuthenticator

ERRORS = {
    "out-of-memory": (
        "out_of_memory",
        "There is not enough memory for this image.",
        "Close other programs, or use a smaller image.",
    ),
    "refuses": (
        "unsupported",
        "The client speaks version 1.0 of the protocol, the backend 0.9.",
        "Update the backend, or use the client that came with it.",
    ),
}


def answer(way: str, request: dict[str, Any], proof_key: bytes) -> dict[str, Any]:
    """What is answered to a request."""
    if request["op"] == "hello" and way != "refuses":
        proof = hmac.digest(proof_key, request["nonce"], "sha256")
        return {"op": "hello", "protocol": [2 if way == "newer" else 1, 0], "proof": proof, "limits": {}}
    code, message, hint = ERRORS[way]
    return {"op": "error", "code": code, "message": message, "hint": hint}


def main() -> None:
    way, path = sys.argv[1], Path(os.environ["GKNET_CONNECTION"])
    key, proof_key = secrets.token_hex(32), secrets.token_hex(32)
    context = zmq.Context.instance()
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_plain(domain="*", passwords={"gknet": key})
    router = context.socket(zmq.ROUTER)
    router.plain_server = True
    port = router.bind_to_random_port("tcp://127.0.0.1")
    path.touch(0o600)
    path.write_text(json.dumps({"host": "127.0.0.1", "port": port, "key": key, "proof_key": proof_key}))
    print("ready", flush=True)
    while True:
        peer, packed, *_ = router.recv_multipart()
        request = msgpack.unpackb(packed)
        reply = {**answer(way, request, bytes.fromhex(proof_key)), "id": request["id"]}
        router.send_multipart([peer, msgpack.packb(reply)])


main()
