"""The records of a mask journal: length, checksum, content; what a crash tore is told from what is whole."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

PREFIX = struct.Struct("<II")  # bytes of the content, its CRC-32
STAMP = struct.Struct("<cd")  # what the content is, when (seconds since 1970)
WHOLE, CHANGE = b"W", b"C"


def record(kind: bytes, when: float, content: bytes) -> bytes:
    """Return a record: its length, its checksum, what it is (`WHOLE`, `CHANGE`), when, and what it holds."""
    whole = STAMP.pack(kind, when) + content
    return PREFIX.pack(len(whole), zlib.crc32(whole)) + whole


def records(rest: bytes) -> Iterator[tuple[bytes, float, bytes]]:
    """Yield what each record is, when it was written and what it holds, up to the first that is not whole."""
    at = 0
    while at + PREFIX.size <= len(rest):
        length, checksum = PREFIX.unpack_from(rest, at)
        whole = rest[at + PREFIX.size : at + PREFIX.size + length]
        if len(whole) < length or zlib.crc32(whole) != checksum:
            return  # torn by a crash: nothing was written after it
        kind, when = STAMP.unpack_from(whole)
        yield kind, when, whole[STAMP.size :]
        at += PREFIX.size + length


def packed_change(voxels: np.ndarray, old: np.ndarray, new: np.ndarray) -> bytes:
    """Return a change as bytes: ``voxels`` int (n,), flat indices; ``old`` and ``new`` bool (n,), their values."""
    values = np.packbits(np.concatenate([old, new]))
    return zlib.compress(struct.pack("<I", len(voxels)) + voxels.astype("<u8").tobytes() + values.tobytes(), 1)


def unpacked_change(content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return voxels, old and new values of what `packed_change` made."""
    raw = zlib.decompress(content)
    (count,) = struct.unpack_from("<I", raw)
    voxels = np.frombuffer(raw, dtype="<u8", count=count, offset=4)
    values = np.unpackbits(np.frombuffer(raw, dtype=np.uint8, offset=4 + 8 * count), count=2 * count).astype(bool)
    return voxels.astype(np.int64), values[:count], values[count:]
