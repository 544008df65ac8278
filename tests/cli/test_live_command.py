"""``speech-emotion live``: a file, raw samples, and what stands for a microphone."""

import json
import os
import signal
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from speech_emotion.cli.main import main
from tests.helpers.sounds import encode, voice

RATE = 16_000
SPEECH = np.round(voice(9) * 20_000).astype("<i2")


@pytest.fixture
def ask(model_folder, monkeypatch, capsys, tmp_path):
    """Runs the command with bytes on standard input: exit code, lines on stdout, stderr."""

    def run(*arguments: str, given: bytes = b"") -> tuple[int, list[str], str]:
        (tmp_path / "stdin").write_bytes(given)
        with (tmp_path / "stdin").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            code = main(["live", "--model", str(model_folder), "--no-clean", *arguments])
        shown = capsys.readouterr()
        return code, shown.out.splitlines(), shown.err

    return run


def test_a_file_and_its_raw_samples_have_the_windows_of_predict(
    ask, classifier, tmp_path, model_folder
):
    (tmp_path / "talk.wav").write_bytes(encode(SPEECH, RATE))
    code, lines, said = ask("--input", str(tmp_path / "talk.wav"), "--format", "jsonl")
    assert code == 0 and said.count("\n") == 1 and "Ctrl-C" in said
    rows = [json.loads(line) for line in lines]
    options = {"return_segments": True, "text": "", "smoothing": 1, "clean": False}
    assert rows == classifier(str(tmp_path / "talk.wav"), batch_size=1, **options)["windows"]
    assert ask(str(tmp_path / "talk.wav"), "--format", "jsonl")[:2] == (0, lines)
    raw = ask("-q", "-", "--format", "jsonl", given=SPEECH.tobytes())
    assert raw == (0, lines, "")
    code, lines, _ = ask(
        "--input", "-", "--rate", "8000", "--window-s", "6", given=SPEECH.tobytes()
    )
    assert code == 0 and [line.split()[0] for line in lines] == [
        *("00:00:06", "00:00:09", "00:00:12", "00:00:15", "00:00:18")
    ]


@pytest.mark.parametrize(
    ("arguments", "given", "line"),
    [
        (["--input", "missing.wav"], b"", "missing.wav: no such file"),
        (["--input", "-"], encode(SPEECH, RATE), "standard input holds a file"),
        (["--input", "-", "--rate", "3"], b"", "a sampling rate of 3.0 Hz is not usable"),
        (["a.wav", "--input", "b.wav"], b"", "FILE and --input name the same"),
        (["--input", "-", "--device", "1"], b"", "--device is a microphone"),
        (["--rate", "8000"], b"", "--rate needs - as FILE"),
        (["--input", "-", "--smoothing", "2"], b"", "smoothing must be 1, 3, 5"),
        (["--input", "-", "--labels", "angry,glad"], b"", "glad"),
    ],
)
def test_bad_input_is_one_line(ask, arguments, given, line):
    code, lines, said = ask("-q", *arguments, given=given)
    assert code == 2 and lines == [] and said.count("\n") == 1 and line in said


class PortAudioError(Exception):
    """As sounddevice has it."""


def microphone(
    monkeypatch,
    *,
    then: Exception | None = None,
    gone_s: float = 0.2,
    interrupted_after_s: float | None = None,
) -> None:
    """No machine of the tests has a microphone: what sounddevice does with one is written here.

    It gives 9 s of speech at once, and then nothing; or it raises an error when it is opened.
    """

    class InputStream:
        def __init__(self, *, samplerate, channels, dtype, blocksize, callback, device):
            assert (channels, dtype, device) == (1, "int16", None)
            for start in range(0, SPEECH.size, blocksize):
                callback(SPEECH[start : start + blocksize, None], blocksize, None, None)

        def __enter__(self):
            if then:
                raise then
            if interrupted_after_s:
                interrupt = os.getpid(), signal.SIGINT
                threading.Timer(interrupted_after_s, os.kill, interrupt).start()
            return self

        def __exit__(self, *_):
            pass

    device = {"name": "USB", "max_input_channels": 1, "default_samplerate": 16_000.0}

    def query_devices(device_asked=None, kind=None):
        if device_asked is not None:
            raise ValueError("No input device matching")
        return device if kind else [device]

    made = SimpleNamespace(
        InputStream=InputStream, query_devices=query_devices, PortAudioError=PortAudioError
    )
    monkeypatch.setitem(sys.modules, "sounddevice", made)
    monkeypatch.setattr("speech_emotion.predict.live.GONE_S", gone_s)


def test_ctrl_c_ends_with_the_last_window(ask, monkeypatch):
    microphone(monkeypatch, gone_s=60, interrupted_after_s=5)
    code, lines, said = ask("-q", "--format", "jsonl")
    ends = [json.loads(line)["end"] for line in lines]
    assert code == 0 and not said
    assert ends[0] == 4 and ends == sorted(ends)  # 4, 6, 8, 9 where the machine is not busy


def test_a_microphone_that_goes_away_is_told(ask, monkeypatch):
    microphone(monkeypatch)
    code, lines, said = ask("-q")
    assert code == 2 and "USB: no sound for" in said and said.count("\n") == 1
    assert [line.split()[0] for line in lines] == ["00:00:04", "00:00:06", "00:00:08", "00:00:09"]


def test_what_the_model_is_too_slow_for_is_told(ask, monkeypatch):
    monkeypatch.setattr("speech_emotion.predict.live.HELD_S", 5)
    microphone(monkeypatch)
    code, lines, said = ask("-q", "--format", "jsonl")
    assert code == 2 and json.loads(lines[-1])["end"] == 5
    assert "4.0 s were not heard" in said


def test_a_microphone_that_cannot_be_used_is_one_line(ask, monkeypatch):
    microphone(monkeypatch, then=PortAudioError("Device unavailable"))
    assert ask("-q")[::2] == (2, "speech-emotion: USB: Device unavailable\n")
    said = ask("-q", "--device", "Bluetooth")[2]
    assert said == "speech-emotion: no microphone Bluetooth; there are: 0 USB\n"
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert "[live]" in ask("-q")[2]
