"""The demo under load: lost and wrong predictions, latency and memory with many clients.

    python benchmarks/space_load.py

The demo runs in its own process on two cores, with its default limits. Each client sends its own
clip repeatedly (`gradio_client`: upload, queue, result); see `server_load.py`.
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from gradio_client import Client, handle_file  # noqa: E402

from benchmarks.server_load import Ask, Server, measure  # noqa: E402


def environment(model: str, transcriber: str, port: int) -> dict[str, str]:
    """The settings of the demo."""
    return {
        "SER_MODEL": model,
        "SER_TRANSCRIBER": transcriber,
        "GRADIO_SERVER_PORT": str(port),
    }


def connect(url: str) -> Ask:
    """A client of the API."""
    client = Client(url, verbose=False)

    def ask(clip: Path) -> list[dict[str, Any]]:
        return client.predict(handle_file(clip), api_name="/predict")["emotions"]

    return ask


DEMO = Server(
    what="clients of the demo at once, each with its own clip",
    command=lambda *_: [sys.executable, str(ROOT / "space" / "app.py")],
    environment=environment,
    ready="Running on",
    connect=connect,
    packages=("gradio", "gradio_client", "torch", "transformers", "numpy", "soundfile"),
)

if __name__ == "__main__":
    sys.exit(measure(DEMO, __file__, __doc__ or ""))
