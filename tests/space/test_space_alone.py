"""The folder as it is pushed: card, requirements, and a life of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time

import gradio
import pytest
from gradio_client import Client, handle_file
from huggingface_hub import metadata_load
from settings import Settings, default_model

from tests.helpers.space_server import ROOT, SPACE


def test_card_has_what_the_hub_reads():
    card = metadata_load(SPACE / "README.md")
    assert card["sdk"] == "gradio" and (SPACE / card["app_file"]).is_file()
    installed = gradio.__version__.split(".")
    assert installed[0] == card["sdk_version"].split(".")[0]
    assert card["models"] and card["datasets"] and card["license"] and card["title"]
    assert isinstance(card["python_version"], str)  # 3.10 as a number would read 3.1
    assert len(card["short_description"]) <= 60  # the Hub refuses longer ones


def test_requirements_are_those_of_the_project():
    project = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set((SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()) <= set(
        project
    )


def test_default_model_is_the_checkpoint_or_the_card(monkeypatch, tmp_path):
    import classifier

    shutil.copy(SPACE / "README.md", tmp_path / "README.md")
    monkeypatch.setattr(classifier, "HERE", tmp_path)
    assert default_model() == metadata_load(SPACE / "README.md")["models"][0]
    monkeypatch.setattr(classifier, "HERE", tmp_path / "space")
    checkpoint = tmp_path / "checkpoints" / "mini"
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text("{}")
    assert default_model() == str(checkpoint)


@pytest.mark.parametrize("value", ["long", "-1", "nan"])
def test_bad_setting_is_an_error(monkeypatch, value):
    monkeypatch.setenv("SER_MAX_MEGABYTES", value)
    with pytest.raises(ValueError, match=f"SER_MAX_MEGABYTES must be a number .* not '{value}'"):
        Settings.from_environment()


def test_bad_setting_ends_the_program_with_one_line():
    run = subprocess.run(
        [sys.executable, SPACE / "app.py"],
        env={**os.environ, "SER_MAX_SECONDS": "long"},
        capture_output=True,
        text=True,
        timeout=300,  # a page that starts after all would never end
    )
    assert run.returncode == 2
    assert run.stderr == "error: SER_MAX_SECONDS must be a number above 0, not 'long'\n"


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SER_MODEL", "you/model")
    monkeypatch.setenv("SER_TRANSCRIBER", "none")
    monkeypatch.setenv("SER_MAX_SECONDS", "7.5")
    assert Settings.from_environment() == Settings(
        model="you/model", transcriber="none", max_seconds=7.5
    )


def test_the_folder_works_alone(tmp_path, stock_model, angry_clip):
    folder = tmp_path / "copy"
    shutil.copytree(SPACE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "SER_MODEL": str(stock_model), "GRADIO_SERVER_PORT": str(port)}
    env.pop("PYTHONPATH", None)
    log = tmp_path / "log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=env, stdout=out, stderr=out
        )
    try:
        while "Running on" not in log.read_text():
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
        client = Client(f"http://127.0.0.1:{port}", verbose=False)
        assert len(client.predict(handle_file(angry_clip), api_name="/predict")["emotions"]) == 7
    finally:
        server.terminate()
        server.wait()
