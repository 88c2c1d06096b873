"""Finite sample streams through memory files: how a flowgraph gets its samples and gives them back.

A memory file ends by itself, so ``tb.run()`` ends by itself; counts are exact and nothing is copied through Python
sample by sample.
"""

from __future__ import annotations

import os

import numpy as np
from gnuradio import blocks, gr
from numpy.typing import NDArray

from protocol.errors import RadioError

ITEM = gr.sizeof_gr_complex


def source(samples: NDArray[np.complex64], length: int) -> gr.basic_block:
    """Source block that plays ``samples`` (complex64) once, then zeros up to ``length`` samples in all."""
    descriptor = os.memfd_create("samples", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, ITEM * length)
    view = np.ascontiguousarray(samples, np.complex64).data.cast("B")
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return blocks.file_descriptor_source(ITEM, descriptor, False)


class Sink:
    """Sink whose samples can be read once the flowgraph has run."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("samples", os.MFD_CLOEXEC)
        # The block closes the descriptor it is given when it is destroyed.
        self.block: gr.basic_block = blocks.file_descriptor_sink(ITEM, os.dup(self._descriptor))

    def read_into(self, out: NDArray[np.complex64], skip: int = 0) -> None:
        """Fill ``out`` (contiguous complex64) with what arrived after the first ``skip`` samples; only once.

        Raises RadioError if fewer samples arrived.
        """
        view = out.data.cast("B")
        count = os.preadv(self._descriptor, [view], ITEM * skip)
        os.close(self._descriptor)
        if count < len(view):
            raise RadioError(f"a flowgraph ended {(len(view) - count) // ITEM} samples early; run it again")


def fix_chunks(block: gr.basic_block, chunk: int) -> None:
    """Make ``block`` produce exactly ``chunk`` samples per call.

    Rotators renormalise at the end of every call: with chunks left to thread timing the same window would differ
    in its last bits from run to run.
    """
    block.set_output_multiple(chunk)
    block.set_max_noutput_items(chunk)
