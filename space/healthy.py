"""Health check of the Dockerfile: `python healthy.py`."""

import os
import sys
from urllib.request import urlopen


def main() -> int:
    """Return 0 if the page responds, else 1 with one line."""
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    try:
        with urlopen(f"http://127.0.0.1:{port}/gradio_api/info", timeout=5) as reply:
            return 0 if reply.status == 200 else 1
    except OSError as error:
        print(f"not healthy: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
