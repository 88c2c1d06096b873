"""Code words of an independent implementation, and how they were made.

``ldpc_vectors.json`` holds digests of what py3gpp 0.6.0 (pure Python on numpy) makes of fixed bits. With py3gpp
installed (``pip install --no-deps py3gpp==0.6.0 importlib_resources``), ``python tests/radio/ldpc_peer.py`` prints the
digests anew.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).with_name("ldpc_vectors.json")
MODULATIONS = {2: "QPSK", 4: "16QAM", 6: "64QAM", 8: "256QAM"}
CASES = [  # base graph, K', modulation order, bits on the air
    (1, 8088, 2, 26890),
    (1, 8088, 2, 15928),
    (1, 8088, 2, 60000),
    (1, 8088, 4, 17272),
    (1, 8088, 6, 9486),
    (1, 8088, 8, 8736),
    (2, 2040, 2, 41780),
    (2, 2040, 4, 4816),
    (2, 2040, 8, 2240),
    (1, 22 * 2, 2, 90),
    (1, 22 * 24 - 5, 4, 1204),
    (1, 22 * 20 - 1, 2, 2600),
    (1, 22 * 28 - 30, 6, 780),
    (1, 22 * 72 - 3, 8, 2400),
    (1, 22 * 22 - 9, 2, 1000),
    (1, 22 * 104 - 4, 4, 3000),
    (1, 22 * 30 - 2, 2, 1500),
    (2, 10 * 128 - 1, 2, 3000),
    (2, 10 * 96 - 7, 4, 4000),
    (2, 10 * 80 - 40, 2, 3900),
    (2, 10 * 112 - 3, 6, 1500),
    (2, 10 * 72 - 2, 8, 800),
    (2, 10 * 88 - 5, 2, 5000),
    (2, 10 * 104 - 6, 4, 2000),
    (2, 10 * 120 - 8, 2, 2402),
]


def fixed_bits(*key: object, count: int) -> np.ndarray:
    """Bits that depend on ``key`` only."""
    return np.unpackbits(np.frombuffer(hashlib.shake_256(repr(key).encode()).digest(-(-count // 8)), np.uint8))[:count]


def digest(bits: np.ndarray) -> str:
    return hashlib.sha256(np.packbits(bits).tobytes()).hexdigest()[:32]


def peer_words(base_graph: int, info_bits: int, order: int, coded_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """py3gpp's mother-code word (filler as 0) and bits on the air of one block."""
    from py3gpp.nrDLSCHInfo import getZlist
    from py3gpp.nrLDPCEncode import nrLDPCEncode
    from py3gpp.nrRateMatchLDPC import nrRateMatchLDPC

    columns = 22 if base_graph == 1 else 10
    size = columns * min(z for z in getZlist() if columns * z >= info_bits)
    block = np.full((size, 1), -1)
    block[:info_bits, 0] = fixed_bits(base_graph, info_bits, count=info_bits)
    word = nrLDPCEncode(block, base_graph)
    sent = nrRateMatchLDPC(word, coded_bits, 0, MODULATIONS[order], 1)
    return np.maximum(word[:, 0], 0).astype(np.uint8), sent.astype(np.uint8)


def name_of(case: tuple[int, int, int, int]) -> str:
    return "bg{}-k{}-m{}-e{}".format(*case)


if __name__ == "__main__":
    made = {name_of(case): [digest(bits) for bits in peer_words(*case)] for case in CASES}
    print(json.dumps({"digests": made}, indent=1))
