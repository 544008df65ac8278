"""Emotion from speech and transcript: prediction, training, evaluation and the command line."""

__version__ = "0.2.0"
