"""Finite sample streams through memory files: how a flowgraph gets its samples and gives them back.

A memory file ends by itself, so ``tb.run()`` ends by itself; counts are exact and nothing is copied through Python
sample by sample.
"""

from __future__ import annotations

import os

import numpy as np
from gnuradio import blocks, gr
from numpy.typing import NDArray

CHUNK = 1024
"""Output samples of every filter call; see ``fix_chunks``."""


def source(samples: NDArray[np.complex64]) -> gr.basic_block:
    """Source block that plays ``samples`` (complex64) once."""
    descriptor = os.memfd_create("samples", os.MFD_CLOEXEC)
    view = np.ascontiguousarray(samples, np.complex64).data.cast("B")
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return blocks.file_descriptor_source(gr.sizeof_gr_complex, descriptor, False)


class Sink:
    """Sink whose samples can be read once the flowgraph has run."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("samples", os.MFD_CLOEXEC)
        # The block closes the descriptor it is given when it is destroyed.
        self.block: gr.basic_block = blocks.file_descriptor_sink(gr.sizeof_gr_complex, os.dup(self._descriptor))

    def take(self) -> NDArray[np.complex64]:
        """All samples that arrived, complex64; closes the memory file."""
        size = os.fstat(self._descriptor).st_size
        data = np.empty(size // gr.sizeof_gr_complex, np.complex64)
        os.preadv(self._descriptor, [data.data.cast("B")], 0)
        os.close(self._descriptor)
        return data


def fix_chunks(block: gr.basic_block) -> None:
    """Make ``block`` produce exactly ``CHUNK`` samples per call.

    Rotators renormalise at the end of every call: with chunks left to thread timing the same window would differ
    in its last bits from run to run.
    """
    block.set_output_multiple(CHUNK)
    block.set_max_noutput_items(CHUNK)
