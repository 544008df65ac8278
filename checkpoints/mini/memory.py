"""Memory of work that goes on for hours."""

import ctypes
import functools
from collections.abc import Callable


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None  # another C library than glibc


def return_freed_memory() -> None:
    """Give what has been freed back to the system, where the C library keeps it.

    Tensors of ever other lengths leave holes in glibc's heap that no later one fits, so that the
    memory of a process grows although it holds no more than before.
    """
    trim = _trim()
    if trim is not None:
        trim(0)
