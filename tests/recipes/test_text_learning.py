"""Training of the text branch: GoEmotions, the text sampler, and the text stage."""

import json
import random
from itertools import pairwise
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from transformers import BertModel, BertTokenizer

from corpus_builder.labels import VOTE_CLASSES
from hub_model.labels import EMOTIONS
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from recipes.mini.text_stage import (
    DrawnBatches,
    TextClassifier,
    TextConfig,
    Tokens,
    draw_weights,
    main,
    soft_targets,
    train_text,
)
from speech_emotion.training import fit
from speech_emotion.training.augment import augmenter
from speech_emotion.training.build import freeze, set_training, train_wordpiece
from speech_emotion.training.goemotions import FOLDED, Comments, read_comments, read_texts
from speech_emotion.training.parsing import ConfigError
from speech_emotion.training.provenance import read_stages
from speech_emotion.training.text_only import fit_text_only_classifier, text_only_logits
from speech_emotion.training.text_sampler import TextSampler
from tests.helpers.tiny_models import tiny_model, tiny_processor
from tests.helpers.training_fixtures import reset_accelerate
from tests.helpers.training_runs import same, weights

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "goemotions"
NAMES = sorted({name for names in FOLDED.values() for name in names}) + ["neutral"]
WORDS = {
    "anger": "furious", "relief": "phew", "disgust": "gross", "fear": "scared",
    "joy": "yay", "sadness": "sorry", "surprise": "wow", "neutral": "table",
}  # fmt: skip


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """GoEmotions in small: one telling word an emotion, among filler."""
    root = tmp_path_factory.mktemp("goemotions")
    (root / "labels.txt").write_text("\n".join(NAMES))
    fillers = ["this is", "it was so", "well", "they said", "oh"]
    generator = random.Random(0)
    for split, size in (("train", 400), ("dev", 80), ("test", 80)):
        lines = []
        for i in range(size):
            name = list(WORDS)[i % len(WORDS)]
            text = f"{generator.choice(fillers)} {WORDS[name]} {generator.choice(fillers)}"
            lines.append(f"{text}\t{NAMES.index(name)}\tid{i}")
        (root / f"{split}.tsv").write_text("\n".join(lines))
    return root


def test_every_label_of_goemotions_is_folded_once():
    folded = [name for names in FOLDED.values() for name in names]
    assert tuple(FOLDED) == EMOTIONS
    assert len(folded) == len(set(folded)) == 27


def test_comments_that_say_two_things_are_left_out(tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join(NAMES))
    ids = {name: NAMES.index(name) for name in NAMES}
    rows = [
        ("two of one kind", f"{ids['anger']},{ids['annoyance']}"),
        ("two kinds", f"{ids['anger']},{ids['joy']}"),
        ("one and neutral", f"{ids['joy']},{ids['neutral']}"),
        ("[NAME] sat", f"{ids['neutral']}"),
    ]
    (tmp_path / "train.tsv").write_text("\n".join(f"{t}\t{i}\tx" for t, i in rows))
    comments = read_comments(tmp_path, "train")
    assert comments == Comments(["two of one kind", "Alex sat"], [EMOTIONS.index("angry"), None])


@pytest.mark.skipif(not REAL.exists(), reason="GoEmotions is not here")
def test_the_real_labels_fit():
    comments = read_comments(REAL, "dev")
    assert set(comments.labels) == {None, *range(7)}
    assert set((REAL / "labels.txt").read_text().split()) == set(NAMES)


def test_a_folder_that_is_something_else_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"labels\.txt: cannot be read"):
        read_comments(tmp_path, "train")
    (tmp_path / "labels.txt").write_text("joy")
    (tmp_path / "train.tsv").write_text("only text\n")
    with pytest.raises(ConfigError, match="not in the layout of GoEmotions"):
        read_comments(tmp_path, "train")


