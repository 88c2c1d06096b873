"""Child processes that never outlive their parent, and how they are ended."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel end this process with SIGKILL when ``parent_pid`` dies, even by SIGKILL.

    Called by a child as its first act, with the process id of its parent. Ends the process at once if the
    parent is gone already. The kernel watches the *thread* that started the child, so that thread must live as
    long as the child is wanted. Source: Linux prctl(2).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it died before the call above
        os.kill(os.getpid(), signal.SIGKILL)


def end_processes(processes: Sequence[subprocess.Popen[bytes]], patience_s: float = 5.0) -> None:
    """Ask all ``processes`` to end (SIGTERM), kill those still there after ``patience_s``, and reap them."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + patience_s
    for process in running:
        _reap(process, deadline - time.monotonic())


def _reap(process: subprocess.Popen[bytes], patience_s: float) -> None:
    try:
        process.wait(max(0.0, patience_s))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
