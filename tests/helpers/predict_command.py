"""``speech-emotion predict`` on a folder of recordings, and on a long one."""

import json
from pathlib import Path

import numpy as np
import pytest

from speech_emotion.cli.main import main
from tests.helpers.sounds import encode, noise, tone, voice


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """20 files in two folders, 4 of them bad, and one that is no recording: 5 lines of errors."""
    root = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(0)
    for place in range(20):
        path = root / ("a" if place % 2 else "b") / f"clip{place:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(tone(200 + 30 * place, rng.uniform(0.2, 0.9), seed=place)))
    (root / "a" / "clip05.wav").write_bytes(b"no audio")
    (root / "a" / "clip11.wav").write_bytes(b"")
    (root / "b" / "clip12.wav").write_bytes(encode(np.zeros(9000, dtype=np.float32)))
    (root / "b" / "clip18.wav").write_bytes(encode(noise(1)))
    (root / "notes.txt").write_text("no recording")
    return root


@pytest.fixture(scope="module")
def talk(tmp_path_factory) -> Path:
    """16 s: a voice, silence, another voice."""
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    silence = np.zeros(8 * 16_000, dtype=np.float32)
    parts = [voice(4), silence, voice(4, pitch=250, seed=1)]
    path.write_bytes(encode(np.concatenate(parts)))
    return path


@pytest.fixture
def predict(model_folder, capsys):
    def run(*arguments, model=model_folder):
        code = main(["predict", *map(str, arguments), "--model", str(model)])
        captured = capsys.readouterr()
        errors = [line for line in captured.err.splitlines() if line.startswith("speech-emotion: ")]
        return code, captured.out, errors

    return run


def rows_of(path: Path) -> dict[str, dict]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({row["file"] for row in rows}) == len(rows)
    return {row.pop("file"): row for row in rows}
