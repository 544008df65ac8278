"""`speech-emotion serve` under load: errors, mixed answers, latency and memory with many clients.

    python benchmarks/serve_load.py

The server runs in its own process on two cores, with its default limits. Each client posts its own
clip repeatedly over one connection; see `server_load.py`.
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import requests  # noqa: E402

from benchmarks.server_load import Ask, Server, measure  # noqa: E402


def command(model: str, transcriber: str, port: int) -> list[str]:
    """The command that starts the server."""
    options = ["--model", model, "--transcriber", transcriber, "--port", str(port)]
    return [sys.executable, "-m", "speech_emotion", "serve", *options]


def connect(url: str) -> Ask:
    """A client with its own connection."""
    session = requests.Session()

    def ask(clip: Path) -> list[dict[str, Any]]:
        files = {"file": (clip.name, clip.read_bytes())}
        reply = session.post(f"{url}/v1/predict", files=files, timeout=300)
        if not reply.ok:
            raise RuntimeError(f"{reply.status_code} {reply.text}")
        return reply.json()["emotions"]

    return ask


SERVE = Server(
    what="clients of speech-emotion serve at once, each with its own clip",
    command=command,
    environment=lambda *_: {"PYTHONPATH": str(ROOT)},
    ready="/v1/predict",
    connect=connect,
    packages=("fastapi", "uvicorn", "torch", "transformers", "numpy", "soundfile"),
)

if __name__ == "__main__":
    sys.exit(measure(SERVE, __file__, __doc__ or ""))
