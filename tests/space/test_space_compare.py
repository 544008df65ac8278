"""Models that a clip may be compared with; remote code of models."""

import pytest
from classifier import Classifier
from clips import ClipError
from compare import OtherModels
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.helpers.space_server import ROOT, Settings


def test_compare_over_the_api(serve, text_model, stock_model, angry_clip):
    client = Client(serve(model=str(text_model), compare_models=(str(stock_model),)), verbose=False)
    clip = handle_file(angry_clip)
    answer = client.predict(clip, stock_model.name, api_name="/compare")
    assert [row["model"] for row in answer["answers"]] == [text_model.name, stock_model.name]
    alone = client.predict(clip, api_name="/predict")
    assert answer["answers"][0]["emotions"] == alone["emotions"]
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


def test_code_of_a_model_that_is_not_trusted_does_not_run(text_model, stock_model):
    refused = Classifier(Settings(model=str(text_model)), trusted=False)
    assert "could not be loaded" in refused.problem
    assert Classifier(Settings(model=str(stock_model)), trusted=False).problem is None


def test_nothing_chosen_and_a_model_that_is_not_there(text_model, tmp_path):
    others = OtherModels(Settings(model=str(text_model), compare_models=(str(tmp_path / "gone"),)))
    with pytest.raises(ClipError, match="Choose a model"):
        others.get(None)
    with pytest.raises(ClipError, match="gone could not be loaded: there is no such folder"):
        others.get("gone")
