"""Colors in the headers of AV1 and HEVC streams (AV1 specification, 5.5; ITU-T H.265, 7.3.2.2 and E.2.1).

The colors follow fields of varying length, so these must be read one by one; comments give their names in the
specifications.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

Points = tuple[int, int, int]
"""Code points (H.273) of primaries, transfer function and matrix; 2 for unspecified."""

UNSPECIFIED: Points = (2, 2, 2)


class Header(NamedTuple):
    """What a stream states about its colors.   is_limited: whether it states the limited range, 16 to 235 of 255."""

    points: Points = UNSPECIFIED
    is_limited: bool = False


_SEQUENCE_HEADER = 1  # type of an OBU
_PARAMETER_SET = 33  # type of a NAL unit: sequence parameter set
_SRGB: Points = (1, 13, 0)  # always of full range in AV1, unless gray
_SELECT_PER_FRAME = 2  # SELECT_SCREEN_CONTENT_TOOLS


class _Bits:
    """Reads bits, most significant first. Raises EOFError past the end."""

    def __init__(self, content: bytes) -> None:
        self._value, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def read(self, count: int = 1) -> int:
        """Read an unsigned number of `count` bits."""
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


def read_av1(content: bytes) -> Header:
    """Return the colors in the first sequence header among OBUs, unspecified without one."""
    offset = 0
    try:
        while offset < len(content):
            kind, has_more, has_size = content[offset] >> 3 & 15, content[offset] & 4, content[offset] & 2
            offset += 2 if has_more else 1
            size, shift = 0, 0
            while has_size:
                size |= (content[offset] & 127) << shift
                shift, offset = shift + 7, offset + 1
                if content[offset - 1] < 128:
                    break
            end = offset + size if has_size else len(content)
            if kind == _SEQUENCE_HEADER:
                return _parse_sequence_header(_Bits(content[offset:end]))
            offset = end
    except (EOFError, IndexError):
        pass
    return Header()


def _parse_sequence_header(bits: _Bits) -> Header:
    """Return the colors in AV1's sequence_header_obu()."""
    profile, _, is_reduced = bits.read(3), bits.read(), bits.read()
    if is_reduced:
        bits.read(5)  # seq_level_idx
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    bits.read(width_bits + height_bits)
    if not is_reduced and bits.read():  # frame_id_numbers_present_flag
        bits.read(7)
    bits.read(3)  # use_128x128_superblock to enable_intra_edge_filter
    if not is_reduced:
        bits.read(4)  # enable_interintra_compound to enable_dual_filter
        has_order = bits.read()  # enable_order_hint
        if has_order:
            bits.read(2)
        screen_tools = _SELECT_PER_FRAME if bits.read() else bits.read()
        if screen_tools > 0 and not bits.read():  # seq_choose_integer_mv
            bits.read()
        if has_order:
            bits.read(3)  # order_hint_bits_minus_1
    bits.read(3)  # enable_superres, enable_cdef, enable_restoration
    if bits.read() and profile == 2:  # high_bitdepth
        bits.read()  # twelve_bit
    is_gray = profile != 1 and bits.read() == 1  # mono_chrome
    # color_description_present_flag
    points = (bits.read(8), bits.read(8), bits.read(8)) if bits.read() else UNSPECIFIED
    has_range = is_gray or points != _SRGB
    return Header(points, has_range and not bits.read())  # color_range


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read():  # timing_info_present_flag
        bits.read(64)
        if bits.read():  # equal_picture_interval
            bits.read_exponential()
        if bits.read():  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.read(42)
    has_display_delays = bits.read()
    for _ in range(bits.read(5) + 1):
        bits.read(12)  # operating_point_idc
        if bits.read(5) > 7:  # seq_level_idx
            bits.read()  # seq_tier
        if delay_bits and bits.read():
            bits.read(2 * delay_bits + 1)  # operating_parameters_info()
        if has_display_delays and bits.read():
            bits.read(4)


