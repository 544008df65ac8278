"""A build that is killed, or runs out of disk, is finished by running it again."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLEANED_PARTS = 3  # 84 clips, 32 a part


def command(raw, out):
    options = ["--no-denoise", "--target", "40", "--workers", "2"]
    source = f"ravdess={raw}"
    module = [sys.executable, "-m", "corpus_builder"]
    return [*module, "build", "--source", source, "--out", str(out), *options]


def run(arguments, **options):
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, **options)


def files(out):
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def uninterrupted(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    done = run(command(raw, out))
    assert done.returncode == 0, done.stderr
    return files(out)


def while_cleaning(out):
    return any((out / ".work" / "clips").glob("*.arrow"))


def while_augmenting(out):
    return len(list((out / ".work" / "clips").glob("*.arrow"))) > CLEANED_PARTS


def while_writing(out):
    return any((out / ".work" / "shards" / "paper").glob("*"))


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(while_cleaning, marks=pytest.mark.slow),
        pytest.param(while_augmenting, marks=pytest.mark.slow),
        while_writing,
    ],
)
def test_a_killed_build_is_finished_by_the_same_command(raw, uninterrupted, tmp_path, moment):
    out = tmp_path / "out"
    build = subprocess.Popen(
        command(raw, out),
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
    done = run(command(raw, out))
    assert done.returncode == 0, done.stderr
    assert files(out) == uninterrupted


def test_a_full_disk_is_one_line_and_leaves_no_half_shard(raw, uninterrupted, tmp_path):
    out = tmp_path / "out"
    limit = 1_000_000  # bytes in one file: the parts fit, a shard does not

    def few_bytes():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run([*command(raw, out), "--workers", "1"], preexec_fn=few_bytes)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "corpus_builder: " in done.stderr.splitlines()[-1]
    assert not [name for name in files(out) if name.endswith((".tmp", ".parquet"))]
    assert run(command(raw, out)).returncode == 0
    assert files(out) == uninterrupted
