"""Settings of libvips that apply only while this package uses it.

pyvips's settings are global to the process, which may use pyvips for other things. Two of them are private attributes,
as they are in pyvips 3.
"""

from __future__ import annotations

import atexit
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyvips

_DOMAIN, _OBJECT_DOMAIN = b"VIPS", b"GLib-GObject"
_LEVELS = pyvips.GLogLevelFlags
_FLAGS = _LEVELS.FLAG_FATAL | _LEVELS.FLAG_RECURSION  # or a message during another one would go to the terminal
_WORTH_TELLING = _LEVELS.LEVEL_MESSAGE | _LEVELS.LEVEL_WARNING | _LEVELS.LEVEL_CRITICAL | _LEVELS.LEVEL_ERROR | _FLAGS
_EVERYTHING = _WORTH_TELLING | _LEVELS.LEVEL_INFO | _LEVELS.LEVEL_DEBUG

# Before pyvips removes its handler at exit: a picture that an error still holds may have a last message.
atexit.register(gc.collect)

_lock = threading.Lock()
_users = 0
_cache_size = 0
_object_handler = 0
_to_string = pyvips.error._to_string


@contextmanager
def vips_session() -> Iterator[None]:
    """Change four of pyvips's settings while a block, or a decorated function, builds and runs operations.

    - No cache: libvips would keep the last hundred operations, each with a whole picture.
    - Messages that are not UTF-8 are decoded leniently. libvips quotes damaged files in its messages; pyvips would fail
    on them, and at every later error.
    - No messages from GLib on the terminal, such as one about the width of a damaged file.
    - No debugging messages: a Ctrl-C that arrives while Python handles one would be lost.

    Sessions may overlap, in any number of threads; the last one to end restores the settings.
    """
    global _users, _cache_size, _object_handler
    with _lock:
        if _users == 0:
            _cache_size = pyvips.cache_get_max()
            _apply_settings(0, _decode, _WORTH_TELLING)
            _object_handler = _handle_messages(_OBJECT_DOMAIN, _WORTH_TELLING)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                pyvips.glib_lib.g_log_remove_handler(_OBJECT_DOMAIN, _object_handler)
                _apply_settings(_cache_size, _to_string, _EVERYTHING)


def _apply_settings(cache_size: int, to_string: Any, levels: int) -> None:
    pyvips.cache_set_max(cache_size)
    pyvips._to_string = pyvips.error._to_string = to_string
    # The new handler first: between two of them, a message of another thread would go to the terminal.
    handler = _handle_messages(_DOMAIN, levels)
    pyvips._remove_log_handler()
    pyvips._log_handler_id = handler


def _handle_messages(domain: bytes, levels: int) -> int:
    """Hand GLib's messages of a domain to pyvips's logger. Return the handler's number."""
    handler: int = pyvips.glib_lib.g_log_set_handler(domain, levels, pyvips._log_handler_cb, pyvips.ffi.NULL)
    return handler


def _decode(text: Any) -> str:
    decoded: str = pyvips.ffi.string(text).decode("utf-8", "replace")
    return decoded