def read_hevc(configuration: bytes) -> Header:
    """Return the colors in the first parameter set of an hvcC box, unspecified without any."""
    try:
        offset = 23
        for _ in range(configuration[22]):
            kind, count = configuration[offset] & 63, struct.unpack_from(">H", configuration, offset + 1)[0]
            offset += 3
            for _ in range(count):
                (size,) = struct.unpack_from(">H", configuration, offset)
                if kind == _PARAMETER_SET:
                    unit = configuration[offset + 4 : offset + 2 + size]  # after its two-byte header
                    return _parse_parameter_set(_Bits(unit.replace(b"\0\0\3", b"\0\0")))
                offset += 2 + size
    except (EOFError, IndexError, struct.error):
        pass
    return Header()


def _parse_parameter_set(bits: _Bits) -> Header:
    """Return the colors in HEVC's seq_parameter_set_rbsp()."""
    code = bits.read_exponential
    bits.read(4)  # sps_video_parameter_set_id
    layers = bits.read(3)  # sps_max_sub_layers_minus1
    bits.read(1 + 96)  # sps_temporal_id_nesting_flag; general profile and level
    present = [(bits.read(), bits.read()) for _ in range(layers)]
    bits.read(2 * (8 - layers) if layers else 0)
    for has_profile, has_level in present:
        bits.read(88 * has_profile + 8 * has_level)
    code()  # sps_seq_parameter_set_id
    if code() == 3:  # chroma_format_idc of 4:4:4
        bits.read()
    code(), code()  # width and height
    if bits.read():  # conformance_window_flag
        code(), code(), code(), code()
    code(), code()  # bit depths of luma and chroma
    order_bits = code() + 4  # log2_max_pic_order_cnt_lsb_minus4
    for _ in range(layers + 1 if bits.read() else 1):  # sps_sub_layer_ordering_info_present_flag
        code(), code(), code()
    for _ in range(6):  # sizes of blocks, from log2_min_luma_coding_block_size_minus3
        code()
    if bits.read() and bits.read():  # scaling_list_enabled_flag, sps_scaling_list_data_present_flag
        _skip_scaling_lists(bits)
    bits.read(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.read():  # pcm_enabled_flag
        bits.read(8)
        code(), code()
        bits.read()
    _skip_reference_sets(bits)
    if bits.read():  # long_term_ref_pics_present_flag
        for _ in range(code()):
            bits.read(order_bits + 1)
    bits.read(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    return _parse_usability(bits) if bits.read() else Header()  # vui_parameters_present_flag


def _parse_usability(bits: _Bits) -> Header:
    """Return the colors in video usability information, HEVC's vui_parameters()."""
    if bits.read() and bits.read(8) == 255:  # aspect_ratio_idc of EXTENDED_SAR
        bits.read(32)
    if bits.read():  # overscan_info_present_flag
        bits.read()
    if not bits.read():  # video_signal_type_present_flag
        return Header()
    bits.read(3)  # video_format
    is_limited = not bits.read()  # video_full_range_flag
    # colour_description_present_flag
    points = (bits.read(8), bits.read(8), bits.read(8)) if bits.read() else UNSPECIFIED
    return Header(points, is_limited)


def _skip_scaling_lists(bits: _Bits) -> None:
    """Skip HEVC's scaling_list_data()."""
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not bits.read():  # scaling_list_pred_mode_flag
                bits.read_exponential()
                continue
            for _ in range(min(64, 1 << 4 + 2 * size) + (size > 1)):
                bits.read_exponential()


def _skip_reference_sets(bits: _Bits) -> None:
    """Skip HEVC's st_ref_pic_set() structures."""
    code, last = bits.read_exponential, 0
    for index in range(code()):
        if index and bits.read():  # inter_ref_pic_set_prediction_flag
            bits.read()
            code()
            last = sum(1 for _ in range(last + 1) if bits.read() or bits.read())
            continue
        last = code() + code()
        for _ in range(last):
            code()
            bits.read()