def test_texts_are_drawn_in_their_shares(folder):
    text_sampler = TextSampler(read_comments(folder, "train"), matched=0.5, neutral=0.2)
    torch.manual_seed(0)
    happy = EMOTIONS.index("happy")
    picked = [text_sampler.pick(happy, "own") for _ in range(2000)]
    shares = {
        "matched": np.mean(["yay" in text for text in picked]),
        "neutral": np.mean(["table" in text for text in picked]),
        "own": np.mean([text == "own" for text in picked]),
    }
    assert shares == pytest.approx({"matched": 0.5, "neutral": 0.2, "own": 0.3}, abs=0.04)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"matched": 0.5}, "no comments"),
        ({"comments": "x", "share": 1}, "unknown key share"),
        ({"comments": "x"}, "cannot be read"),
    ],
)
def test_wrong_text_pairs_are_refused(settings, line, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=line):
        TextSampler.from_settings(settings)


def test_shares_must_be_shares(folder):
    comments = read_comments(folder, "train")
    with pytest.raises(ConfigError, match="at most 1"):
        TextSampler(comments, matched=0.8, neutral=0.3)
    with pytest.raises(ConfigError, match="no comments for angry"):
        TextSampler(Comments(["a"], [None]))


def test_targets_are_smoothed_and_shared_with_the_teacher():
    targets = soft_targets([2, 7], 0.0, None, 0.5)
    assert targets.tolist() == [[0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]]
    teacher = torch.tensor([[0.5, 0.5, 0, 0, 0, 0, 0, 0]])
    (targets,) = soft_targets([2], 0.08, teacher, 0.25).tolist()
    assert targets[:4] == pytest.approx([0.1325, 0.1325, 0.6975, 0.0075])
    assert sum(targets) == pytest.approx(1)


def test_a_label_is_drawn_as_the_root_of_its_number():
    labels = [0] * 16 + [1] * 4 + [7] * 100
    weights = draw_weights(labels)
    shares = [float(weights[[i for i, x in enumerate(labels) if x == name]].sum()) for name in
              (0, 1, 7)]  # fmt: skip
    assert shares == pytest.approx([4, 2, 10])


def test_batches_are_drawn_by_weight_and_of_similar_length():
    lengths = [1, 9, 2, 8, 3, 7, 100]
    batches = DrawnBatches(torch.tensor([1.0] * 6 + [0.0], dtype=torch.double), lengths, 3)
    torch.manual_seed(0)
    drawn = list(batches)
    assert len(drawn) == len(batches) == 3
    assert sorted(map(len, drawn)) == [1, 3, 3]
    assert all(6 not in batch for batch in drawn)
    spans = sorted((min(lengths[i] for i in batch), max(lengths[i] for i in batch))
                   for batch in drawn)  # fmt: skip
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_words_are_masked_but_not_the_special_tokens():
    tokenizer = train_wordpiece(["it was so scared of it"] * 3, 80)
    tokens = Tokens(tokenizer, 16)
    whole = tokens(["it was so", "scared"])
    masked = tokens(["it was so", "scared"], mask_share=1.0)
    words = (whole["input_ids"] != tokenizer.cls_token_id) & (
        whole["input_ids"] != tokenizer.sep_token_id
    ) & (whole["attention_mask"] == 1)  # fmt: skip
    assert (masked["input_ids"][words] == tokenizer.mask_token_id).all()
    assert torch.equal(masked["input_ids"][~words], whole["input_ids"][~words])
    assert torch.equal(masked["attention_mask"], whole["attention_mask"])


@pytest.fixture
def write_settings(tmp_path):
    """Write a YAML file; return its name."""

    def write(settings: dict) -> str:
        path = tmp_path / "text.yaml"
        path.write_text(yaml.safe_dump(settings))
        return str(path)

    return write


def test_the_text_stage_learns_and_its_folder_loads(folder, tmp_path, write_settings):
    settings = {
        "data": str(folder),
        "model": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                  "intermediate_size": 64, "max_position_embeddings": 32},
        "vocab_size": 200, "num_train_epochs": 6, "per_device_train_batch_size": 16,
        "learning_rate": 0.003, "warmup_steps": 5,
    }  # fmt: skip
    out = tmp_path / "text"
    assert main(["--config", write_settings(settings), "--output-dir", str(out)]) == 0
    figures = json.loads((out / "stage.json").read_text())
    assert figures["test"]["macro_f1"] > 0.9
    assert figures["test"]["macro_f1_emotions"] > 0.9
    assert figures["test"]["comments"] == 80
    assert figures["licences"] == {"goemotions": "cc-by-4.0"}
    assert BertModel.from_pretrained(out, add_pooling_layer=False).config.hidden_size == 32
    assert BertTokenizer.from_pretrained(out).model_max_length == 32


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 16, "max_position_embeddings": 16}


