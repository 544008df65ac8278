"""The GPU of a ZeroGPU Space, which is lent for one request at a time; elsewhere no change."""

import functools
import math
import os
import pickle
from collections.abc import Callable
from typing import Any

import soundfile as sf

try:
    # The package must be imported before any use of CUDA.
    import spaces
except ImportError:
    spaces = None

START_SECONDS = 5.0
"""GPU time of a request apart from its audio: the weights are moved to the GPU."""

SECONDS_PER_SECOND = 0.2
"""GPU time for a second of audio, several times what is needed: it is only a limit."""

LONGEST = 120
"""Longest time to request; the quota of most visitors does not allow more."""

UNKNOWN_SECONDS = 60.0
"""Length that is assumed of a file that libsndfile does not read."""


def is_zero() -> bool:
    """Whether this is a ZeroGPU Space, which has a GPU inside :func:`on_gpu` only."""
    return spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in {
        "1",
        "t",
        "true",
    }


def duration(audio_seconds: float) -> int:
    """Return the seconds of GPU time to request for so many seconds of audio.

    >>> duration(3.0), duration(60.0), duration(36000.0)
    (6, 17, 120)
    """
    return min(LONGEST, math.ceil(START_SECONDS + SECONDS_PER_SECOND * audio_seconds))


def on_gpu(
    function: Callable[..., Any], *, audio_seconds: Callable[..., float]
) -> Callable[..., Any]:
    """Return a function that runs on the GPU; without ZeroGPU, the function itself.

    On ZeroGPU it runs in another process. Arguments, result and exception must be picklable, and
    changes of arguments and of other objects are lost.

    Args:
        function: a function that needs the model.
        audio_seconds: takes the same arguments; returns the seconds of audio in them.
    """
    if not is_zero():
        return function

    # ZeroGPU replaces every exception with its own, which has only the name of the type. It sends
    # tensors through shared memory, which lasts no longer than its process; bytes are copied.
    def carried(*args: Any, **kwargs: Any) -> bytes:
        import torch

        # This process is a copy of another one, without its threads, and would wait for them.
        torch.set_num_threads(1)
        try:
            return pickle.dumps((function(*args, **kwargs), None))
        except Exception as error:
            return pickle.dumps((None, error))

    def requested(*args: Any, **kwargs: Any) -> int:
        return duration(audio_seconds(*args, **kwargs))

    decorated = spaces.GPU(carried, duration=requested)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        result, error = pickle.loads(decorated(*args, **kwargs))
        if error is not None:
            raise error
        return result

    return run


def seconds_of(inputs: Any, **_options: Any) -> float:
    """Return the length of the audio in inputs of the pipeline, or in clips inside it."""
    if isinstance(inputs, str):
        try:
            return sf.info(inputs).duration
        except sf.SoundFileError:  # what ffmpeg reads
            return UNKNOWN_SECONDS
    if isinstance(inputs, list):
        return sum(map(seconds_of, inputs))
    if isinstance(inputs, dict):
        return inputs["raw"].size / inputs["sampling_rate"]
    return inputs.seconds
