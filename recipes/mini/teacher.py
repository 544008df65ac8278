"""The teacher's hidden states, computed once and kept on disk."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import gelu
from tqdm.auto import tqdm
from transformers import WhisperFeatureExtractor, WhisperModel

from hub_model.audio import SAMPLING_RATE, audio_hash
from speech_emotion.training.parsing import ConfigError

FRAME = 320
"""Samples a frame, for HuBERT and for Whisper's encoder alike: 50 frames a second."""


class WhisperTeacher:
    """The encoder of a Whisper model, run on the length of the clip instead of on 30 s.

    Args:
        model: Hub id or folder; a folder without a decoder will do.
        layers: which hidden states to return, 1 is the output of the first layer; 0 is what goes
            into it, before positions are added.
    """

    def __init__(self, model: str, layers: list[int]) -> None:
        try:
            whole = WhisperModel.from_pretrained(model, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"teacher {model}: not found ({str(error).splitlines()[0][:200]})"
            ) from error
        self.encoder = whole.encoder.eval()
        self.name = model
        self.layers = layers
        self.hidden_size = self.encoder.config.d_model
        if max(layers) > len(self.encoder.layers):
            raise ConfigError(f"teacher {model} has {len(self.encoder.layers)} layers only")
        self.extractor = WhisperFeatureExtractor(feature_size=self.encoder.config.num_mel_bins)

    @torch.no_grad()
    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Encode one clip of up to 30 s.

        Args:
            waveform: float32 ``(num_samples,)``, 16 kHz.

        Returns:
            float32 ``(ceil(num_samples / 320), layers, hidden size)``.
        """
        # Zeros as long as a window stand for the silence up to 30 s.
        padded = np.pad(waveform, (0, -waveform.size % FRAME + 2 * FRAME))
        mel = self.extractor(
            padded, sampling_rate=SAMPLING_RATE, padding="do_not_pad", return_tensors="pt"
        ).input_features[:, :, : 2 * -(-waveform.size // FRAME)]
        encoder = self.encoder
        states = gelu(encoder.conv2(gelu(encoder.conv1(mel)))).transpose(1, 2)
        outputs = [states[0]]
        states = states + encoder.embed_positions.weight[: states.shape[1]]
        for layer in encoder.layers[: max(self.layers)]:
            states = layer(states, None)
            states = states[0] if isinstance(states, tuple) else states
            outputs.append(states[0])
        return torch.stack([outputs[i] for i in self.layers], dim=1).numpy()


class FrameCache:
    """Waveforms and standardised teacher frames in two flat files, read by memory map.

    The vector cache does not fit here: it holds its vectors in memory, one of fixed size a clip,
    while the frames of the recipe take several gigabytes (50 frames a second, of 3 x 384 float16
    numbers each), and a step reads a few segments of any length from anywhere. A memory map reads
    these alone.

    Use :meth:`build`, which computes what is not there yet.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        self._frames = np.asarray(index["frames"])
        self._ends = np.cumsum(self._frames)
        total = int(self._ends[-1])
        shape = (total, index["layers"], index["hidden_size"])
        self._states = np.memmap(folder / "states.f16", np.float16, "r", shape=shape)
        self._samples = np.memmap(folder / "samples.f16", np.float16, "r", shape=(total * FRAME,))
        self._mean = np.asarray(index["mean"], np.float32)
        self._std = np.asarray(index["std"], np.float32)

    def __len__(self) -> int:
        return len(self._frames)

    def frames(self, index: int) -> int:
        """Number of whole frames of a clip."""
        return int(self._frames[index])

    def at_least(self, frames: int) -> np.ndarray:
        """Numbers of the clips with so many frames or more, shortest first."""
        order = np.argsort(self._frames, kind="stable")
        return order[self._frames[order] >= frames]

    def cut(self, index: int, start: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a segment of a clip.

        Returns:
            float32 waveform ``(frames * 320,)`` and teacher states ``(frames, layers, hidden)``,
            each dimension of each layer with mean 0 and deviation 1 over the whole cache.
        """
        begin = int(self._ends[index]) - self.frames(index) + start
        waveform = self._samples[begin * FRAME : (begin + frames) * FRAME].astype(np.float32)
        states = self._states[begin : begin + frames].astype(np.float32)
        return waveform, (states - self._mean) / self._std

    @classmethod
    def build(
        cls, clips: Iterable[np.ndarray], teacher: WhisperTeacher, folder: Path
    ) -> "FrameCache":
        """Compute the cache, unless the folder already holds it for these clips and this teacher.

        Args:
            clips: float32 ``(num_samples,)``, 16 kHz, up to 30 s.

        Raises:
            ConfigError: no clip was given.
        """
        clips = list(clips)
        if not clips:
            raise ConfigError("no speech to learn from")
        key = {"teacher": teacher.name, "layers": teacher.layers, "clips": _key(clips)}
        index_file = folder / "index.json"
        if index_file.exists() and json.loads(index_file.read_text())["key"] == key:
            return cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        index_file.unlink(missing_ok=True)
        frames, total, squares = [], 0.0, 0.0
        with (
            open(folder / "states.f16", "wb") as states_file,
            open(folder / "samples.f16", "wb") as samples_file,
        ):
            for waveform in tqdm(clips, desc="teacher"):
                count = waveform.size // FRAME
                states = teacher(waveform)[:count].astype(np.float64)
                total, squares = total + states.sum(0), squares + (states**2).sum(0)
                frames.append(count)
                states.astype(np.float16).tofile(states_file)
                waveform[: count * FRAME].astype(np.float16).tofile(samples_file)
        mean = total / sum(frames)
        std = np.sqrt(np.maximum(squares / sum(frames) - mean**2, 1e-8))
        index = {
            "key": key,
            "frames": frames,
            "layers": len(teacher.layers),
            "hidden_size": teacher.hidden_size,
            "mean": mean.tolist(),
            "std": std.tolist(),
        }
        index_file.with_suffix(".tmp").write_text(json.dumps(index))
        index_file.with_suffix(".tmp").rename(index_file)
        return cls(folder)


def _key(clips: list[np.ndarray]) -> str:
    return audio_hash(np.concatenate([clip[::100] for clip in clips]))
