"""The RAVDESS benchmark of the Space: the figures of `evaluate_benchmarks.py ravdess`."""

import functools
import json
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import benchmark_tab
import datasets
import numpy as np
import pandas as pd
import pytest
import ravdess_benchmark
from classifier import Classifier
from clips import ClipError
from huggingface_hub import HfApi
from ravdess_clips import open_clips
from ravdess_scores import PAPER, Prediction, draw_confusion, markdown, overlap, score
from sklearn.metrics import accuracy_score, balanced_accuracy_score

import evaluate_benchmarks
from corpus_builder.build import BuildConfig, build
from corpus_builder.labels import SYNONYMS
from corpus_builder.sources.ravdess import Ravdess
from hub_model.labels import EMOTIONS
from speech_emotion import metrics
from speech_emotion.evaluation import ravdess
from speech_emotion.evaluation.labels import LEFT_OUT, RELATED
from speech_emotion.evaluation.leaks import TrainingRecord
from speech_emotion.evaluation.ravdess import PAPER_TABLE_9
from tests.helpers.answers import same_predictions
from tests.helpers.made_benchmark import NO_CLEANING, split_speakers, write_model, write_ravdess
from tests.helpers.space_server import ROOT, Settings, copy_space


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A working folder with raw/, raw.zip, corpus/ and models; the tests run inside it."""
    root = tmp_path_factory.mktemp("benchmark")
    write_ravdess(root / "raw")
    (root / "raw" / "Actor_01" / "notes.wav").write_bytes(b"")
    (root / "raw" / "Actor_02" / "03-02-05-01-01-01-02.wav").write_bytes(b"sung")
    bad = root / "raw" / "Actor_03" / "03-01-05-01-01-01-03.wav"
    bad.write_bytes(b"this is no audio")
    shutil.make_archive(str(root / "raw"), "zip", root / "raw")
    build([Ravdess(root / "raw")], BuildConfig(out=root / "corpus", cleaning=NO_CLEANING))
    trained = [f"ravdess-{actor:02d}" for actor in (1, 2)]
    write_model(root / "new-voices", {"protocol": "speaker_disjoint", "speakers": ["savee-DC"]})
    for name, training in {
        "leaky": {"protocol": "speaker_disjoint", "speakers": trained},
        "unrecorded": None,
    }.items():
        shutil.copytree(root / "new-voices", root / name)
        config = json.loads((root / name / "config.json").read_text())
        (root / name / "config.json").write_text(json.dumps(config | {"training": training}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", root / "cache")
        # Only the results of models are compared.
        for name in ("_score_baseline", "_score_folds"):
            patch.setattr(ravdess, name, lambda *arguments: None)
        yield root


@functools.cache
def cached(data: str, *more: str) -> dict:
    """The result of the Space for the model without test speakers in its training data."""
    return ours(data, "new-voices", *more)


def ours(data: str, model: str, *more: str) -> dict:
    command = [data, "--model", model, "--trust-remote-code", "--json", "ours.json", *more]
    assert ravdess_benchmark.main(command) == 0
    return json.loads(Path("ours.json").read_text())


def theirs(data: str, model: str, *more: str) -> tuple[dict, pd.DataFrame]:
    command = ["ravdess", "--model", model, "--data", data, "--out", "theirs.json", *more]
    assert evaluate_benchmarks.main(command) == 0
    results = json.loads(Path("theirs.json").read_text())["rows"]
    (result,) = (result for result in results if result["kind"] == "model")
    table = pd.read_parquet("theirs.predictions.parquet")
    return result, table[table["system"] == model]


def same_figures(one: dict, other: dict) -> None:
    """`one` is the Space's, `other` the repository's."""
    for figure in ("clips", "speakers", "unanswered", "wa", "ua", "ua_plus_wa", "recall"):
        assert one[figure] == pytest.approx(other[figure], abs=1e-9), figure
    assert one["confusion"] == other["confusion"]
    for figure in ("wa", "ua", "ua_plus_wa"):
        interval = other["bootstrap"]["over_speakers"][figure]
        assert one["interval"][figure] == pytest.approx(interval, abs=1e-9), figure


@pytest.mark.parametrize("text", ["corpus", "none"])
def test_the_same_figures_as_the_repository(text):
    result = cached("raw", "--text", text)
    theirs_result, table = theirs("raw", "new-voices", "--text", text)
    same_figures(result["scores"], theirs_result["scores"])
    assert result["scores"]["clips"] == 70 and result["scores"]["unanswered"] == 1
    probabilities = {f"ravdess-{Path(a['name']).stem}": a["scores"] for a in result["answers"]}
    for clip in table.itertuples():
        mine = probabilities[clip.utterance_id]
        if isinstance(clip.error, str):
            assert mine is None
            continue
        expected = [getattr(clip, f"p_{name}") for name in EMOTIONS]
        assert [mine[name] for name in EMOTIONS] == pytest.approx(expected, abs=1e-4)
    assert result["unseen"] is None


def test_the_text_is_used():
    one, other = cached("raw", "--text", "corpus"), cached("raw", "--text", "none")
    assert one["answers"][0]["scores"] != other["answers"][0]["scores"]


def test_a_zip_gives_what_its_folder_gives():
    one, other = cached("raw.zip"), cached("raw", "--text", "corpus")
    assert one["answers"] == other["answers"] and one["scores"] == other["scores"]
    assert one["data"] == "raw.zip"


def test_speakers_of_the_training_data_are_reported_and_left_out(capsys):
    result = ours("raw", "leaky")
    assert result["overlap"]["speakers"] == ["ravdess-01", "ravdess-02"]
    assert result["scores"]["speakers"] == 5 and result["scores"]["clips"] == 70
    without, _ = theirs("raw", "leaky")  # which leaves them out
    same_figures(result["unseen"], without["scores"])
    assert "**LEAK: the model was trained on 2 of the 5 speakers**" in capsys.readouterr().out
    ours("raw", "unrecorded")
    assert "Unknown whether the model was trained on these speakers" in capsys.readouterr().out
    ours("raw", "new-voices")
    assert "the training record has none of these speakers" in capsys.readouterr().out


@pytest.mark.parametrize(
    "training",
    [
        None,
        {"speakers": ["ravdess-01", "tess-OAF"], "data": ["ravdess", "tess"]},
        {"speakers": ["tess-OAF"], "data": ["tess"], "stages": [{"licences": {"ravdess": "cc"}}]},
        {"stages": [{"speakers": ["ravdess-02"], "data": ["RAVDESS"]}]},
        {"stages": [{"data": ["ravdess"]}]},
        {"speakers": [], "data": ["ravdess"], "licences": {"ravdess": "cc"}},
    ],
)
def test_a_training_record_is_read_as_the_leak_guard_reads_it(training):
    speakers = {"ravdess-01", "ravdess-02"}
    found, record = overlap(training, speakers), TrainingRecord.of(training)
    assert found["known"] == (record.speakers is not None)
    if found["known"]:
        assert found["speakers"] == sorted(record.speakers & speakers)
        assert found["perhaps"] == ("ravdess" in record.unnamed)


def test_the_report_has_protocol_paper_and_removals(capsys):
    result = ours("raw", "new-voices", "--markdown", "report.md")
    report = Path("report.md").read_text()
    assert capsys.readouterr().out == report
    assert PAPER == PAPER_TABLE_9 and result["paper_table_9"] == PAPER_TABLE_9
    assert "| paper, Table 9, as printed | 78.45 | 79.31 | 157.76 |" in report
    assert (
        "neutral removed, every clip given is scored; raw; text: the sentence of the corpus"
        in report
    )
    assert result["removed"] == {"neutral": 10} and "Removed: 10 clips (neutral)." in report
    assert "Not read: Actor_01/notes.wav: not the name of a spoken clip" in report
    assert list(result["errors"]) == ["Actor_03/03-01-05-01-01-01-03.wav"]
    assert "counted as an error: Actor_03/03-01-05-01-01-01-03.wav: This file could not" in report
    assert result["seconds"] > 0 and result["versions"]["transformers"]


@pytest.mark.slow
def test_the_folder_alone_runs_the_benchmark_on_a_corpus_of_the_hub(hub, folder, tmp_path):
    """Without this repository: the model comes with its code."""
    local = ours("corpus", "leaky", "--split", "train")
    api = HfApi(endpoint=hub.url, token=hub.token)
    for name, private in (("owner/corpus", False), ("owner/secret", True)):
        api.create_repo(name, repo_type="dataset", private=private)
        api.upload_folder(folder_path=folder / "corpus", repo_id=name, repo_type="dataset")
    code = f"""
        import sys
        sys.path.insert(0, {str(copy_space(tmp_path / "copy"))!r})
        from clips import ClipError
        from ravdess_benchmark import main
        from ravdess_clips import Limits, open_clips
        out = {str(tmp_path / "hub.json")!r}
        assert main(["owner/corpus", "--split", "train", "--json", out]) == 0
        limits = Limits(max_files=1000, max_megabytes=100)
        with open_clips("owner/corpus", limits=limits, token=False) as clips:
            print(len(list(clips.found)))
        for name, few in (("owner/secret", limits), ("owner/corpus", Limits(max_files=3))):
            try:
                with open_clips(name, limits=few, token=False) as clips:
                    list(clips.found)
            except ClipError as error:
                print(error)
    """
    env = hub.env(folder, SER_MODEL=str(folder / "leaky"))
    *report, count, secret, many = hub.run(code, env=env).splitlines()
    assert any("LEAK" in line for line in report)
    remote = json.loads((tmp_path / "hub.json").read_text())
    assert remote["data"] == "owner/corpus (speaker_disjoint, train)"
    assert remote["scores"] == local["scores"]
    same_predictions(remote["answers"], local["answers"])
    assert not list((folder / "hf_home").rglob("*.parquet"))  # nothing is stored on disk
    speakers = split_speakers(folder / "corpus", "speaker_disjoint", "test")
    # ravdess-03 has an unusable clip
    assert int(count) == 7 * 2 * len(speakers) - ("ravdess-03" in speakers)
    assert "owner/secret: the data set cannot be read" in secret  # although the server's token can
    assert "too large; at most 3 clips" in many


def test_a_corpus_gives_the_figures_of_the_repository():
    expected, _ = theirs("corpus", "new-voices", "--split", "train")
    same_figures(cached("corpus", "--split", "train")["scores"], expected["scores"])


@pytest.mark.parametrize("name", ["../corpus", "corpus", "/etc", "a/../b", "", "raw/Actor_01"])
def test_a_visitor_cannot_name_a_folder_of_the_server(name):
    classifier = Classifier(Settings("new-voices"))
    with pytest.raises(ClipError, match=r"no data set id|one of the two"):
        next(benchmark_tab.steps(classifier, None, name, config="paper", text="none"))


def test_a_zip_is_gone_after_its_benchmark(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_clips("raw.zip") as clips:
        assert len(list(tmp_path.rglob("*.wav"))) > 70
        assert clips.total == 70
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: neither a folder, nor a zip file, nor a data set id"),
        (["empty"], "empty: no spoken clip of RAVDESS"),
        (["raw", "--model", "./nothing"], "The model ./nothing could not be loaded"),
        (["no.zip"], "no zip file, or a damaged one"),
        (["raw", "--json", "no-such-folder/out.json"], "No such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, capsys, folder):
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "no.zip").write_text("text")
    if "--model" not in arguments:
        arguments = [*arguments, "--model", "new-voices", "--trust-remote-code"]
    assert ravdess_benchmark.main(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err.splitlines()[-1] and captured.err.splitlines()[-1][:7] == "error: "
    assert "Traceback" not in captured.err or "could not be loaded" in words
    assert captured.out == ""


def test_code_of_a_model_runs_only_with_the_option_or_if_it_is_configured(monkeypatch, capsys):
    assert ravdess_benchmark.main(["raw", "--model", "new-voices"]) == 2
    assert "--trust-remote-code" in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setenv("SER_MODEL", "new-voices")
    assert ravdess_benchmark.main(["raw"]) == 0


def test_other_labels_are_read_as_the_repository_reads_them():
    expected = {name: set(words) for name, words in SYNONYMS.items()}
    expected["happy"] |= RELATED
    assert {name: set(words) for name, words in ravdess_benchmark.SYNONYMS.items()} == expected
    found = ravdess_benchmark.emotions_of([*LEFT_OUT, "HAP", "Pleasant_Surprise"])
    assert Counter(found.values()) == {None: len(LEFT_OUT), "happy": 1, "surprised": 1}


def test_a_stock_classifier_is_scored_too(stock_model):
    result = ours("raw", str(stock_model))
    expected, _ = theirs("raw", str(stock_model))
    assert result["scores"]["wa"] == pytest.approx(expected["scores"]["wa"])
    assert result["scores"]["clips"] == 70


def random_predictions(clips: int) -> list[Prediction]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(clips):
        label, predicted = rng.choice(EMOTIONS, size=2)
        if number % 10 == 0:
            predicted = None
        found.append(
            Prediction(name=str(number), speaker=f"s{number % 4}", label=label, predicted=predicted)
        )
    return found


def test_scores_against_scikit_learn_and_the_metrics_room():
    random = random_predictions(200)
    number = {name: index for index, name in enumerate(EMOTIONS)} | {None: metrics.NO_ANSWER}
    references = [number[one.label] for one in random]
    predictions = [number[one.predicted] for one in random]
    found = score(random)
    assert found["wa"] == pytest.approx(accuracy_score(references, predictions))
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert found["ua"] == pytest.approx(balanced_accuracy_score(references, predictions))
    expected = metrics.bootstrap_interval(
        metrics.ua, references, predictions, speakers=[one.speaker for one in random]
    )
    assert found["interval"]["ua"] == pytest.approx(expected)
    assert found["unanswered"] == 20


def test_an_emotion_that_does_not_occur_and_one_speaker_alone():
    right = Prediction(name="1", speaker="s", label="calm", predicted="calm")
    found = score([right, Prediction(name="2", speaker="s", label="sad", predicted="calm")])
    assert (found["wa"], found["ua"]) == (0.5, 0.5)
    assert found["recall"]["angry"] is None and found["interval"]["wa"] is None


def test_the_picture_shows_every_cell():
    picture = draw_confusion(score(random_predictions(50)))
    assert picture.dtype == np.uint8 and picture.shape[2] == 4 and picture.shape[0] > 400
    assert len(np.unique(picture.reshape(-1, 4), axis=0)) > 20


def test_markup_in_a_name_stays_in_its_cell():
    result = {
        "model": "a|b",
        "data": "x",
        "text_meaning": "text",
        "emotions": EMOTIONS,
        "overlap": {"known": True, "speakers": [], "perhaps": False},
        "scores": score(random_predictions(20)),
        "unseen": None,
        "removed": {},
        "rejected": [],
        "errors": {},
    }
    assert "| a\\|b, all clips given |" in markdown(result)


@pytest.mark.slow
@pytest.mark.skipif(
    not (ROOT.parent / "shared" / "data" / "RAVDESS").is_dir(), reason="RAVDESS is not here"
)
def test_real_clips_give_the_repositorys_figures(folder):
    with zipfile.ZipFile(folder / "real.zip", "w") as archive:
        for clip in sorted((ROOT.parent / "shared" / "data" / "RAVDESS").rglob("*-02-02-0?.*")):
            archive.write(clip, clip.name)
    with zipfile.ZipFile(folder / "real.zip") as archive:
        archive.extractall(folder / "real")
    result = ours("real.zip", "new-voices")
    expected, _ = theirs("real", "new-voices")
    same_figures(result["scores"], expected["scores"])


def test_open_clips_reads_any_layout(folder, tmp_path):
    for clip in list((folder / "raw" / "Actor_01").glob("03-01-0[45]*.wav")):
        shutil.copy(clip, tmp_path / clip.name)
        shutil.copy(clip, tmp_path / clip.with_suffix(".WAV").name)
    with open_clips(str(tmp_path)) as clips:
        assert sorted(clip.label for clip in clips.found) == ["angry", "angry", "sad", "sad"]
        assert len(clips.rejected) == 4 and "a second file of this name" in clips.rejected[0]
