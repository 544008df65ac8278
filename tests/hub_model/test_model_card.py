"""The card that travels with a checkpoint."""

import pytest
from huggingface_hub import ModelCard

from hub_model.model_card import RESULTS_BEGIN, RESULTS_END, write_model_card
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from tests.tiny_models import tiny_config

TRAINING = {
    "data": ["ravdess", "crema_d"],
    "licences": {"ravdess": "CC BY-NC-SA 4.0"},
    "protocol": "speaker_disjoint",
}


def test_front_matter_of_a_trained_model(tmp_path):
    path = write_model_card(tiny_config(training=TRAINING), tmp_path)
    card = ModelCard.load(path)
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "audio-classification"
    assert card.data.language == "en"
    assert "custom_code" in card.data.tags
    assert "- ravdess: CC BY-NC-SA 4.0" in card.text
    assert "- crema_d: see the corpus" in card.text
    assert "Split: speaker_disjoint" in card.text


def test_an_untrained_model_inherits_no_licence(tmp_path):
    card = ModelCard.load(write_model_card(tiny_config(), tmp_path))
    assert card.data.license == "apache-2.0"
    assert "nothing yet" in card.text


def test_the_text_names_labels_cleaning_and_transcriber(tmp_path):
    config = tiny_config(transcriber="openai-whisper:base.en")
    text = ModelCard.load(write_model_card(config, tmp_path)).text
    assert "Labels: angry, calm, disgust, fearful, happy, sad, surprised." in text
    assert "`openai-whisper:base.en`" in text
    assert "denoise_strength 0.5" in text
    assert "trust_remote_code=True" in text


def test_the_results_have_a_place(tmp_path):
    text = ModelCard.load(write_model_card(tiny_config(), tmp_path)).text
    before, rest = text.split(RESULTS_BEGIN)
    inside, after = rest.split(RESULTS_END)
    assert inside.strip() == "Not measured yet."
    assert "## Results" in before and "## Limits" in after


def test_measured_results_are_kept_when_a_model_is_saved_again(
    recogniser: SpeechTextEmotionPipeline, tmp_path
):
    recogniser.save_pretrained(tmp_path / "first")
    card = (tmp_path / "first" / "README.md").read_text(encoding="utf-8")
    measured = card.replace("Not measured yet.", "| UA | 0.61 |\nmit Umlauten: äöü")
    (tmp_path / "first" / "README.md").write_text(measured, encoding="utf-8")
    config = HubertBertForEmotion.from_pretrained(tmp_path / "first").config
    (tmp_path / "second").mkdir()
    write_model_card(config, tmp_path / "second")
    assert (tmp_path / "second" / "README.md").read_text(encoding="utf-8") == measured
    write_model_card(config, tmp_path / "first")  # onto itself
    assert (tmp_path / "first" / "README.md").read_text(encoding="utf-8") == measured


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_model_card(tiny_config(), tmp_path / "missing")
