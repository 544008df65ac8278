"""The Space as the Hub runs it: its repo, its requirements, its model from the Hub."""

import shutil
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from gradio_client import handle_file
from huggingface_hub import HfApi
from packaging.requirements import Requirement
from transformers import pipeline

from scripts.push_space import push_space
from tests.helpers.bare_environment import bare_environment
from tests.helpers.made_benchmark import write_ravdess
from tests.helpers.space_server import SpaceProcess

pytestmark = pytest.mark.slow


def test_the_repo_alone_starts_and_answers(hub, tmp_path, monkeypatch, text_model, angry_clip):
    hub.use_here(monkeypatch, tmp_path / "push")
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo("owner/emotion")
    api.upload_folder(folder_path=text_model, repo_id="owner/emotion")
    push_space("owner/demo", model="owner/emotion")
    space = Path(api.snapshot_download("owner/demo", repo_type="space", local_dir=tmp_path / "app"))
    lines = (space / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for requirement in map(Requirement, lines):
        assert requirement.specifier.contains(version(requirement.name)), requirement

    # No SER_MODEL: the card names the model. The environment has the requirements of the Space
    # and nothing of this repository.
    python = bare_environment(tmp_path / "venv", lines)
    env = hub.env(tmp_path / "cache", GRADIO_SERVER_NAME="127.0.0.1")
    process = SpaceProcess(tmp_path, source=space, python=python, **env)
    try:
        answer = process.client.predict(handle_file(angry_clip), api_name="/predict")
        with angry_clip.open("rb") as file:
            reply = httpx.post(f"{process.url}/v1/predict", files={"file": file}, timeout=60)
        write_ravdess(tmp_path / "raw")
        packed = shutil.make_archive(str(tmp_path / "raw"), "zip", tmp_path / "raw")
        scored = process.client.predict(handle_file(packed), api_name="/benchmark")
    finally:
        process.stop()
    expected = pipeline("audio-classification", model=str(text_model), trust_remote_code=True)
    assert {row["label"]: row["score"] for row in answer["emotions"]} == pytest.approx(
        {row["label"]: row["score"] for row in expected(str(angry_clip))}, abs=1e-4
    )
    assert reply.status_code == 200
    assert {row["label"]: row["score"] for row in reply.json()["emotions"]} == pytest.approx(
        {row["label"]: row["score"] for row in answer["emotions"]}, abs=1e-4
    )
    assert "| owner/emotion, all clips given |" in scored["markdown"]
