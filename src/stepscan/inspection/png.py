"""Matrices as PNG images in a data URI: colour is the sign and opacity the magnitude, so they suit any background."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_POSITIVE, _NEGATIVE = (214, 84, 0), (0, 112, 190)  # orange, blue


def rgba(strength: np.ndarray) -> np.ndarray:
    """Values `[R, C]`, −1 … 1 or NaN (transparent), as bytes `[R, C, 4]`: red, green, blue and opacity, 0 … 255."""
    known = np.nan_to_num(np.asarray(strength, dtype=float))
    pixels = np.zeros((*known.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where((known >= 0)[..., None], _POSITIVE, _NEGATIVE)
    pixels[..., 3] = np.round(255 * np.minimum(np.abs(known), 1))
    return pixels


def data_uri(pixels: np.ndarray) -> str:
    """Bytes `[R, C, 4]` as a PNG (ISO/IEC 15948: one IDAT, no filter) in a data URI."""
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
