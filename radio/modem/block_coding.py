"""Code blocks to constellation symbols and back: CRC, codec, interleaver, scrambler, mapping.

The CRC's mask differs from burst to burst, and with it the code word of the same content. Codes are linear, so
the receiver takes the mask's own code word off the soft bits: those of one block in two bursts then agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.bursts import DataBurst
from radio.modem.codec import codec_for
from radio.modem.constellations import Constellation
from radio.modem.crc import append_crc, crc_holds, crc_mask
from radio.modem.layout import check_blocks
from radio.modem.mcs import BLOCK_FORMATS, Mcs, McsTable
from radio.modem.scrambling import interleaver, scrambling_bits


def encode_blocks(burst: DataBurst, blocks: Sequence[bytes], n_symbols: int) -> NDArray[np.complex64]:
    """The ``n_symbols`` data symbols that carry ``blocks``; what they do not fill carries scrambled zeros.

    Raises RadioError if the number or the length of the blocks is not the grant's.
    """
    check_blocks(burst, blocks)
    mcs = McsTable.load()[burst.mcs]
    codec = codec_for(mcs)
    payloads = np.frombuffer(b"".join(blocks), np.uint8).reshape(len(blocks), mcs.block_bytes)
    framed = append_crc(payloads, BLOCK_FORMATS[mcs.codec].crc_bits, burst.burst_id)
    coded = codec.encode(np.unpackbits(framed, axis=1))[:, _interleaver(burst, mcs)]
    stream = np.zeros(n_symbols * mcs.bits_per_symbol, np.uint8)
    stream[: coded.size] = coded.ravel()
    stream ^= scrambling_bits(burst.burst_id, len(stream))
    return Constellation.of(mcs.bits_per_symbol).points(stream)


def block_soft_bits(burst: DataBurst, symbols: NDArray[np.complex64], snr: NDArray[np.float32]) -> NDArray[np.float32]:
    """Soft bits of each block at its mother-code positions, shape (blocks, mother_bits), CRC mask taken off.

    ``symbols``: the burst's equalised data symbols; ``snr``: their linear SNR.
    """
    mcs = McsTable.load()[burst.mcs]
    codec = codec_for(mcs)
    n_blocks, places = len(burst.block_ids), _interleaver(burst, mcs)
    turned = scrambling_bits(burst.burst_id, len(symbols) * mcs.bits_per_symbol)
    turned[: n_blocks * codec.coded_bits].reshape(n_blocks, codec.coded_bits)[:] ^= _coded_mask(burst, mcs)[places]
    coded = Constellation.of(mcs.bits_per_symbol).block_soft_bits(symbols, snr, turned, places, n_blocks)
    return codec.spread(coded)


def decode_blocks(mcs: Mcs, mother: NDArray[np.float32]) -> list[bytes | None]:
    """Content of each block that decodes and whose CRC holds, else None, from ``block_soft_bits``."""
    info, converged = codec_for(mcs).decode(mother)
    framed = np.packbits(info, axis=1)
    good = converged & crc_holds(framed, BLOCK_FORMATS[mcs.codec].crc_bits)
    payloads = framed[:, : mcs.block_bytes]
    return [payload.tobytes() if holds else None for payload, holds in zip(payloads, good, strict=True)]


def _coded_mask(burst: DataBurst, mcs: Mcs) -> NDArray[np.uint8]:
    """1 where the burst's CRC mask turns a coded bit, else 0, shape (coded_bits,)."""
    mask = crc_mask(BLOCK_FORMATS[mcs.codec].crc_bits, burst.burst_id)
    info = np.zeros((1, BLOCK_FORMATS[mcs.codec].info_bits), np.uint8)
    info[0, 8 * mcs.block_bytes :] = np.unpackbits(mask)
    coded: NDArray[np.uint8] = codec_for(mcs).encode(info)[0]
    return coded


def _interleaver(burst: DataBurst, mcs: Mcs) -> NDArray[np.int64]:
    together = 1 if mcs.codec == "convolutional" else mcs.bits_per_symbol
    return interleaver(burst.burst_id, mcs.block_coded_bits, together)
