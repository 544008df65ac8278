"""Measure models and write tables of results; docs/evaluation.md describes every benchmark.

    python evaluate_benchmarks.py ravdess --model checkpoints/mini --data corpus/

An installed package has the same command as ``speech-emotion evaluate``.
"""

import sys

from speech_emotion.evaluation.run import main

if __name__ == "__main__":
    sys.exit(main())
