"""How a process that serves deals with memory: rarely looks for cycles, reuses large blocks, and gives back what a burst left."""

import asyncio
import ctypes
import gc
import resource
from pathlib import Path

_GC_THRESHOLDS = (20_000, 10, 20)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGEST_REUSED_BYTES = 32 * 1024 * 1024  # glibc takes no more than this
_GIVE_BACK_SECONDS = 10.0
_ARENAS = 1
_KEPT_BYTES = 8 * 1024 * 1024
_STATM = Path("/proc/self/statm")
_TELLS_RESIDENT = _STATM.exists()


def reuse_large_blocks() -> None:
    """Keep freed blocks for the next message, instead of a mapping of its own for each above 128 KB.

    The kernel clears every page of a new mapping: a fifth of the CPU of a request with a prompt of 100 KB. What is freed and not
    needed again soon is given back by `give_back_for_ever`. Other C libraries have no `mallopt`, and are left as they are.
    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_REUSED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_REUSED_BYTES)
        # Each thread of gRPC would keep large blocks of its own.
        mallopt(_M_ARENA_MAX, _ARENAS)


def calm_collector() -> None:
    """Take what a start made as made for good, and look for cycles less often than Python does by default.

    What a call makes is freed by its reference counts. Each look stalls all streams, and they took 7 % of the CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def give_back_for_ever() -> None:
    """Every few seconds, return to the system what was freed, when it is more than some: what one burst of large requests took
    must not be missing for as long as the process lives.

    Where the C library or the kernel tells nothing, nothing is done. Source: malloc_trim(3).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None or not _TELLS_RESIDENT:
        return
    least = _resident_bytes()
    while True:
        await asyncio.sleep(_GIVE_BACK_SECONDS)
        if _resident_bytes() > least + _KEPT_BYTES:
            # In a thread, as it takes some milliseconds, in which it holds no lock of Python's.
            await asyncio.to_thread(trim, 0)
            least = min(least, _resident_bytes())


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()
