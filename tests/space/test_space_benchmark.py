"""The benchmark tab, asked over the API as another program would."""

import json
import shutil
from pathlib import Path

import benchmark_tab
import pytest
from classifier import Classifier
from clips import ClipError
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from interface import Page
from ravdess_benchmark import Benchmark
from ravdess_clips import open_clips

from tests.helpers.answers import same_predictions
from tests.helpers.made_benchmark import write_ravdess
from tests.helpers.space_server import Settings


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """A zip of 70 clips that are scored and 10 neutral ones, one of the 70 of them broken."""
    root = tmp_path_factory.mktemp("ravdess")
    write_ravdess(root / "raw")
    (root / "raw" / "Actor_03" / "03-01-05-01-01-01-03.wav").write_bytes(b"no audio")
    return Path(shutil.make_archive(str(root / "RAVDESS <b>"), "zip", root / "raw"))


@pytest.fixture(scope="module")
def settings(text_model) -> Settings:
    return Settings(model=str(text_model), benchmark_clips=70)


@pytest.fixture(scope="module")
def client(serve, text_model) -> Client:
    return Client(serve(model=str(text_model), benchmark_clips=70), verbose=False)


def test_the_api_gives_what_the_command_gives(client, packed, settings):
    answer = client.predict(handle_file(packed), api_name="/benchmark")
    with open_clips(str(packed)) as clips:
        *_, result = Benchmark(Classifier(settings)).run(clips)
    assert answer["scores"] == json.loads(json.dumps(result["scores"]))
    same_predictions(answer["answers"], json.loads(json.dumps(result["answers"])))
    assert list(answer["errors"]) == ["Actor_03/03-01-05-01-01-01-03.wav"]
    assert "| paper, Table 9, as printed | 78.45 |" in answer["markdown"]
    assert "<b>" not in answer["markdown"] and answer["overlap"]["known"] is False


def test_no_text_changes_the_answers(client, packed):
    told = client.predict(handle_file(packed), api_name="/benchmark")
    deaf = client.predict(handle_file(packed), text="none", api_name="/benchmark")
    assert told["answers"][0]["scores"] != deaf["answers"][0]["scores"]


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        (lambda zip_file: {}, "one of the two"),
        (lambda zip_file: {"zip_file": zip_file, "data_set": "you/corpus"}, "one of the two"),
        (lambda zip_file: {"data_set": "../../etc"}, "no data set id"),
        (lambda zip_file: {"data_set": "<script>"}, "no data set id"),
        (lambda zip_file: {"zip_file": zip_file, "text": "secret"}, "text must be corpus"),
        (lambda zip_file: {"data_set": "you/corpus", "config": "x"}, "configuration must be"),
    ],
)
def test_a_wrong_request_is_one_line(client, packed, request_of, words):
    with pytest.raises(AppError, match=words) as caught:
        client.predict(**request_of(handle_file(packed)), api_name="/benchmark")
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_a_zip_of_something_else_is_one_line(client, tmp_path, angry_clip):
    (tmp_path / "clips").mkdir()
    shutil.copy(angry_clip, tmp_path / "clips")
    packed = shutil.make_archive(str(tmp_path / "clips"), "zip", tmp_path / "clips")
    with pytest.raises(AppError, match=r"clips.zip: no spoken clip of RAVDESS"):
        client.predict(handle_file(packed), api_name="/benchmark")


def test_it_may_be_too_many_clips(text_model, packed):
    few = Classifier(Settings(model=str(text_model), benchmark_clips=50))
    with pytest.raises(ClipError, match="at most 50"):
        list(benchmark_tab.steps(few, str(packed), "", config="paper", text="corpus"))


def test_progress_comes_and_a_cancelled_run_leaves_nothing(settings, packed, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    steps = benchmark_tab.steps(
        Classifier(settings), str(packed), "", config="paper", text="corpus"
    )
    assert [next(steps) for _ in range(3)] == [(1, 70), (2, 70), (3, 70)]
    assert list(tmp_path.iterdir())
    steps.close()  # as Gradio does when the visitor cancels
    assert not list(tmp_path.iterdir())


def test_the_page_shows_table_picture_and_leak_line(settings, packed):
    with Page() as demo:
        benchmark_tab.benchmark_tab(Classifier(settings))
    (show,) = (f.fn for f in demo.fns.values() if getattr(f.fn, "__name__", "") == "show")
    states = list(show(str(packed), "", "speaker_disjoint", "corpus"))
    assert 'value="0.500"' in states[35][0] and "35 of 70 clips." in states[35][0]
    line, report, picture = states[-1]
    assert "on 70 clips" in line and "Unknown whether the model was trained" in line
    assert report.startswith("|  | WA | UA | UA+WA |") and "**angry**" in report
    assert 'src="data:image/png;base64,' in picture and 'download="ravdess.json"' in picture
    (line, *rest) = list(show(None, "", "speaker_disjoint", "corpus"))[-1]
    assert 'role="alert"' in line and rest == ["", ""]


def test_without_a_model_it_says_so(tmp_path, packed):
    nothing = Classifier(Settings(model=str(tmp_path / "nothing")))
    with pytest.raises(ClipError, match="nothing could not be loaded"):
        list(benchmark_tab.steps(nothing, str(packed), "", config="paper", text="corpus"))
