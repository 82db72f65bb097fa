"""What AV1 and HEVC streams say about colors in their headers (AV1 specification, 5.5; ITU-T H.265, 7.3.2.2, E.2.1)."""

from __future__ import annotations

import struct

Points = tuple[int, int, int]
"""Code points (H.273) of primaries, transfer function and matrix; 2 for unspecified."""

UNSPECIFIED: Points = (2, 2, 2)
_SEQUENCE_HEADER = 1  # type of an OBU
_PARAMETER_SET = 33  # type of a NAL unit: sequence parameter set
_SELECT = 2


class _Bits:
    """Reads bits, most significant first. Raises EOFError behind the end."""

    def __init__(self, content: bytes) -> None:
        self._value, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def read(self, count: int = 1) -> int:
        if count > self._left:
            raise EOFError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def read_exponential(self) -> int:
        """Read an Exp-Golomb code; AV1's uvlc() is the same."""
        zeros = 0
        while not self.read():
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)


def read_av1(content: bytes) -> Points:
    """Return the code points in the first sequence header among OBUs, unspecified without one."""
    place = 0
    try:
        while place < len(content):
            kind, has_more, has_size = content[place] >> 3 & 15, content[place] & 4, content[place] & 2
            place += 2 if has_more else 1
            size, shift = 0, 0
            while has_size:
                size |= (content[place] & 127) << shift
                shift, place = shift + 7, place + 1
                if content[place - 1] < 128:
                    break
            end = place + size if has_size else len(content)
            if kind == _SEQUENCE_HEADER:
                return _parse_sequence_header(_Bits(content[place:end]))
            place = end
    except (EOFError, IndexError):
        pass
    return UNSPECIFIED


def _parse_sequence_header(bits: _Bits) -> Points:
    profile, _, is_reduced = bits.read(3), bits.read(), bits.read()
    if is_reduced:
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width, height = bits.read(4) + 1, bits.read(4) + 1
    bits.read(width + height)
    if not is_reduced and bits.read():
        bits.read(7)
    bits.read(3)
    if not is_reduced:
        bits.read(4)
        has_order = bits.read()
        if has_order:
            bits.read(2)
        screen_tools = _SELECT if bits.read() else bits.read()
        if screen_tools > 0 and not bits.read():
            bits.read()
        if has_order:
            bits.read(3)
    bits.read(3)
    if bits.read() and profile == 2:
        bits.read()
    if profile != 1:
        bits.read()
    return (bits.read(8), bits.read(8), bits.read(8)) if bits.read() else UNSPECIFIED


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read():  # times
        bits.read(64)
        if bits.read():
            bits.read_exponential()
        if bits.read():
            delay_bits = bits.read(5) + 1
            bits.read(42)
    has_delays = bits.read()
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read()
        if delay_bits and bits.read():
            bits.read(2 * delay_bits + 1)
        if has_delays and bits.read():
            bits.read(4)


def read_hevc(configuration: bytes) -> Points:
    """Return the code points in the first parameter set of an hvcC box, unspecified without any."""
    try:
        place = 23
        for _ in range(configuration[22]):
            kind, count = configuration[place] & 63, struct.unpack_from(">H", configuration, place + 1)[0]
            place += 3
            for _ in range(count):
                (size,) = struct.unpack_from(">H", configuration, place)
                if kind == _PARAMETER_SET:
                    unit = configuration[place + 4 : place + 2 + size]  # behind its head
                    return _parse_parameter_set(_Bits(unit.replace(b"\0\0\3", b"\0\0")))
                place += 2 + size
    except (EOFError, IndexError, struct.error):
        pass
    return UNSPECIFIED


def _parse_parameter_set(bits: _Bits) -> Points:
    code = bits.read_exponential
    bits.read(4)
    layers = bits.read(3)
    bits.read(1 + 96)
    present = [(bits.read(), bits.read()) for _ in range(layers)]
    bits.read(2 * (8 - layers) if layers else 0)
    for has_profile, has_level in present:
        bits.read(88 * has_profile + 8 * has_level)
    code()
    if code() == 3:  # chroma in full
        bits.read()
    code(), code()
    if bits.read():  # a window
        code(), code(), code(), code()
    code(), code()
    order_bits = code() + 4
    for _ in range(layers + 1 if bits.read() else 1):
        code(), code(), code()
    for _ in range(6):
        code()
    if bits.read() and bits.read():
        _skip_scaling_lists(bits)
    bits.read(2)
    if bits.read():  # uncompressed blocks
        bits.read(8)
        code(), code()
        bits.read()
    _skip_picture_sets(bits)
    if bits.read():
        for _ in range(code()):
            bits.read(order_bits + 1)
    bits.read(2)
    return _parse_usability(bits) if bits.read() else UNSPECIFIED


def _parse_usability(bits: _Bits) -> Points:
    if bits.read() and bits.read(8) == 255:  # the shape of pixels
        bits.read(32)
    if bits.read():
        bits.read()
    if not bits.read():
        return UNSPECIFIED
    bits.read(4)
    return (bits.read(8), bits.read(8), bits.read(8)) if bits.read() else UNSPECIFIED


def _skip_scaling_lists(bits: _Bits) -> None:
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not bits.read():
                bits.read_exponential()
                continue
            for _ in range(min(64, 1 << 4 + 2 * size) + (size > 1)):
                bits.read_exponential()


def _skip_picture_sets(bits: _Bits) -> None:
    code, last = bits.read_exponential, 0
    for index in range(code()):
        if index and bits.read():  # told by the differences to the last
            bits.read()
            code()
            last = sum(1 for _ in range(last + 1) if bits.read() or bits.read())
            continue
        last = code() + code()
        for _ in range(last):
            code()
            bits.read()
