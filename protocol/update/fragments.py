"""Fragments: a file cut for the radio so that each part decodes without the others.

A fragment is two bytes, the offset of the first record that starts in it (0xFFFF: none does), then its piece of
the file. All fragments but the last are ``fragment_bytes`` long. A record counts when all its bytes arrived,
whatever else is missing. Source: ours (docs/algorithms.md, section 2.7).
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from protocol.adapters import Adapter, adapter_digest
from protocol.errors import UpdateFileError
from protocol.schemes import Frozen, LayoutName
from protocol.update.files import HEADER_BYTES, check_base, check_sum, read_header, record_offsets
from protocol.update.layouts import make_layout
from protocol.update.quantisation import Content
from protocol.update.records import DecodedUpdate, Layout, RecordReader

_OFFSET = struct.Struct("<H")
FRAGMENT_HEADER_BYTES = _OFFSET.size
MINIMUM_FRAGMENT_BYTES = FRAGMENT_HEADER_BYTES + HEADER_BYTES
MAXIMUM_FRAGMENT_BYTES = 65535
"""The radio tells a fragment's length in two bytes."""
_NO_START = 0xFFFF


def fragment_count(payload_bytes: int, fragment_bytes: int) -> int:
    """Fragments of a file of ``payload_bytes``."""
    return -(-payload_bytes // _piece_bytes(fragment_bytes))


def cut_fragments(file: bytes, fragment_bytes: int, base: Adapter) -> list[bytes]:
    """Cut a sound update file made from ``base`` (without a table of energies); an empty file gives none."""
    if not file:
        return []
    if read_header(file).annotated:
        raise ValueError("files with a table of energies are not sent by radio")
    starts, piece, view = record_offsets(file, base)[:-1], _piece_bytes(fragment_bytes), memoryview(file)
    return [
        b"".join([_OFFSET.pack(_first_start(starts, begin, begin + piece)), view[begin : begin + piece]])
        for begin in range(0, len(file), piece)
    ]


def join_fragments(
    fragments: Mapping[int, Content],
    *,
    payload_bytes: int,
    fragment_bytes: int,
    base: Adapter,
    quant_bits: int,
    frozen: Frozen = "none",
    layout: LayoutName = "components",
    base_digest: bytes | None = None,
) -> DecodedUpdate:
    """Decode every record all of whose bytes are in ``fragments`` (index to content).

    ``payload_bytes`` is the size of the whole file; both sides know the rest from the experiment. The
    last fragment may be followed by zero padding. ``base_digest``: ``adapter_digest(base)``, where it is known.
    Raises UpdateFileError for anything an encoder with this base, these bits and this size would not have cut.
    """
    units = make_layout(layout, base, quant_bits, frozen)
    _check_size(payload_bytes, units)
    pieces = {i: _piece(fragments[i], i, payload_bytes, fragment_bytes) for i in sorted(fragments)}
    if 0 in pieces:
        _check_header(pieces[0], base_digest or adapter_digest(base), units)
    reader = RecordReader(base, units)
    for run in _runs(list(pieces)):
        _read_run([pieces[i] for i in run], run[0] * _piece_bytes(fragment_bytes), payload_bytes, reader)
    return reader.decoded()


_Piece = tuple[int, memoryview]
"""(offset of the first record start, file bytes)."""


def _piece_bytes(fragment_bytes: int) -> int:
    if not MINIMUM_FRAGMENT_BYTES <= fragment_bytes <= MAXIMUM_FRAGMENT_BYTES:
        raise ValueError(f"fragments have {MINIMUM_FRAGMENT_BYTES} to {MAXIMUM_FRAGMENT_BYTES} bytes")
    return fragment_bytes - FRAGMENT_HEADER_BYTES


def _first_start(starts: Sequence[int], begin: int, end: int) -> int:
    position = bisect_left(starts, begin)
    inside = position < len(starts) and starts[position] < end
    return starts[position] - begin if inside else _NO_START


def _check_size(payload_bytes: int, layout: Layout) -> None:
    limit = HEADER_BYTES + layout.largest_bytes
    if not 0 <= payload_bytes <= limit:
        raise UpdateFileError(f"update: {payload_bytes} bytes announced; this base has at most {limit}")


def _piece(fragment: Content, index: int, payload_bytes: int, fragment_bytes: int) -> _Piece:
    count, piece = fragment_count(payload_bytes, fragment_bytes), _piece_bytes(fragment_bytes)
    if not 0 <= index < count:
        raise UpdateFileError(f"update: fragment {index} of {count} does not exist")
    size = min(piece, payload_bytes - index * piece)
    content = memoryview(fragment)[FRAGMENT_HEADER_BYTES : FRAGMENT_HEADER_BYTES + size]
    if len(content) < size or any(fragment[FRAGMENT_HEADER_BYTES + size :]):
        raise UpdateFileError(f"update: fragment {index} has a wrong length")
    return int(_OFFSET.unpack_from(fragment)[0]), content


def _check_header(first: _Piece, base_digest: bytes, layout: Layout) -> None:
    offset, content = first
    header = read_header(content)
    check_base(header, base_digest)
    agreed = (layout.name, layout.quant_bits, layout.components.frozen, False)
    if (header.layout, header.quant_bits, header.frozen, header.annotated) != agreed:
        raise UpdateFileError("update: the header contradicts the experiment")
    if offset not in (HEADER_BYTES, _NO_START):
        raise UpdateFileError("update: the first record does not follow the header")


def _runs(indices: Sequence[int]) -> Iterator[list[int]]:
    """Group ascending ``indices`` into stretches without a gap."""
    run: list[int] = []
    for index in indices:
        if run and index != run[-1] + 1:
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _read_run(run: Sequence[_Piece], begin: int, payload_bytes: int, reader: RecordReader) -> None:
    """Decode the records that lie whole in neighbouring fragments starting at file offset ``begin``."""
    data = memoryview(b"".join(piece for _, piece in run))
    if len(data) == payload_bytes:
        check_sum(data)
    starts, position = [], _declared_start(run)
    while position is not None and position < len(data):
        starts.append(position)
        size = reader.size_at(data, position)
        if size is None or position + size > len(data):
            break
        reader.read(data[position : position + size])
        position += size
    if begin + len(data) == payload_bytes and position is not None and position != len(data):
        raise UpdateFileError("update: the last record is cut off")
    edge = 0
    for declared, piece in run:
        if declared != _first_start(starts, edge, edge + len(piece)):
            raise UpdateFileError("update: a fragment contradicts its neighbour")
        edge += len(piece)


def _declared_start(run: Sequence[_Piece]) -> int | None:
    """Offset in the run of the first record start that any of its fragments declares."""
    edge = 0
    for declared, piece in run:
        if declared != _NO_START:
            return edge + declared
        edge += len(piece)
    return None
