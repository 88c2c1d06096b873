"""The update file: a header, an optional table of energies, and records in order of rank.

    header   magic "ATUP", version, quant bits, flags, base digest (8 bytes), records, CRC-32    23 bytes;
             flags: 1 A frozen, 2 annotated, 4 B frozen, and from 16 on the number of the layout
    table    with flag ANNOTATED: total energy (float64), components of the base (uint32),
             then for each record its energy (float32) and size (uint32)                          12 + 8 n bytes
    records  number of the unit, body as the layout says

All numbers are little-endian. The CRC covers every other byte. Files for the radio have no table; those of
``airtune update`` have one, so that ``info`` tells energies without the base. Source: ours.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.adapters import Adapter, adapter_digest
from protocol.errors import UpdateFileError
from protocol.schemes import Frozen, LayoutName
from protocol.update.layouts import LAYOUT_NAMES, make_layout
from protocol.update.quantisation import QUANT_BITS, Content
from protocol.update.records import DecodedUpdate, RecordReader

MAGIC = b"ATUP"
FORMAT_VERSION = 1
FLAG_A_FROZEN = 1
FLAG_ANNOTATED = 2
FLAG_B_FROZEN = 4
_FLAG_UNUSED = 8
LAYOUT_SHIFT = 4
_HEADER = struct.Struct("<4sBBB8sI")
_CRC = struct.Struct("<I")
_TABLE = struct.Struct("<dI")
_ENTRY = np.dtype([("energy", "<f4"), ("bytes", "<u4")])
HEADER_BYTES = _HEADER.size + _CRC.size
TABLE_BYTES = _TABLE.size
ENTRY_BYTES = _ENTRY.itemsize
_FROZEN_FLAGS: dict[Frozen, int] = {"none": 0, "a": FLAG_A_FROZEN, "b": FLAG_B_FROZEN}
_FROZEN = {flag: frozen for frozen, flag in _FROZEN_FLAGS.items()}


@dataclass(frozen=True)
class Header:
    """First bytes of an update file."""

    quant_bits: int
    frozen: Frozen
    annotated: bool
    base_digest: bytes
    records: int
    layout: LayoutName = "components"


@dataclass(frozen=True)
class EnergyTable:
    """Energies of an annotated file."""

    total_energy: float
    components_total: int
    """Units the base has in this layout."""
    energies: NDArray[np.float64]
    """By which each record lowers the energy that stays unsent (its quantisation error taken off)."""
    sizes: NDArray[np.int64]
    """Size of each record, bytes."""


def header_bytes(annotated: bool) -> int:
    """Size of a file without records."""
    return HEADER_BYTES + (TABLE_BYTES if annotated else 0)


def write_file(header: Header, records: Sequence[bytes], table: EnergyTable | None = None) -> bytes:
    """Assemble a file; ``table`` exactly when ``header.annotated``."""
    flags = _FROZEN_FLAGS[header.frozen] | FLAG_ANNOTATED * header.annotated
    flags |= LAYOUT_NAMES.index(header.layout) << LAYOUT_SHIFT
    start = _HEADER.pack(MAGIC, FORMAT_VERSION, header.quant_bits, flags, header.base_digest, len(records))
    body = list(records)
    if table is not None:
        entries = np.zeros(len(records), dtype=_ENTRY)
        entries["energy"], entries["bytes"] = table.energies, table.sizes
        body = [_TABLE.pack(table.total_energy, table.components_total), entries.tobytes(), *body]
    return b"".join([start, _CRC.pack(_crc([start, *body])), *body])


def _crc(parts: Sequence[Content]) -> int:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc


def read_header(data: Content) -> Header:
    """Check magic, version and fields of the first HEADER_BYTES; the CRC is ``check_sum``'s task."""
    if len(data) < HEADER_BYTES:
        raise UpdateFileError(f"update: {len(data)} bytes are less than a header; the file is cut off or foreign")
    magic, version, quant_bits, flags, digest, records = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise UpdateFileError("update: not an update file")
    if version != FORMAT_VERSION:
        raise UpdateFileError(f"update: format version {version} is not known; this airtune reads {FORMAT_VERSION}")
    frozen, layout = flags & (FLAG_A_FROZEN | FLAG_B_FROZEN), flags >> LAYOUT_SHIFT
    known = frozen in _FROZEN and layout < len(LAYOUT_NAMES) and not flags & _FLAG_UNUSED
    if quant_bits not in QUANT_BITS or not known:
        raise UpdateFileError("update: the header is damaged")
    annotated = bool(flags & FLAG_ANNOTATED)
    return Header(quant_bits, _FROZEN[frozen], annotated, digest, records, LAYOUT_NAMES[layout])


