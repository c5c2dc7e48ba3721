"""Matrices as PNG pictures in a data URI: colour is the sign, opacity the magnitude, so they suit any background."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_ABOVE, _BELOW = (214, 84, 0), (0, 112, 190)  # orange above zero, blue below


def shaded(strength: np.ndarray) -> np.ndarray:
    """`strength [R, C]`, −1 … 1 or NaN, as `[R, C, 4]` of red, green, blue and opacity, 0 … 255."""
    known = np.nan_to_num(np.asarray(strength, dtype=float))
    found = np.zeros((*known.shape, 4), dtype=np.uint8)
    found[..., :3] = np.where((known >= 0)[..., None], _ABOVE, _BELOW)
    found[..., 3] = np.round(255 * np.minimum(np.abs(known), 1))
    return found


def data_uri(pixels: np.ndarray) -> str:
    """`pixels [R, C, 4]` of bytes as a PNG (ISO/IEC 15948: one IDAT, no filter) within an address."""
    rows, columns = pixels.shape[:2]
    lines = b"".join(b"\0" + np.ascontiguousarray(row).tobytes() for row in pixels)
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, body)
        for kind, body in (
            (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)),
            (b"IDAT", zlib.compress(lines, 9)),
            (b"IEND", b""),
        )
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
