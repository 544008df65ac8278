"""Train the speech-and-text emotion model or a baseline (paper, section III, Tables 5 to 8).

    python train.py --config configs/mini.yaml --data corpus/ --output-dir runs/mini
    python train.py --config configs/mini.yaml --data corpus/ --output-dir runs/folds --folds all
    python train.py --config configs/knn.yaml --data corpus/

``python train.py --help`` explains every option. What happens is in speech_emotion/training:
run.py reads the options, builds and saves; fit.py is the training loop.
"""

import sys

from speech_emotion.evaluation.cross_validation import cross_validate
from speech_emotion.training import run


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; see :func:`speech_emotion.training.run.main`."""
    return run.main(arguments, cross_validate=cross_validate)


if __name__ == "__main__":
    sys.exit(main())
