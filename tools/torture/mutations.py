"""Sound files made unsound: bits, lengths and numbers of any file, values of JSON, headers and tensors of models."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

NASTY = (
    None, True, False, 0, -1, 1, 2, 17, 1024, 4096, 2**31, 2**63, 10**30, 10**400, 1e308, -1e308, 1e-320, 0.5, "", "x",
    float("nan"), float("inf"), "../../etc/passwd", "/etc/passwd", "\0", "a\nb", "<script>", "\udce9", "=1+1",
    "9" * 5000, [], [1], [[]], [None], {}, {"a": 1},
)  # fmt: skip
_NUMBERS = (0, 1, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 10**9, 100_000, 65_500)


def changed_bytes(rng: Random, sound: bytes) -> bytes:
    """Return `sound` with bits flipped, cut, repeated, or with numbers that declare much."""
    data, size = bytearray(sound), len(sound)
    at = rng.randrange(size)
    match rng.choice(("flips", "cut", "zeros", "more", "twice", "numbers", "digits", "foreign")):
        case "flips":
            for _ in range(rng.choice((1, 2, 40))):
                data[rng.randrange(size)] ^= 1 << rng.randrange(8)
        case "cut":
            del data[at:]
        case "zeros":
            data[at : at + 300] = bytes(len(data[at : at + 300]))
        case "more":
            data[at:at] = rng.randbytes(rng.randrange(1, 20))
        case "twice":
            data[at:at] = data[at : at + rng.randrange(1, 500)]
        case "numbers":
            _declare(rng, data)
        case "digits":
            data = bytearray(re.sub(rb"\d+", lambda found: _digits(rng, found[0]), sound))
        case _:
            data = bytearray(rng.choice((b"", b"[" * 200_000, b"\xff\xfe", b"<html>502</html>", sound[:1])))
    return bytes(data)


def _declare(rng: Random, data: bytearray) -> None:
    """Put numbers that declare much where headers are: near the beginning or the end."""
    for _ in range(rng.randrange(1, 4)):
        width = rng.choice((1, 2, 4, 8))
        at = rng.choice((rng.randrange(min(len(data), 600)), max(0, len(data) - rng.randrange(1, 600))))
        value = rng.choice(_NUMBERS) & ((1 << 8 * width) - 1)
        data[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))


def _digits(rng: Random, number: bytes) -> bytes:
    return str(rng.choice(_NUMBERS)).encode() if rng.random() < 0.1 else number


def changed_values(rng: Random, sound: Any) -> Any:
    """Return JSON values with one to three of them gone, added or replaced."""
    values = copy.deepcopy(sound)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(values))
        if not places:
            return rng.choice(NASTY)
        holder, key = rng.choice(places)
        fate = rng.random()
        if fate < 0.2:
            del holder[key]
        elif fate < 0.3 and isinstance(holder, dict):
            holder["extra"] = copy.deepcopy(rng.choice(NASTY))
        else:
            holder[key] = copy.deepcopy(rng.choice(NASTY))
    return values


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    inside = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(inside):
        yield values, key
        yield from _places(value)


def changed_json(rng: Random, sound: bytes) -> bytes:
    """Return a JSON file with other bytes or values."""
    if rng.random() < 0.35:
        return changed_bytes(rng, sound)
    return json.dumps(changed_values(rng, json.loads(sound))).encode()


def changed_lines(rng: Random, sound: bytes) -> bytes:
    """Return a file of lines of JSON with other bytes, or some lines with other values."""
    if rng.random() < 0.35:
        return changed_bytes(rng, sound)
    lines = sound.decode().splitlines()
    for _ in range(rng.choice((1, 2, 5))):
        number = rng.choice((0, len(lines) - 1, rng.randrange(len(lines))))
        lines[number] = json.dumps(changed_values(rng, json.loads(sound.decode().splitlines()[number])))
    return ("\n".join(lines) + "\n").encode()


_DIGEST = rb"\"payload_sha256\":\""
_DTYPES = ("F16", "BF16", "F64", "I32", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "I64", "C64", "F4", "X", "", None, 5)
_SHAPES: tuple[Any, ...] = ([], [0], [-1], [1] * 40, [2**31], [2**62, 4], [10**30], ["a"], None, [1.5])
_OFFSETS: tuple[Any, ...] = ([0, 0], [-1, 5], [5, 1], [0, 2**63], [0], [], None)


def changed_model(rng: Random, sound: bytes) -> tuple[bytes, bool]:
    """Return a model file made unsound, and whether its checksum tells so."""
    if rng.random() < 0.4:
        return changed_bytes(rng, sound), True
    size = int.from_bytes(sound[:8], "little")
    header, body = json.loads(sound[8 : 8 + size]), sound[8 + size :]
    description = json.loads(header["__metadata__"]["napari_unet_finetune"])
    if rng.random() < 0.6:
        description = {"payload_sha256": "0" * 64, **_object(changed_values(rng, description))}
    else:
        _change_tensor(rng, header)
    header["__metadata__"] = {"napari_unet_finetune": json.dumps(description, separators=(",", ":"))}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    return summed(struct.pack("<Q", len(encoded)) + encoded + body), False


def _object(values: Any) -> dict[str, Any]:
    return (
        {name: value for name, value in values.items() if name != "payload_sha256"} if isinstance(values, dict) else {}
    )


def _change_tensor(rng: Random, header: dict[str, Any]) -> None:
    name = rng.choice([name for name in header if name != "__metadata__"])
    match rng.choice(("dtype", "shape", "data_offsets", "gone", "called")):
        case "gone":
            del header[name]
        case "called":
            header[rng.choice(("rehearsal/x", "../../x", "", "a" * 5000, "\0"))] = header.pop(name)
        case field:
            header[name][field] = rng.choice({"dtype": _DTYPES, "shape": _SHAPES, "data_offsets": _OFFSETS}[field])


def summed(data: bytes) -> bytes:
    """Return the bytes of a model file with the checksum they should have."""
    place = data.find(_DIGEST)
    if place < 0:
        return data
    place += len(_DIGEST)
    blank = data[:place] + b"0" * 64 + data[place + 64 :]
    return data[:place] + hashlib.sha256(blank).hexdigest().encode() + data[place + 64 :]
