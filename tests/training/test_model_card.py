"""The card that travels with a checkpoint."""

import pytest
from huggingface_hub import ModelCard

from hub_model.audio import Cleaning
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from speech_emotion import __version__
from speech_emotion.training.model_card import (
    PROTOCOLS,
    RESULTS_BEGIN,
    RESULTS_END,
    card_of,
    card_to_push,
    weights_hash,
    with_results,
    write_model_card,
)
from tests.helpers.made_results import TRAINING, made_results
from tests.helpers.tiny_models import tiny_config


def test_front_matter_of_a_trained_model(tmp_path):
    path = write_model_card(tiny_config(training=TRAINING), tmp_path)
    card = ModelCard.load(path)
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "audio-classification"
    assert card.data.language == "en"
    assert "custom_code" in card.data.tags
    assert "- [ravdess](https://doi.org/10.5281/zenodo.1188976): CC BY-NC-SA 4.0" in card.text
    assert card.data.datasets == ["ravdess", "crema_d"]
    assert "crema_d](" in card.text and "): see the corpus" in card.text
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
    classifier: SpeechTextEmotionPipeline, tmp_path
):
    classifier.save_pretrained(tmp_path / "first")
    write_model_card(classifier.model.config, tmp_path / "first")
    card = (tmp_path / "first" / "README.md").read_text(encoding="utf-8")
    measured = card.replace("Not measured yet.", "| UA | 0.61 |\nmit Umlauten: äöü")
    (tmp_path / "first" / "README.md").write_text(measured, encoding="utf-8")
    config = HubertBertForEmotion.from_pretrained(tmp_path / "first").config
    (tmp_path / "second").mkdir()
    write_model_card(config, tmp_path / "second")
    again = (tmp_path / "second" / "README.md").read_text(encoding="utf-8")
    assert again.replace('model="second"', 'model="first"') == measured != again
    write_model_card(config, tmp_path / "first")  # onto itself
    assert (tmp_path / "first" / "README.md").read_text(encoding="utf-8") == measured


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_model_card(tiny_config(), tmp_path / "missing")


def test_what_was_measured_of_these_weights_is_in_the_front_matter(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"some weights")
    ours = weights_hash(tmp_path)
    card = card_of(tiny_config(), None)
    results = [
        made_results(ours, wa=0.51, ua=0.49),
        made_results(ours, "paper", wa=0.81, ua=0.8, expected_calibration_error=0.075),
        made_results("0" * 64, wa=0.99, ua=0.99),
    ]
    found = ModelCard(with_results(card, results, weights=ours, name="tiny"))
    entries = [
        (entry.dataset_split.split("; ")[1], entry.metric_type, entry.metric_value)
        for entry in found.data.eval_results
    ]
    disjoint, paper = PROTOCOLS["speaker_disjoint"], PROTOCOLS["paper"]
    assert entries == [
        (disjoint, "accuracy", 51.0),
        (disjoint, "recall", 49.0),
        (paper, "accuracy", 81.0),
        (paper, "recall", 80.0),
        (paper, "expected_calibration_error", 7.5),
    ]
    assert "223 clips of 4 speakers, 3 of them" in found.data.eval_results[0].dataset_split
    assert found.data.model_name == "tiny"
    assert found.data.license == "apache-2.0"
    assert found.text == ModelCard(card).text
    again = with_results(str(found), results[:1], weights=ours, name="tiny")
    assert len(ModelCard(again).data.eval_results) == 2  # replaced, not added
    assert with_results(again, results[:1], weights=ours, name="tiny") == again


def test_nothing_measured_changes_nothing():
    card = card_of(tiny_config(), None)
    assert (
        with_results(card, [made_results("0" * 64, wa=1, ua=1)], weights="1" * 64, name="x") == card
    )


def test_other_weights_have_another_hash(tmp_path):
    found = set()
    for name, data in (("a", b"1"), ("a", b"2"), ("b", b"2")):
        folder = tmp_path / f"{name}{data!r}"
        folder.mkdir()
        (folder / f"{name}.safetensors").write_bytes(data)
        found.add(weights_hash(folder))
    assert len(found) == 3


def test_the_card_says_what_the_law_forbids_and_whether_it_is_calibrated():
    card = card_of(tiny_config(), None)
    assert "Article 5(1)(f)" in card and "education" in card
    assert "It has not been fitted" in card
    assert "temperature of 2.5 before" in card_of(tiny_config(temperature=2.5), None)
    assert "It was fitted" in card_of(tiny_config(temperature=2.5), None)


def test_the_card_names_the_encoders():
    assert "(`hubert`, 2 layers of 32)" in card_of(tiny_config(), None)
    assert "(`bert`, 2 layers of 16)" in card_of(tiny_config(), None)
    alone = card_of(tiny_config(use_text=False), None)
    assert "text encoder" not in alone


def test_the_example_loads_the_model_by_a_name_that_works(tmp_path):
    config = tiny_config()
    config.save_pretrained(tmp_path)
    text = card_to_push(config, tmp_path, [], repo="you/emotions")
    assert 'pipeline("audio-classification", model="you/emotions"' in text
    write_model_card(config, tmp_path)
    assert f'model="{tmp_path.name}"' in (tmp_path / "README.md").read_text()
    for placeholder in ("this/model", "TODO", "example.com"):
        assert placeholder not in text


def test_the_card_has_code_citation_and_further_heads():
    tasks = {"gender": {"labels": ["female", "male"]}, "arousal": {"mean": 3.0, "std": 1.0}}
    training = TRAINING | {"commit": "0123456789abcdef"}
    text = card_of(tiny_config(tasks=tasks, training=training), None)
    assert "- gender: female, male\n- arousal: a number" in text and "tasks=True" in text
    assert "commit 0123456789ab;" in text and "eprint = {2312.11503}" in text
    assert f"version = {{{__version__}}}" in text
    assert "tasks=True" not in card_of(tiny_config(training=training), None)


def test_the_card_says_where_training_clips_were_cleaned_otherwise():
    cleaning = Cleaning().to_dict()
    training = TRAINING | {"cleaning": cleaning, "settings": {"poor_recordings": 0.6}}
    same = card_of(tiny_config(training=training, cleaning=cleaning), None)
    other = card_of(tiny_config(training=training, cleaning=cleaning | {"voiced": True}), None)
    assert "Most training clips" not in same
    assert "Most training clips were cleaned with voiced False; their degraded copies" in other


def test_each_result_is_in_the_front_matter_once(tmp_path):
    """The benchmark of RAVDESS and that of all corpora score the same clips of RAVDESS."""
    (tmp_path / "model.safetensors").write_bytes(b"some weights")
    ours = weights_hash(tmp_path)
    first = made_results(ours, wa=0.51, ua=0.49)
    second = made_results(ours, wa=0.52, ua=0.48) | {"benchmark": "cross_corpus"}
    second["rows"][0]["corpus"] = "ravdess"
    card = with_results(card_of(tiny_config(), None), [second, first], weights=ours, name="tiny")
    values = [entry.metric_value for entry in ModelCard(card).data.eval_results]
    assert values == [51.0, 49.0]
