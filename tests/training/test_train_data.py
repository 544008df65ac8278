import json

import numpy as np
import pytest
from datasets import ClassLabel

import train
from corpus_builder.reading import open_corpus
from corpus_builder.records import features
from hub_model.audio import SAMPLING_RATE, load_audio
from hub_model.labels import EMOTIONS
from hub_model.processing_hubert_bert import HubertBertProcessor
from speech_emotion.training.config import ConfigError, TrainConfig
from speech_emotion.training.data import (
    Clips,
    collator,
    corpus_cleaning,
    load_splits,
    speakers_and_fingerprint,
    texts_for_vocabulary,
)
from tests.helpers.toy_corpus import flac, rows, tone, write_corpus


def without(column):
    return type(features())({k: v for k, v in features().items() if k != column})


def other_order():
    return type(features())(features() | {"label": ClassLabel(names=list(EMOTIONS[::-1]))})


@pytest.mark.parametrize("protocol", ["speaker_disjoint", "paper"])
def test_both_protocols_are_opened(corpus, protocol):
    splits = load_splits(TrainConfig(data=str(corpus), protocol=protocol), EMOTIONS)
    assert {name: len(part) for name, part in splits.items()} == {"train": 12, "validation": 4}


def test_limit_takes_so_many_clips_of_each_split_and_the_same_ones_again(corpus):
    taken = [load_splits(TrainConfig(data=str(corpus), limit=3), EMOTIONS) for _ in range(2)]
    assert {len(part) for part in taken[0].values()} == {3}
    assert taken[0]["train"]["utterance_id"] == taken[1]["train"]["utterance_id"]
    # The first rows of a corpus may all be of one speaker.
    assert taken[0]["train"]["utterance_id"] != ["toy-01-0-0", "toy-01-0-1", "toy-01-5-0"]


def test_a_corpus_built_anew_in_its_place_is_not_answered_from_the_cache(tmp_path):
    folder = tmp_path / "corpus"
    assert len(open_corpus(str(write_corpus(folder)), "paper", split="train")) == 12
    write_corpus(folder, train=rows((1,)))
    assert len(open_corpus(str(folder), "paper", split="train")) == 4


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"columns": without("speaker_id")}, "no column speaker_id"),
        ({"columns": other_order()}, "its labels are surprised, sad, "),
        ({"train": []}, 'Instruction "train" corresponds to no data'),
        ({"validation": []}, 'Instruction "validation" corresponds to no data'),
    ],
)
def test_a_corpus_that_does_not_fit_is_refused(refusal, tmp_path, made, message):
    corpus = write_corpus(tmp_path / "corpus", **made)
    arguments = ["--data", str(corpus), "--out", str(tmp_path / "model")]
    assert message in refusal(train.main, arguments)


def test_a_corpus_without_validation_is_refused(tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    card = (corpus / "README.md").read_text().replace("split: validation", "split: dev")
    (corpus / "README.md").write_text(card)
    with pytest.raises(ConfigError, match="no validation split in 'speaker_disjoint'"):
        load_splits(TrainConfig(data=str(corpus)), EMOTIONS)


def test_a_missing_corpus_is_refused(refusal, tmp_path):
    missing = str(tmp_path / "nowhere")
    line = refusal(train.main, ["--data", missing, "--out", str(tmp_path / "model")])
    assert f"{missing}: no corpus with configuration 'speaker_disjoint'" in line


def test_an_unknown_protocol_is_refused(refusal, corpus, tmp_path):
    arguments = ["--data", str(corpus), "--out", str(tmp_path / "model"), "--protocol", "random"]
    assert "--protocol: invalid choice" in refusal(train.main, arguments)


def test_a_long_clip_is_cut_to_a_stretch_of_itself(tmp_path):
    long = tone(300, seconds=2.0)
    row = rows((1,))[0] | {"audio": {"bytes": flac(long), "path": "long.flac"}}
    corpus = write_corpus(tmp_path / "corpus", train=[row])
    splits = load_splits(TrainConfig(data=str(corpus)), EMOTIONS)
    stored = load_audio(row["audio"])
    starts = set()
    for _ in range(5):
        cut = Clips(splits["train"], max_seconds=0.5)[0]["waveform"]
        assert cut.size == 0.5 * SAMPLING_RATE
        windows = np.lib.stride_tricks.sliding_window_view(stored, cut.size)
        (found,) = np.flatnonzero((windows == cut).all(axis=1))
        starts.add(int(found))
    assert len(starts) > 1


def test_a_batch_is_what_the_processor_makes_of_its_clips(corpus, whole):
    splits = load_splits(TrainConfig(data=str(corpus)), EMOTIONS)
    clips = [Clips(splits["train"])[index] for index in (0, 3)]
    processor = HubertBertProcessor.from_pretrained(whole[0])
    batch = collator(processor)(clips)
    assert batch["labels"].tolist() == splits["train"][[0, 3]]["label"]
    alone = processor(audio=[clips[1]["waveform"]], text=[clips[1]["transcript"]])
    assert batch["input_values"][1].equal(alone["input_values"][0])


def test_cleaning_is_read_from_the_build(tmp_path, offline):
    assert corpus_cleaning(str(tmp_path)) is None
    settings = {"denoise": False}
    (tmp_path / "build.json").write_text(json.dumps({"settings": {"cleaning": settings}}))
    assert corpus_cleaning(str(tmp_path)) == settings
    assert corpus_cleaning("nobody/nothing") is None


def test_texts_are_transcripts_and_the_first_column_of_files(corpus, tmp_path):
    rows_of_train = load_splits(TrainConfig(data=str(corpus)), EMOTIONS)["train"]
    (tmp_path / "comments.tsv").write_text("so good\t17\tabc\nplain line\n")
    texts = texts_for_vocabulary(rows_of_train, [str(tmp_path / "comments.tsv")])
    assert texts == [
        "Dogs are sitting by the door",
        "Kids are talking by the door",
        "so good",
        "plain line",
    ]
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match=r"latin\.txt: cannot be read \(not UTF-8\)"):
        texts_for_vocabulary(None, [str(tmp_path / "latin.txt")])


def test_the_fingerprint_is_of_the_clips_not_of_their_order(corpus):
    part = load_splits(TrainConfig(data=str(corpus)), EMOTIONS)["train"]
    speakers, fingerprint = speakers_and_fingerprint(part)
    assert speakers == ["toy-01", "toy-02", "toy-03"]
    assert speakers_and_fingerprint(part.shuffle(seed=1)) == (speakers, fingerprint)
    assert speakers_and_fingerprint(part.select(range(11)))[1] != fingerprint
