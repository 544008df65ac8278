"""The Space as the Hub runs it: its repo, its requirements, its model from the Hub."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import handle_file
from huggingface_hub import HfApi
from transformers import pipeline

from tests.helpers.made_benchmark import write_ravdess
from tests.helpers.space_server import ROOT, SpaceProcess

pytestmark = pytest.mark.slow
CPU_INDEX = re.search(
    r"^TORCH_CPU_INDEX \?= (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M
)[1]


def installed(python: Path, *what: str) -> str | None:
    """Install with pip; returns why it could not."""
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-compile", "--retries", "1", *what]
    run = subprocess.run(command, capture_output=True, text=True)
    return None if run.returncode == 0 else run.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """The Python of a new environment that holds the CPU build of torch, and no more yet."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    version = re.search(r"^torch==(\S+)$", constraints, re.M)[1]
    # As in the Makefile: where pip looks anyway, then in PyTorch's own index.
    why = installed(python, f"torch=={version}+cpu")
    if why and (why := installed(python, f"torch=={version}", "--index-url", CPU_INDEX)):
        pytest.skip(f"torch could not be installed: {why}")
    return python


def test_the_repo_alone_starts_and_answers(hub, fresh, tmp_path, text_model, angry_clip):
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo("owner/emotion")
    api.upload_folder(folder_path=text_model, repo_id="owner/emotion")
    script = str(ROOT / "scripts" / "push_space.py")
    push = hub.env(tmp_path / "push", PYTHONPATH=str(ROOT))
    hub.run([script, "owner/demo", "--model", "owner/emotion"], env=push)
    space = Path(api.snapshot_download("owner/demo", repo_type="space", local_dir=tmp_path / "app"))

    if why := installed(fresh, "--requirement", str(space / "requirements.txt")):
        pytest.skip(f"the requirements could not be installed: {why}")
    code = "import torch; print(torch.version.cuda)"
    cuda = subprocess.run([fresh, "-c", code], capture_output=True, text=True, check=True)
    assert cuda.stdout.strip() == "None", "the requirements have brought another torch"

    # No SER_MODEL: the card names the model. No PYTHONPATH: this repository is out of reach.
    env = hub.env(tmp_path / "cache", GRADIO_SERVER_NAME="127.0.0.1")
    process = SpaceProcess(tmp_path, source=space, python=fresh, **env)
    try:
        answer = process.client.predict(handle_file(angry_clip), api_name="/predict")
    finally:
        process.stop()
    expected = pipeline("audio-classification", model=str(text_model), trust_remote_code=True)
    assert {row["label"]: row["score"] for row in answer["emotions"]} == pytest.approx(
        {row["label"]: row["score"] for row in expected(str(angry_clip))}, abs=1e-4
    )

    write_ravdess(tmp_path / "raw")
    packed = shutil.make_archive(str(tmp_path / "raw"), "zip", tmp_path / "raw")
    command = [fresh, "ravdess_benchmark.py", packed]
    run = subprocess.run(command, cwd=space, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "| owner/emotion, all clips given |" in run.stdout
