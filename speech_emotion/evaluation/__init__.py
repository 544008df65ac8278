"""What `evaluate_benchmarks.py` is made of: clips in, scores, tables and documents out."""

from datasets.exceptions import DatasetGenerationError


class EvaluationError(ValueError):
    """Something the user gave cannot be evaluated; the message is one clear line."""


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its name when it has none.

    `datasets` wraps what went wrong in an error that says no more than that; its cause speaks.
    """
    if isinstance(error, DatasetGenerationError) and error.__cause__:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]