def check_sum(data: Content) -> None:
    """Raise UpdateFileError unless the CRC of the whole file holds."""
    view = memoryview(data)
    (expected,) = _CRC.unpack_from(view, _HEADER.size)
    if _crc([view[: _HEADER.size], view[HEADER_BYTES:]]) != expected:
        raise UpdateFileError("update: the checksum does not hold; the file is damaged or cut off")


def check_base(header: Header, base_digest: bytes) -> None:
    """Raise UpdateFileError unless the update was made from the adapter of this ``adapter_digest``."""
    if header.base_digest != base_digest:
        raise UpdateFileError("update: made from another base adapter; decode it with the base it was encoded with")


def records_start(header: Header) -> int:
    """Offset of the first record."""
    return header_bytes(header.annotated) + (header.records * ENTRY_BYTES if header.annotated else 0)


def read_table(data: bytes) -> tuple[Header, EnergyTable]:
    """Header and energies of an annotated file, checked without the base. Raises UpdateFileError."""
    header = read_header(data)
    check_sum(data)
    if not header.annotated:
        raise UpdateFileError("update: holds no energies; files of 'airtune update encode' do")
    start = records_start(header)
    if start > len(data):
        raise UpdateFileError("update: the table of energies is cut off")
    total, components = _TABLE.unpack_from(data, HEADER_BYTES)
    entries = np.frombuffer(data, dtype=_ENTRY, count=header.records, offset=HEADER_BYTES + TABLE_BYTES)
    energies, sizes = entries["energy"].astype(np.float64), entries["bytes"].astype(np.int64)
    sound = np.isfinite(total) and total >= 0.0 and bool(np.all(np.isfinite(energies)))
    if not sound or header.records > components or start + int(sizes.sum()) != len(data):
        raise UpdateFileError("update: the table of energies contradicts the file")
    return header, EnergyTable(total, components, energies, sizes)


def record_offsets(data: bytes, base: Adapter) -> list[int]:
    """Start of every record of a whole file made from ``base``, and the file's end as the last entry.

    Neither the checksum nor the digest of the base is looked at: who decodes the file does that.
    """
    reader, position, end = _reader(data, read_header(data), base)
    offsets = [position]
    while position < end:
        position += _whole_record(reader, data, position)
        offsets.append(position)
    return offsets


def decode_file(data: bytes, base: Adapter) -> DecodedUpdate:
    """Decode a whole file. Raises UpdateFileError if it is damaged, cut off, foreign or of another base."""
    reader, position, end = _open(data, base)
    view = memoryview(data)
    while position < end:
        size = _whole_record(reader, data, position)
        reader.read(view[position : position + size])
        position += size
    decoded = reader.decoded()
    if len(decoded.components) != read_header(data).records:
        raise UpdateFileError("update: the number of records contradicts the header")
    return decoded


def _open(data: bytes, base: Adapter) -> tuple[RecordReader, int, int]:
    header = read_header(data)
    check_sum(data)
    check_base(header, adapter_digest(base))
    if header.annotated:
        read_table(data)
    return _reader(data, header, base)


def _reader(data: bytes, header: Header, base: Adapter) -> tuple[RecordReader, int, int]:
    layout = make_layout(header.layout, base, header.quant_bits, header.frozen)
    return RecordReader(base, layout), records_start(header), len(data)


def _whole_record(reader: RecordReader, data: bytes, position: int) -> int:
    size = reader.size_at(data, position)
    if size is None or position + size > len(data):
        raise UpdateFileError("update: the last record is cut off")
    return size
