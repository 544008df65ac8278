"""``python -m speech_emotion``, the same as ``speech-emotion``."""

import sys

from speech_emotion.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
