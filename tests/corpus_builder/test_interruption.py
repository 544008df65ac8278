"""A build that is killed, or runs out of disk, is finished by running it again."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corpus_builder.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
CLEANED_PARTS = 3  # 84 clips, 32 a part


def arguments(raw, out, *, workers=1):
    """Two configurations; the first is balanced with 101 copies, in four parts."""
    options = ["--no-denoise", "--target", "24", "--config", "paper", "--config", "natural"]
    files = ["--source", f"ravdess={raw}", "--out", str(out)]
    return ["build", *files, *options, "--workers", str(workers)]


def command(raw, out, **options):
    return [sys.executable, "-m", "corpus_builder", *arguments(raw, out, **options)]


def files(out):
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def uninterrupted(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    assert main(arguments(raw, out)) == 0
    return files(out)


def while_cleaning(out):
    return any((out / ".work" / "clips").glob("*.arrow"))


def while_augmenting(out):
    return len(list((out / ".work" / "clips").glob("*.arrow"))) > CLEANED_PARTS


def while_writing(out):
    return any((out / ".work" / "shards" / "paper").glob("*"))


@pytest.mark.parametrize(
    ("moment", "workers"),
    [
        (while_cleaning, 1),
        pytest.param(while_augmenting, 2, marks=pytest.mark.slow),
        (while_writing, 1),
    ],
)
def test_a_killed_build_is_finished_by_the_same_command(
    raw, uninterrupted, tmp_path, moment, workers
):
    out = tmp_path / "out"
    build = subprocess.Popen(
        command(raw, out, workers=workers),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while build.poll() is None and not moment(out):
        time.sleep(0.002)
    os.kill(build.pid, signal.SIGKILL)
    assert build.wait() == -signal.SIGKILL
    assert not (out / "build.json").exists()
    assert not list(out.glob("*/*.parquet"))
    # Who finishes it does not matter, so it need not be another process.
    assert main(arguments(raw, out)) == 0
    assert files(out) == uninterrupted


def test_a_full_disk_is_one_line_and_leaves_no_half_shard(raw, uninterrupted, tmp_path, capsys):
    out = tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Bytes in one file: the parts fit, a shard does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        assert main(arguments(raw, out)) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    errors = capsys.readouterr().err
    assert "Traceback" not in errors and "corpus_builder: " in errors.splitlines()[-1]
    assert not [name for name in files(out) if name.endswith((".tmp", ".parquet"))]
    assert main(arguments(raw, out)) == 0
    assert files(out) == uninterrupted
