"""How a process that serves deals with memory: rarely looks for cycles, and reuses large blocks."""

import ctypes
import gc

_GC_THRESHOLDS = (20_000, 10, 20)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_REUSED_BYTES = 32 * 1024 * 1024  # glibc takes no more than this


def reuse_large_blocks() -> None:
    """Keep freed blocks for the next message, instead of a mapping of its own for each above 128 KB.

    The kernel clears every page of a new mapping: a fifth of the CPU of a request with a prompt of 100 KB. Other C libraries
    have no `mallopt`, and are left as they are. Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_REUSED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_REUSED_BYTES)


def calm_collector() -> None:
    """Take what a start made as made for good, and look for cycles less often than Python does by default.

    What a call makes is freed by its reference counts. Each look stalls all streams, and they took 7 % of the CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
