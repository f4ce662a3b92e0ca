"""A graph whose optional inputs are required: onnxruntime-web takes no others.

An optional input of an ONNX graph is one with an initializer of its name. The export of the page works
without the package onnx, so the initializers are cut out of the file's protocol buffers. A record of these is
the number and wire type of its field, a length, and as many bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

GRAPH, INITIALIZER, NAME = 7, 5, 8  # fields of ModelProto, GraphProto and TensorProto
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types


def with_required_inputs(model: bytes, names: Collection[str]) -> bytes:
    """Remove the initializers of some inputs.

    Args:
        model: A serialised ONNX model.
        names: The inputs.

    Returns:
        The model; the same bytes where it has no such initializers.
    """
    wanted = {name.encode() for name in names}
    result = bytearray()
    for number, whole, content in _records(model):
        if number != GRAPH:
            result += whole
            continue
        graph = b"".join(
            record
            for field, record, tensor in _records(content)
            if field != INITIALIZER or _name(tensor) not in wanted
        )
        result += _varint(GRAPH << 3 | LENGTH) + _varint(len(graph)) + graph
    return bytes(result)


def _name(tensor: bytes) -> bytes:
    return next((content for number, _, content in _records(tensor) if number == NAME), b"")


def _records(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(field, the whole record, its content) of every record; the content is empty where it is a number."""
    at = 0
    while at < len(message):
        begin = at
        key, at = _read_varint(message, at)
        kind, size = key & 7, 0
        if kind == VARINT:
            _, at = _read_varint(message, at)
        elif kind == LENGTH:
            size, at = _read_varint(message, at)
        else:
            at += {FIXED64: 8, FIXED32: 4}[kind]
        at += size
        yield key >> 3, message[begin:at], message[at - size : at]


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends: seven bits a byte, the lowest first; the eighth says that more follow."""
    value, shift = 0, 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | message[at] << shift, at + 1


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])
