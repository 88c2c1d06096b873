"""The LDPC codes as a ``Codec``: one code block, encoder, rate matching and decoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radio.modem.codec import Decoded
from radio.modem.ldpc.base_graph import LiftedGraph
from radio.modem.ldpc.encoder import encode
from radio.modem.ldpc.rate_matching import RateMatching
from radio.modem.ldpc.segmentation import CRC_BITS, Segmentation


class LdpcCodec:
    """One code block per transport block on a given base graph. Safe for several threads."""

    def __init__(self, base_graph: int, payload_bits: int, bits_per_symbol: int, coded_bits: int) -> None:
        """``coded_bits`` on the air, a multiple of ``bits_per_symbol``; ``payload_bits`` without CRC."""
        self.info_bits = payload_bits + CRC_BITS
        self.coded_bits = coded_bits
        self.graph = LiftedGraph.of(base_graph, Segmentation.of(self.info_bits, base_graph).lifting_size)
        self._matching = RateMatching(self.graph, self.info_bits, coded_bits, bits_per_symbol)
        self.mother_bits = self.graph.mother_bits

    def encode(self, info: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See ``Codec``."""
        return self._matching.select(encode(self.graph, info, self._matching.rows))

    def spread(self, soft: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Codec``."""
        return self._matching.spread(soft)

    def decode(self, mother: NDArray[np.float32]) -> Decoded:
        """See ``Codec``. The rate plays no part: soft bits of several transmissions may have been added."""
        from radio.modem.ldpc import decoder  # numba: loaded only where blocks are decoded

        found = decoder.decode(self.graph, mother, self.info_bits)
        return Decoded(found.info, found.converged)