def test_a_pretrained_encoder_is_tuned_and_teaches(folder, tmp_path):
    """The student of a teacher that knows the words learns them from its targets alone."""

    def train(name, epochs, **settings):
        reset_accelerate()
        places = {"data": str(folder), "output_dir": str(tmp_path / name)}
        steps = {"per_device_train_batch_size": 16, "learning_rate": 3e-3, "warmup_steps": 5}
        return train_text(TextConfig(num_train_epochs=epochs, **places, **steps | settings))

    small = {"model": SMALL, "vocab_size": 150}
    train("start", 6, **small)
    again = train("again", 6, init_from=str(tmp_path / "start"))
    still = train("still", 1, init_from=str(tmp_path / "start"), learning_rate=1e-9)
    assert still["test"]["macro_f1"] < 0.9 < again["test"]["macro_f1"]  # its linear layer is new
    before, after = weights(tmp_path / "start"), weights(tmp_path / "still")
    assert all(torch.allclose(before[key], after[key], atol=1e-5) for key in before)
    assert again["licences"] == {"goemotions": "cc-by-4.0", "start": "unknown"}
    teacher = str(tmp_path / "again")
    taught = train("taught", 6, **small, teacher=teacher, teacher_weight=1.0)
    assert taught["test"]["macro_f1"] > 0.7
    assert [stage["stage"] for stage in read_stages(tmp_path / "taught")] == ["text", "text"]
    head = TextClassifier.load(tmp_path / "taught").head
    assert head.out_features == 8
    with pytest.raises(ConfigError, match="teacher .*cannot be loaded"):
        train("none", 6, **small, teacher=str(tmp_path / "nowhere"))


def test_a_stopped_text_stage_resumes_bit_for_bit(folder, tmp_path, monkeypatch):
    def train(name, **settings):
        reset_accelerate()
        places = {"data": str(folder), "output_dir": str(tmp_path / name)}
        defaults = {"model": SMALL, "vocab_size": 150, "num_train_epochs": 3}
        return train_text(TextConfig(**defaults, **places, **settings))

    expected = train("whole")
    save_state = fit.save_state

    def stop_after_the_first_epoch(*given):
        save_state(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit, "save_state", stop_after_the_first_epoch)
        train("parts")
    assert train("parts", resume=True) == expected
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_the_data_set_of_the_hub_gives_the_comments_of_the_files(folder, tmp_path):
    """A copy of the data set in the layout that it has on the Hub."""
    labels = datasets.Sequence(datasets.ClassLabel(names=NAMES))
    columns = datasets.Features({"text": datasets.Value("string"), "labels": labels})
    copy = tmp_path / "copy"
    files = []
    for split, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        lines = [line.split("\t") for line in (folder / f"{name}.tsv").read_text().splitlines()]
        content = {
            "text": [line[0] for line in lines],
            "labels": [[int(number) for number in line[1].split(",")] for line in lines],
        }
        file = f"simplified/{split}-00000-of-00001.parquet"
        (copy / "simplified").mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(content, features=columns).to_parquet(copy / file)
        files.append({"split": split, "path": file})
    card = yaml.safe_dump({"configs": [{"config_name": "simplified", "data_files": files}]})
    (copy / "README.md").write_text(f"---\n{card}---\n")
    for name in ("train", "dev", "test"):
        assert read_comments(copy, name) == read_comments(folder, name)
    assert read_texts(copy, "train") == read_texts(folder, "train")
    with pytest.raises(ConfigError, match="cannot be read as GoEmotions"):
        read_comments(copy, "nothing")


