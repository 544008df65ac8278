"""The folder as it is pushed: card, requirements, settings; it works without the repository."""

import shutil
import time

import about
import app
import gradio
import pytest
import settings
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from huggingface_hub import metadata_load
from settings import Settings, default_model

from tests.helpers.space_server import ROOT, SPACE, SpaceProcess


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
    shutil.copy(SPACE / "README.md", tmp_path / "README.md")
    monkeypatch.setattr(settings, "HERE", tmp_path)
    with pytest.raises(ValueError, match="set SER_MODEL to the folder or the Hub id"):
        default_model()
    card = (tmp_path / "README.md").read_text(encoding="utf-8").replace("your-name/", "you/")
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert default_model() == metadata_load(tmp_path / "README.md")["models"][0]
    monkeypatch.setattr(settings, "HERE", tmp_path / "space")
    checkpoint = tmp_path / "checkpoints" / "mini"
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text("{}")
    assert default_model() == str(checkpoint)


@pytest.mark.parametrize("value", ["long", "-1", "nan"])
def test_bad_setting_is_an_error(monkeypatch, value):
    monkeypatch.setenv("SER_MAX_MEGABYTES", value)
    with pytest.raises(ValueError, match=f"SER_MAX_MEGABYTES must be a number .* not '{value}'"):
        Settings.from_environment()


def test_a_bad_setting_ends_the_program_with_one_line(monkeypatch, capsys):
    monkeypatch.setenv("SER_MAX_SECONDS", "long")
    assert app.main() == 2
    message = "error: SER_MAX_SECONDS must be a number above 0, not 'long'\n"
    assert capsys.readouterr() == ("", message)


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SER_MODEL", "you/model")
    monkeypatch.setenv("SER_TRANSCRIBER", "none")
    monkeypatch.setenv("SER_MAX_SECONDS", "7.5")
    assert Settings.from_environment() == Settings(
        model="you/model", transcriber="none", max_seconds=7.5
    )


def test_a_model_without_a_card_has_no_licence(stock_model, text_model):
    assert about.licences_of(about.card_of(str(text_model))).startswith("- Licence of the weights:")
    assert "no card" in about.licences_of(about.card_of(str(stock_model)))


@pytest.mark.slow
def test_a_model_that_is_not_there_is_one_line_and_the_page_is_served(tmp_path, angry_clip):
    missing = tmp_path / "models" / "nothing"
    process = SpaceProcess(tmp_path, SER_MODEL=str(missing))
    try:
        while "error" not in (log := (tmp_path / "log").read_text()):
            time.sleep(0.2)
        with pytest.raises(AppError, match="nothing could not be loaded") as caught:
            process.client.predict(handle_file(angry_clip), api_name="/predict")
    finally:
        process.stop()
    [line] = [line for line in log.splitlines() if "error" in line]
    assert line == (
        "error: The model nothing could not be loaded: there is no such folder. "
        f"SER_MODEL is {missing}"
    )
    assert "Traceback" not in log and str(missing) not in str(caught.value)
