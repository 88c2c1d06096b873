"""Compilation of inner loops to machine code (numba), once per machine.

The code is kept beside the sources in ``__pycache__``, or where that cannot be written in the user's
cache directory, or in ``NUMBA_CACHE_DIR``. ``python -m radio.modem.compile_kernels`` fills it in advance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """``function`` compiled at its first call; it releases the GIL while it runs."""
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # nowhere to keep the code: each process compiles anew
        return cast(F, njit(nogil=True)(function))
