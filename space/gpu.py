"""A GPU for the length of one request on a ZeroGPU Space; nothing of the kind anywhere else."""

import functools
import math
import os
from collections.abc import Callable
from typing import Any

try:
    # Before anything touches CUDA, or the package refuses to work.
    import spaces
except ImportError:
    spaces = None

START_SECONDS = 5.0
"""What a request costs before any audio is heard: moving the weights to the GPU."""

SECONDS_PER_SECOND = 0.2
"""GPU time for a second of audio, several times what is needed: it is a limit, not a price."""

LONGEST = 120
"""Longer turns are refused to most visitors, whose quota is checked against what is asked for."""


def is_zero() -> bool:
    """Whether this is a ZeroGPU Space: the GPU is there only inside of :func:`on_gpu`."""
    return spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in {
        "1",
        "t",
        "true",
    }


def duration(audio_seconds: float) -> int:
    """Seconds of GPU to ask for, given the audio to hear.

    >>> duration(3.0), duration(60.0), duration(36000.0)
    (6, 17, 120)
    """
    return min(LONGEST, math.ceil(START_SECONDS + SECONDS_PER_SECOND * audio_seconds))


def on_gpu(
    function: Callable[..., Any], *, audio_seconds: Callable[..., float]
) -> Callable[..., Any]:
    """Let a function run where the GPU is; without ZeroGPU it is returned as it came.

    On ZeroGPU it runs in a process of its own, so arguments, result and exception must be
    picklable, and what it changes is lost.

    Args:
        function: what needs the model.
        audio_seconds: takes the same arguments, and says how many seconds of audio they hold.
    """
    if not is_zero():
        return function

    # ZeroGPU turns every exception into an error of its own that names no more than the type.
    def carried(*args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
        try:
            return function(*args, **kwargs), None
        except Exception as error:
            return None, error

    def asked_for(*args: Any, **kwargs: Any) -> int:
        return duration(audio_seconds(*args, **kwargs))

    decorated = spaces.GPU(carried, duration=asked_for)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        result, error = decorated(*args, **kwargs)
        if error is not None:
            raise error
        return result

    return run
