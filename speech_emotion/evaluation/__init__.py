"""Evaluation: clips and models in; predictions, scores, tables and documents out."""

from datasets.exceptions import DatasetGenerationError


class EvaluationError(ValueError):
    """A model, data or a setting cannot be used; the message is one line."""


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its name when it has none.

    `datasets` wraps an error in one without a message of its own; then the cause is used.
    """
    if isinstance(error, DatasetGenerationError) and error.__cause__:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]
