"""Code blocks to constellation symbols and back: CRC, codec, interleaver, scrambler, mapping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import DataBurst
from protocol.errors import RadioError
from radio.modem.codec import codec_for
from radio.modem.constellations import Constellation
from radio.modem.crc import append_crc, checked_payload
from radio.modem.mcs import BLOCK_BYTES, McsTable
from radio.modem.scrambling import interleaver, scrambling_bits


def encode_blocks(burst: DataBurst, blocks: Sequence[bytes], n_symbols: int) -> NDArray[np.complex64]:
    """The ``n_symbols`` data symbols that carry ``blocks``; what they do not fill carries scrambled zeros.

    Raises RadioError if the number or the length of the blocks is not the grant's.
    """
    if len(blocks) != len(burst.block_ids) or any(len(block) != BLOCK_BYTES for block in blocks):
        raise RadioError(
            f"burst {burst.burst_id} of {burst.client}: {len(burst.block_ids)} blocks of {BLOCK_BYTES} bytes "
            f"were granted, {len(blocks)} blocks given"
        )
    mcs = McsTable.load()[burst.mcs]
    codec = codec_for(mcs)
    framed = b"".join(append_crc(block, burst.burst_id) for block in blocks)
    info = np.unpackbits(np.frombuffer(framed, np.uint8)).reshape(len(blocks), codec.info_bits)
    coded = codec.encode(info)[:, interleaver(burst.burst_id, codec.coded_bits)]
    stream = np.zeros(n_symbols * mcs.bits_per_symbol, np.uint8)
    stream[: coded.size] = coded.ravel()
    stream ^= scrambling_bits(burst.burst_id, len(stream))
    return Constellation.of(mcs.bits_per_symbol).points(stream)


def decode_blocks(burst: DataBurst, symbols: NDArray[np.complex64], snr: NDArray[np.float32]) -> list[bytes | None]:
    """Content of each block whose CRC holds, else None, from equalised symbols and their linear SNR."""
    mcs = McsTable.load()[burst.mcs]
    codec = codec_for(mcs)
    soft = Constellation.of(mcs.bits_per_symbol).soft_bits(symbols, snr).ravel()
    soft *= 1.0 - 2.0 * scrambling_bits(burst.burst_id, len(soft)).astype(np.float32)
    on_air = soft[: len(burst.block_ids) * codec.coded_bits].reshape(len(burst.block_ids), codec.coded_bits)
    coded = np.empty_like(on_air)
    coded[:, interleaver(burst.burst_id, codec.coded_bits)] = on_air
    framed = np.packbits(codec.decode(coded), axis=1)
    return [checked_payload(block.tobytes(), burst.burst_id) for block in framed]
