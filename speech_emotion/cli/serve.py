"""answer over HTTP: POST a recording to /v1/predict, get JSON"""

import argparse
import os

from speech_emotion.cli import add_model_arguments, load_model, print_note
from speech_emotion.cli.predict import add_backend, add_transcriber

TOKEN = "SPEECH_EMOTION_TOKEN"
"""Environment variable of the token."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    add_model_arguments(parser)
    add_transcriber(parser.add_argument_group("transcript"))
    add_backend(parser.add_argument_group("speed"))
    group = parser.add_argument_group("server")
    group.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at; 0.0.0.0 for other machines as well (default: %(default)s)",
    )
    group.add_argument(
        "--port",
        type=int,
        default=8000,
        metavar="N",
        help="port; 0: a free one (default: %(default)s)",
    )
    group.add_argument(
        "--token",
        default=os.environ.get(TOKEN),
        metavar="TOKEN",
        help=f"clients must send Authorization: Bearer TOKEN (default: that of {TOKEN}, which "
        "other users of the machine do not see; otherwise none)",
    )
    group.add_argument(
        "--max-megabytes",
        type=float,
        default=64,
        metavar="MB",
        help="largest body of a request (default: %(default)s)",
    )
    group.add_argument(
        "--max-waiting",
        type=int,
        default=64,
        metavar="N",
        help="requests that may wait or run at once; more get 503 (default: %(default)s)",
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=8,
        metavar="N",
        help="most clips in a batch (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Load the model and serve it until the process gets SIGTERM or SIGINT.

    Returns:
        0.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # the bars of long recordings
    import numpy as np

    from hub_model.audio import SAMPLING_RATE
    from speech_emotion.predict.run import OF_LOADING
    from speech_emotion.predict.server import make_app, serve

    loading = {name: getattr(options, name) for name in OF_LOADING if getattr(options, name)}
    loading.pop("trust_remote_code", None)
    classifier = load_model(options, **loading)
    app = make_app(
        classifier,
        name=options.model,
        token=options.token or None,
        max_megabytes=options.max_megabytes,
        max_waiting=options.max_waiting,
        batch_size=options.batch_size,
    )
    # The first answer takes longer, as it loads the transcriber; and its note is worth seeing.
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLING_RATE).astype(np.float32)
    first = classifier(noise, check_speech=False, return_transcript=True)
    if first["transcript_source"] is None and options.transcriber != "none":
        print_note(f"no transcripts: {first['note']}")
    if not options.token and options.host not in ("127.0.0.1", "::1", "localhost"):
        print_note("anybody who reaches this machine can send requests; --token allows fewer")
    serve(app, host=options.host, port=options.port, on_ready=_ready)
    return 0


def _ready(address: str) -> None:
    print(f"{address}/v1/predict takes recordings; {address}/docs explains how", flush=True)
