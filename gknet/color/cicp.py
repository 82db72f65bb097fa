"""Coding-independent code points (ITU-T H.273), with which AVIF, HEIC and PNG specify their colors."""

from __future__ import annotations

from gknet.color.icc import REC_709, SRGB_CURVE, Chromaticities, Curve, build_profile
from gknet.errors import UnsupportedError

_UNSPECIFIED = 2
HDR_TRANSFERS = (16, 18)
"""Transfer functions PQ and HLG."""

_C, _E = (0.310, 0.316), (1 / 3, 1 / 3)  # white points
_D65 = (0.3127, 0.3290)
_PRIMARIES: dict[int, Chromaticities] = {
    1: REC_709,
    _UNSPECIFIED: REC_709,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, *_E),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_BT_709: Curve = (1 / 0.45, 1 / 1.0993, 0.0993 / 1.0993, 1 / 4.5, 0.08124)
_CURVES: dict[int, Curve] = {
    1: _BT_709,
    _UNSPECIFIED: SRGB_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _BT_709,
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912),
    8: (1.0,),
    13: SRGB_CURVE,
    14: _BT_709,
    15: _BT_709,
}
_NAMES = {(1, 13): "sRGB", (12, 13): "Display P3", (9, 13): "Rec. 2020 with sRGB's curve"}


def find_profile(primaries: int, transfer: int, *, gray: bool, subject: object) -> bytes | None:
    """Return the ICC profile of code points; None if they leave both primaries and transfer unspecified.

    subject: the file's name, for messages. Raises UnsupportedError for PQ, HLG and code points without a profile.
    """
    if transfer in HDR_TRANSFERS:
        raise hdr_error(subject)
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        raise UnsupportedError(
            f"{subject} has unsupported color primaries {primaries} and transfer function {transfer} (H.273).",
            "Convert it to sRGB first.",
        )
    if primaries == transfer == _UNSPECIFIED:
        return None
    name = _NAMES.get((primaries, transfer), f"H.273 primaries {primaries}, transfer {transfer}")
    return build_profile(name, _PRIMARIES[primaries], _CURVES[transfer], gray=gray)


def hdr_error(subject: object) -> UnsupportedError:
    """Return the error for a picture or profile in PQ or HLG."""
    return UnsupportedError(f"{subject} is HDR (PQ or HLG), which is not supported.", "Save it as SDR, or as OpenEXR.")
