"""Models that a clip may be compared with; remote code of models."""

import json
import shutil
from pathlib import Path

import pytest
import ravdess_benchmark
import torch
from classifier import Classifier
from clips import ClipError, read_clip
from compare import OtherModels, compared_html, scores_of
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from huggingface_hub import HfApi
from safetensors.torch import load_file

from tests.helpers.space_server import ROOT, Settings


def test_compare_over_the_api(serve, text_model, stock_model, angry_clip):
    client = Client(serve(model=str(text_model), compare_models=(str(stock_model),)), verbose=False)
    clip = handle_file(angry_clip)
    answer = client.predict(clip, stock_model.name, api_name="/compare")
    assert [row["model"] for row in answer["answers"]] == [text_model.name, stock_model.name]
    predicted = client.predict(clip, api_name="/predict")
    assert answer["answers"][0]["emotions"] == predicted["emotions"]
    assert client.predict(api_name="/about")["compare_models"] == [stock_model.name]
    with pytest.raises(AppError, match=f"no model of that name here.* {stock_model.name}"):
        client.predict(clip, "somebody/else", api_name="/compare")


def test_the_tab_is_there_only_with_something_to_compare(serve, text_model):
    endpoints = Client(serve(model=str(text_model)), verbose=False).view_api(return_format="dict")
    assert "/compare" not in endpoints["named_endpoints"]


@pytest.mark.parametrize("name", ["/etc", "../secret", "checkpoints/mini", "a/b/c", "a b/c", "~/x"])
def test_visitors_name_no_folder(text_model, monkeypatch, name):
    monkeypatch.chdir(ROOT)
    others = OtherModels(Settings(model=str(text_model), compare_any=True))
    with pytest.raises(ClipError, match="has a name like owner/model"):
        others.get(name)


def marked(source: Path, folder: Path, name: str, file: str, **settings: dict) -> Path:
    """Copy a model whose code leaves a mark when it runs.

    Args:
        source: the model.
        folder: parent of the copy, and of the marks.
        name: of copy and mark.
        file: of the code, which may be new.
        settings: merged into JSON files, by their names without suffix.
    """
    copy = shutil.copytree(source, folder / name)
    mark = f"import pathlib\npathlib.Path({str(folder / f'{name}.mark')!r}).touch()\n"
    code = copy / file
    code.write_text(mark + (code.read_text() if code.is_file() else ""))
    for stem, more in settings.items():
        path = copy / f"{stem}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
    return copy


EVIL_PIPELINE = {"custom_pipelines": {"audio-classification": {"impl": "evil.P", "pt": []}}}


def test_only_code_of_models_that_the_owner_has_named_runs(
    hub, text_model, stock_model, tmp_path, monkeypatch, capsys
):
    extractor = {"auto_map": {"AutoFeatureExtractor": "evil.E"}}
    code = "pipeline_hubert_bert.py"
    folders = {
        "owner/own": marked(text_model, tmp_path, "own", code),
        "owner/listed": marked(text_model, tmp_path, "listed", code),
        "guest/model": marked(text_model, tmp_path, "model", code),
        "guest/pipeline": marked(
            stock_model, tmp_path, "pipeline", "evil.py", config=EVIL_PIPELINE
        ),
        "guest/extractor": marked(
            stock_model, tmp_path, "extractor", "evil.py", preprocessor_config=extractor
        ),
        "guest/stock": stock_model,
    }
    for name, folder in folders.items():
        token = hub.token if name.startswith("owner/") else hub.guest_token
        api = HfApi(endpoint=hub.url, token=token)
        api.create_repo(name)
        api.upload_folder(folder_path=folder, repo_id=name)
    hub.use_here(monkeypatch, tmp_path)
    settings = Settings("owner/own", compare_models=("owner/listed",), compare_any=True)
    others = OtherModels(settings)

    def problem(name: str) -> str | None:
        try:
            return others.get(name).problem
        except ClipError as error:
            return str(error)

    assert Classifier(settings).problem is None
    assert problem("owner/listed") is None and problem("guest/stock") is None
    for kind in ("model", "pipeline"):
        line = problem(f"guest/{kind}")
        assert f"guest/{kind} could not be loaded: it needs Python code of its own" in line
    assert problem("guest/extractor") is None  # loaded with the stock class instead
    assert ravdess_benchmark.main(["nowhere", "--model", "guest/model"]) == 2
    assert "--trust-remote-code" in capsys.readouterr().err.splitlines()[-1]
    assert {mark.stem for mark in tmp_path.glob("*.mark")} == {"own", "listed"}


def test_pickled_weights_of_other_models_are_not_read(stock_model, tmp_path):
    pickled = shutil.copytree(stock_model, tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    other = Classifier(Settings(model=str(stock_model)), model=str(pickled))
    assert "pickled could not be loaded" in other.problem
    assert Classifier(Settings(model=str(pickled))).problem is None


def test_models_of_one_name_are_told_apart_and_both_have_the_transcriber(
    text_model, stock_model, tmp_path, angry_clip
):
    twin = shutil.copytree(text_model, tmp_path / text_model.name)
    settings = Settings(
        model=str(text_model),
        compare_models=(str(twin), str(stock_model)),
        transcriber=str(tmp_path / "no-whisper"),
    )
    others = OtherModels(settings)
    name = f"{text_model.name} (2)"
    assert others.names == [name, stock_model.name]
    clip = read_clip(angry_clip, **settings.clip_limits)
    models = [Classifier(settings), *map(others.get, others.names)]
    results = [(model, model.classify(angry_clip, clip)) for model in models]
    notes = [result.note for _, result in results]
    assert "no-whisper" in notes[0] and notes[1] == notes[0] and "audio-only" in notes[2]
    assert list(scores_of(results[:2])[0]) == ["emotion", text_model.name, name]
    assert f">{name}<" in compared_html(results[:2])


def test_nothing_chosen_and_a_model_that_is_not_there(text_model, tmp_path):
    others = OtherModels(Settings(model=str(text_model), compare_models=(str(tmp_path / "gone"),)))
    with pytest.raises(ClipError, match="Choose a model"):
        others.get(None)
    with pytest.raises(ClipError, match="gone could not be loaded: there is no such folder"):
        others.get("gone")
