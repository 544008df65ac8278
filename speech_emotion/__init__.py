"""Emotion from speech and transcript: prediction, training, evaluation and the command line."""
