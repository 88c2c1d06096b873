"""Forward error correction behind one small interface.

``ConvolutionalCodec`` is the terminated K = 7 rate-1/2 code (octal 117, 155) of GNU Radio's gr-fec,
whose Viterbi decoder runs on VOLK kernels, called without a flowgraph; higher rates by puncturing.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protocol.errors import MissingPartError
from radio.modem.mcs import INFO_BITS, MOTHER_BITS, TAIL_BITS, Mcs

CONSTRAINT_LENGTH = 7
POLYNOMIALS = (0o117, 0o155)
ERASURE = 128
"""The decoder's soft bit "don't know"; above means bit 1."""


class Codec(Protocol):
    """A block code over ``info_bits``-bit blocks."""

    info_bits: int
    coded_bits: int

    def encode(self, info: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Coded bits, shape (blocks, coded_bits), of bits of shape (blocks, info_bits)."""

    def decode(self, soft: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Most likely bits, shape (blocks, info_bits), of soft bits (positive: 0) of shape (blocks, coded_bits)."""


class ConvolutionalCodec:
    """K = 7 code with puncturing. Not safe for use by two threads at once."""

    def __init__(self, puncturing: tuple[int, ...], soft_bit_level: float) -> None:
        """``soft_bit_level``: mean magnitude, of 127, to which soft bits are scaled before 8-bit rounding.

        Raises MissingPartError without GNU Radio.
        """
        fec = _gr_fec()
        poly = list(POLYNOMIALS)
        self._encoder = fec.cc_encoder_make(INFO_BITS, CONSTRAINT_LENGTH, 2, poly, 0, fec.CC_TERMINATED, False)
        self._decoder = fec.cc_decoder.make(INFO_BITS, CONSTRAINT_LENGTH, 2, poly, 0, 0, fec.CC_TERMINATED, False)
        self._soft_bit_level = soft_bit_level
        body = np.resize(np.array(puncturing, bool), MOTHER_BITS - TAIL_BITS)
        self._kept = np.flatnonzero(np.concatenate([body, np.ones(TAIL_BITS, bool)]))
        self.info_bits = INFO_BITS
        self.coded_bits = len(self._kept)

    def encode(self, info: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See ``Codec``."""
        mother = np.empty((len(info), MOTHER_BITS), np.uint8)
        for source, target in zip(np.ascontiguousarray(info, np.uint8), mother, strict=True):
            self._encoder.generic_work(_capsule(source), _capsule(target))
        return mother[:, self._kept]

    def decode(self, soft: NDArray[np.float32]) -> NDArray[np.uint8]:
        """See ``Codec``."""
        mother = np.full((len(soft), MOTHER_BITS), ERASURE, np.uint8)
        scale = self._soft_bit_level / (np.mean(np.abs(soft), axis=1, keepdims=True) + 1e-30)
        mother[:, self._kept] = np.clip(np.rint(ERASURE - soft * scale), 0, 255)
        info = np.empty((len(soft), INFO_BITS), np.uint8)
        for source, target in zip(mother, info, strict=True):
            self._decoder.generic_work(_capsule(source), _capsule(target))
        return info


@lru_cache(maxsize=16)
def codec_for(mcs: Mcs) -> Codec:
    """The codec of a scheme, built once per process. Raises MissingPartError without GNU Radio."""
    return ConvolutionalCodec(mcs.puncturing, mcs.soft_bit_level)


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
