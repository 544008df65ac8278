"""The example clips: small, of the right kind, and what the script makes."""

import shutil

import pytest
import soundfile as sf

from scripts import make_examples
from tests.helpers.space_server import ROOT

EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("name", make_examples.CLIPS)
def test_shipped_clips(name):
    path = EXAMPLES / f"{name}.wav"
    info = sf.info(path)
    assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
    assert 2 <= info.duration <= 3 and path.stat().st_size < 100_000
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert f"| `{name}.wav` | {make_examples.CLIPS[name].sentence} |" in listed


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_script_is_deterministic(tmp_path):
    for run in ("one", "two"):
        assert make_examples.main(["--out", str(tmp_path / run)]) == 0
    for name in make_examples.CLIPS:
        one, two = (tmp_path / run / f"{name}.wav" for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
        # Another version of espeak-ng may speak a little differently, but not at other length.
        assert sf.info(one).duration == pytest.approx(
            sf.info(EXAMPLES / f"{name}.wav").duration, abs=0.3
        )


def test_script_without_espeak_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert make_examples.main(["--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: espeak-ng is not installed")