def test_the_text_stage_refuses_in_one_line(tmp_path, write_settings, capsys):
    config = write_settings({"data": str(tmp_path / "nowhere")})
    assert main(["--config", config, "--output-dir", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_text_pairs_augmentation_and_freezing_in_a_run(run, folder, tmp_path):
    settings = {"text_pairs": {"comments": str(folder)}, "augment": 0.5, "num_train_epochs": 1}
    run("start", **settings)
    start = str(tmp_path / "start")
    for name, parts in (("free", []), ("frozen", ["text_model"])):
        run(name, **settings, init_from=start, freeze=parts, learning_rate=1e-3, warmup_steps=0)
    before, free, frozen = (
        HubertBertForEmotion.from_pretrained(tmp_path / name).text_model.state_dict()
        for name in ("start", "free", "frozen")
    )
    assert all(torch.equal(before[key], frozen[key]) for key in before)
    assert any(not torch.equal(before[key], free[key]) for key in before)
    layer = HubertBertForEmotion.from_pretrained(start).text_only_classifier
    assert layer.weight.shape == (7, layer.in_features) and layer.weight.any()


@pytest.mark.parametrize("labels", [EMOTIONS, VOTE_CLASSES])
def test_text_without_audio_is_classified_as_the_comments_are(labels, tmp_path):
    """A sentence that says nothing has their frequencies, by the square root of their number."""
    model, processor = tiny_model(id2label=dict(enumerate(labels))), tiny_processor()
    counts = {"anger": 16, "joy": 64, "neutral": 100} | dict.fromkeys(
        ["relief", "disgust", "fear", "sadness", "surprise"], 4
    )
    (tmp_path / "labels.txt").write_text("\n".join(counts))
    rows = [f"it was so\t{i}\tid" for i, count in enumerate(counts.values()) for _ in range(count)]
    (tmp_path / "train.tsv").write_text("\n".join(rows))
    fit_text_only_classifier(model, processor, str(tmp_path))
    (found,) = text_only_logits(model, processor, ["it was so"])
    expected = np.log([4, 2, 2, 2, 8, 2, 2, 10][: len(labels)])
    assert found - found.mean() == pytest.approx(expected - expected.mean(), abs=1e-2)

    rows += ["leave me alone\t0\tid"] * 40  # angry
    (tmp_path / "train.tsv").write_text("\n".join(rows))
    fit_text_only_classifier(model, processor, str(tmp_path))
    plain, angry = text_only_logits(model, processor, ["it was so", "leave me alone"])
    assert angry.argmax() == 0 and plain.argmax() != 0

    (tmp_path / "train.tsv").write_text("\n".join(row for row in rows if "\t1\t" not in row))
    with pytest.raises(ConfigError, match=f"{tmp_path}: no comment is happy"):
        fit_text_only_classifier(model, processor, str(tmp_path))


def test_an_unknown_part_cannot_be_frozen(run):
    with pytest.raises(ConfigError, match="no part 'speech'"):
        run("x", freeze=["speech"])


def test_frozen_parts_have_no_gradient():
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(1, 1), "b": torch.nn.Linear(1, 1)})
    freeze(model, ["a"])
    assert [weight.requires_grad for weight in model.parameters()] == [False, False, True, True]


def test_a_frozen_encoder_is_still_and_costs_no_backward_pass():
    model = tiny_model()
    freeze(model, ["audio_model"])
    set_training(model, ["audio_model"])
    batch = {"input_values": torch.randn(2, 8000)}
    assert model.training
    assert not model.audio_model.training
    # Nothing before the head has a gradient: the graph starts at the pooled vector.
    assert not model.audio_model(**batch).last_hidden_state.requires_grad
    model(**batch, labels=torch.tensor([0, 1])).loss.backward()
    trained = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert trained == {"classifier.weight", "classifier.bias"}


def test_augmentation_changes_a_clip_and_follows_the_seed():
    time = np.arange(16_000) / 16_000
    clip = (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)

    def changed(seed: int) -> np.ndarray:
        random.seed(seed)
        np.random.seed(seed)
        return augmenter(1.0)(clip)

    first, again, other = changed(1), changed(1), changed(2)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert first.size != other.size
    assert 16_000 / 1.2 < first.size < 16_000 / 0.8
