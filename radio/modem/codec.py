"""Forward error correction behind one small interface.

``ConvolutionalCodec`` is the terminated K = 7 rate-1/2 code (octal 117, 155) of GNU Radio's gr-fec,
whose Viterbi decoder runs on VOLK kernels, called without a flowgraph; higher rates by puncturing.
``radio.modem.ldpc`` holds the other.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.errors import MissingPartError
from radio.modem import kernels
from radio.modem.mcs import BLOCK_FORMATS, CONVOLUTIONAL_TAIL_BITS, Mcs

CONSTRAINT_LENGTH = 7
POLYNOMIALS = (0o117, 0o155)
ERASURE = 128
"""The decoder's soft bit "don't know"; above means bit 1."""
PUNCTURING = {0.5: (1, 1), 0.75: (1, 1, 1, 0, 0, 1)}
"""Mother-code bits kept, by code rate, repeated over the block."""
SOFT_BIT_LEVEL = 96.0
PUNCTURED_QAM_LEVEL = 160.0
"""Mean magnitude of the 8-bit decoder's soft bits, of 127, chosen by measured block error rate."""


class Decoded(NamedTuple):
    """What a decoder found."""

    info: NDArray[np.uint8]
    """Bits, shape (blocks, info_bits)."""
    converged: NDArray[np.bool_]
    """False where the decoder itself knows that it failed, shape (blocks,)."""


class Codec(Protocol):
    """A block code over ``info_bits``-bit blocks.

    Soft bits are log P(0) / P(1). A block's *mother code* holds every bit that any rate may send, so soft
    bits of two transmissions at different rates add up there.
    """

    info_bits: int
    """Payload and CRC."""
    coded_bits: int
    """On the air."""
    mother_bits: int

    def encode(self, info: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Coded bits, shape (blocks, coded_bits), of bits of shape (blocks, info_bits)."""

    def spread(self, soft: NDArray[np.float32]) -> NDArray[np.float32]:
        """Soft bits of shape (blocks, coded_bits) at their mother-code positions, (blocks, mother_bits).

        0 where nothing was sent, sums where a bit was sent more than once.
        """

    def decode(self, mother: NDArray[np.float32]) -> Decoded:
        """Most likely bits of mother-code soft bits of shape (blocks, mother_bits)."""


class ConvolutionalCodec:
    """K = 7 code with puncturing. Not safe for use by two threads at once."""

    def __init__(self, code_rate: float, bits_per_symbol: int) -> None:
        """Raises MissingPartError without GNU Radio."""
        fec = _gr_fec()
        poly = list(POLYNOMIALS)
        self.info_bits = BLOCK_FORMATS["convolutional"].info_bits
        self.mother_bits = 2 * (self.info_bits + CONVOLUTIONAL_TAIL_BITS)
        self._encoder = fec.cc_encoder_make(self.info_bits, CONSTRAINT_LENGTH, 2, poly, 0, fec.CC_TERMINATED, False)
        self._decoder = fec.cc_decoder.make(self.info_bits, CONSTRAINT_LENGTH, 2, poly, 0, 0, fec.CC_TERMINATED, False)
        punctured_qam = code_rate > 0.5 and bits_per_symbol > 2
        self._soft_bit_level = PUNCTURED_QAM_LEVEL if punctured_qam else SOFT_BIT_LEVEL
        tail_bits = 2 * CONVOLUTIONAL_TAIL_BITS
        body = np.resize(np.array(PUNCTURING[code_rate], bool), self.mother_bits - tail_bits)
        self._kept = np.flatnonzero(np.concatenate([body, np.ones(tail_bits, bool)]))
        self.coded_bits = len(self._kept)

    def encode(self, info: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See ``Codec``."""
        mother = np.empty((len(info), self.mother_bits), np.uint8)
        for source, target in zip(np.ascontiguousarray(info, np.uint8), mother, strict=True):
            self._encoder.generic_work(_capsule(source), _capsule(target))
        return mother[:, self._kept]

    def spread(self, soft: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Codec``."""
        return kernels.spread(soft, self._kept, self.mother_bits)

    def decode(self, mother: NDArray[np.float32]) -> Decoded:
        """See ``Codec``. A Viterbi decoder always finds a path."""
        soft = kernels.eight_bit_soft_bits(mother, self._soft_bit_level, ERASURE)
        info = np.empty((len(soft), self.info_bits), np.uint8)
        for source, target in zip(soft, info, strict=True):
            self._decoder.generic_work(_capsule(source), _capsule(target))
        return Decoded(info, np.ones(len(soft), bool))


@lru_cache(maxsize=128)
def codec_for(mcs: Mcs) -> Codec:
    """The codec of a scheme, built once per process. Raises MissingPartError without GNU Radio."""
    if mcs.codec == "convolutional":
        return ConvolutionalCodec(mcs.code_rate, mcs.bits_per_symbol)
    from radio.modem.ldpc.codec import LdpcCodec  # numba: loaded only where it is used

    return LdpcCodec(
        base_graph=1 if mcs.codec == "ldpc" else 2,
        payload_bits=8 * mcs.block_bytes,
        bits_per_symbol=mcs.bits_per_symbol,
        coded_bits=mcs.block_coded_bits,
    )


def _gr_fec() -> Any:
    try:
        from gnuradio import fec
    except ImportError as error:
        raise MissingPartError("GNU Radio (gnuradio.fec) cannot be imported; install the gnuradio package") from error
    return fec


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def _capsule(buffer: NDArray[np.uint8]) -> Any:
    """Unnamed capsule over ``buffer``, which the caller keeps alive, as gr-fec's ``generic_work`` wants it."""
    return _new_capsule(buffer.ctypes.data, None, None)
