"""Training runs: what is saved, killed runs, several processes, and refusals."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import pipeline

import train
from hub_model.labels import EMOTIONS
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.processing_hubert_bert import HubertBertProcessor
from speech_emotion.training import fit
from speech_emotion.training.config import TrainConfig
from speech_emotion.training.data import Clips, collator, load_splits
from speech_emotion.training.multimodal import EmotionTask
from speech_emotion.training.saving import TrainingFailed
from tests.helpers.toy_corpus import SETTINGS, STILL_MODEL, rows, tone, write_corpus
from tests.helpers.training_runs import ROOT, environment, same, scored, state, weights

KILLED = """
import os, signal, sys
from pathlib import Path
from accelerate import Accelerator
import train, speech_emotion.training.checkpoints as checkpoints, speech_emotion.training.fit as fit

save_state, save = Accelerator.save_state, checkpoints.SpeechTextEmotionPipeline.save_pretrained
models = []

def die_in_the_second_epoch(self):
    folder = Path(save_state(self))
    if folder.name == "checkpoint_1":
        (folder / "optimizer.bin").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

def die_in_the_second_model(self, folder):
    save(self, folder)
    models.append(folder)
    if len(models) == 2:
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        os.kill(os.getpid(), signal.SIGKILL)

def run(arguments, while_the_model_is_written):
    if while_the_model_is_written:
        checkpoints.SpeechTextEmotionPipeline.save_pretrained = die_in_the_second_model
        fit.kept = lambda history, score: history[-1]
    else:
        Accelerator.save_state = die_in_the_second_epoch
    train.main(arguments)

*arguments, first, second = sys.argv[1:]
for out in (first, second):
    child = os.fork()
    if child == 0:
        run([*arguments, out], out == second)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""Two runs that are killed: in the second epoch, and while the second model is written."""


@pytest.fixture(scope="module")
def killed(corpus, tmp_path_factory):
    """The folders of the two runs, and the arguments that they were started with."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    arguments = ["--config", str(folder / "config.yaml"), "--data", str(corpus), "--output-dir"]
    outs = [folder / "epoch", folder / "model"]
    command = [sys.executable, "-c", KILLED, *arguments, *map(str, outs)]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True)
    codes = [line for line in done.stdout.splitlines() if line.lstrip("-").isdigit()]
    assert codes == [str(-signal.SIGKILL)] * 2, done.stderr
    return *outs, arguments


def test_the_checkpoint_serves(whole):
    out, _ = whole
    classifier = pipeline(
        "audio-classification", model=str(out), trust_remote_code=True, transcriber="none"
    )
    answer = classifier(tone(300, seconds=1.0), text="Kids are talking by the door")
    assert {row["label"] for row in answer} == set(EMOTIONS)
    assert sum(row["score"] for row in answer) == pytest.approx(1)
    assert not list(out.parent.glob("*.new")) and not list(out.parent.glob("*.old"))


def test_the_checkpoint_says_what_it_was_trained_on(whole):
    training = json.loads((whole[0] / "training_record.json").read_text())
    assert training["data"] == ["ravdess"]
    assert training["licences"] == {"ravdess": "cc-by-nc-sa-4.0"}
    assert training["protocol"] == "speaker_disjoint"
    assert training["speakers"] == ["toy-01", "toy-02", "toy-03", "toy-04"]
    assert (training["train_clips"], training["validation_clips"]) == (12, 4)
    assert re.fullmatch("[0-9a-f]{64}", training["fingerprint"])
    assert training["fingerprint"] != training["validation_fingerprint"]
    assert len(set(re.findall(r"\b[0-9a-f]{12}\b", training["audio_hashes"]))) == 12 + 4
    assert training["seed"] == 0 and "commit" in training
    assert training["versions"]["torch"] == torch.__version__
    assert training["settings"]["learning_rate"] == SETTINGS["learning_rate"]
    short = json.loads((whole[0] / "config.json").read_text())["training"]
    assert short == {key: value for key, value in training.items() if key != "audio_hashes"}


def test_the_epoch_with_the_best_score_is_kept(run, tmp_path):
    with scored([0.5, 0.9, 0.7]):
        history = run("model")
    assert [row["ua"] for row in history] == [0.5, 0.9, 0.7]
    kept = weights(tmp_path / "model")
    states = {n: weights(state(tmp_path / "model", n)) for n in (2, 3)}
    assert same(kept, states[2]) and not same(kept, states[3])


def test_figures_are_those_of_the_checkpoint_by_clip(whole, corpus):
    out, history = whole
    best = max(history, key=lambda row: row["ua"] + row["wa"])
    model = HubertBertForEmotion.from_pretrained(out).eval()
    collate = collator(HubertBertProcessor.from_pretrained(out))
    config = TrainConfig(data=str(corpus))
    hits, losses = [], []
    for clip in Clips(load_splits(config, EMOTIONS)["validation"]):
        batch = collate([clip])
        with torch.no_grad():
            output = model(**batch)
        hits.append(int(output.logits.argmax()) == clip["label"])
        losses.append(output.loss.item())
    assert best["wa"] == best["ua"] == np.mean(hits)
    assert best["validation_loss"] == pytest.approx(np.mean(losses), abs=1e-4)


def test_two_pitches_are_learnt(run):
    settings = {"model": STILL_MODEL, "gradient_accumulation_steps": 1, "learning_rate": 3e-3}
    history = run("model", num_train_epochs=12, **settings)
    assert history[-1]["train_loss"] < 0.2 * history[0]["train_loss"]
    assert max(row["ua"] for row in history) == 1.0


def test_half_precision_is_saved_and_trained_with(run, tmp_path):
    run("model", num_train_epochs=1, mixed_precision="bf16", save_dtype="float16")
    assert {tensor.dtype for tensor in weights(tmp_path / "model").values()} == {torch.float16}
    model = HubertBertForEmotion.from_pretrained(tmp_path / "model")
    assert model.dtype == torch.float32


@pytest.mark.parametrize("instructions", [False, True])
def test_auto_trains_in_bf16_where_the_processor_has_it(instructions, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "has_bf16", lambda: instructions)
    config = TrainConfig(mixed_precision="auto", output_dir=str(tmp_path / "model"))
    expected = "bf16" if instructions else "no"
    assert fit.start(config).mixed_precision == expected


def test_a_killed_run_resumes_bit_for_bit(whole, killed, monkeypatch):
    expected, history = whole
    out, _, arguments = killed
    assert (state(out, 1) / "history.json").exists()
    assert (state(out, 2) / "optimizer.bin").read_bytes() == b"half"

    trained = []
    train_epoch = fit._train_epoch
    monkeypatch.setattr(fit, "_train_epoch", lambda *args: trained.append(1) or train_epoch(*args))
    assert train.main([*arguments, str(out), "--resume"]) == 0
    assert len(trained) == 2
    assert json.loads((state(out, 3) / "history.json").read_text()) == history
    assert same(weights(out), weights(expected))
    assert same(weights(state(out, 3)), weights(state(expected, 3)))
    assert (out / "tokenizer.json").read_text() == (expected / "tokenizer.json").read_text()


def test_a_kill_while_the_model_is_written_costs_an_epoch(whole, killed, monkeypatch):
    _, out, arguments = killed
    assert Path(f"{out}.new/model.safetensors").stat().st_size == 1000
    assert same(weights(out), weights(state(out, 1)))
    monkeypatch.setattr(fit, "kept", lambda history, score: history[-1])
    assert train.main([*arguments, str(out), "--resume"]) == 0
    assert same(weights(out), weights(state(whole[0], 3)))
    assert not Path(f"{out}.new").exists()


def test_the_seed_decides(run, tmp_path):
    histories = {name: run(name, num_train_epochs=1, seed=seed) for name, seed in
                 (("first", 0), ("again", 0), ("other", 1))}  # fmt: skip
    assert histories["first"] == histories["again"] != histories["other"]
    first, again, other = (weights(tmp_path / name) for name in histories)
    assert same(first, again) and not same(first, other)


def test_the_order_changes_from_epoch_to_epoch(run, monkeypatch):
    seen = []
    load = Clips.__getitem__
    monkeypatch.setattr(Clips, "__getitem__", lambda self, i: seen.append(i) or load(self, i))
    run("model", num_train_epochs=2)
    first, second = seen[:12], seen[16:28]  # four validation clips in between
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_accumulated_batches_are_one_batch(run):
    settings = {"model": STILL_MODEL, "num_train_epochs": 2, "max_seconds": 1.0}
    single = run("single", per_device_train_batch_size=4, gradient_accumulation_steps=1, **settings)
    accumulated = run(
        "accumulated", per_device_train_batch_size=2, gradient_accumulation_steps=2, **settings
    )
    for one, other in zip(single, accumulated, strict=True):
        assert other == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(run, corpus, tmp_path, write_config):
    settings = {
        "model": STILL_MODEL,
        "num_train_epochs": 2,
        "max_seconds": 1.0,
        "per_device_train_batch_size": 2,
    }
    one = run("one", gradient_accumulation_steps=2, **settings)
    out = tmp_path / "two"
    # `accelerate launch --cpu --num_processes 2` would start one process only.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", str(ROOT / "train.py")]
    command += ["--config", write_config(gradient_accumulation_steps=1, **settings)]
    command += ["--data", str(corpus), "--output-dir", str(out)]
    variables = {**environment(), "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("best epoch") == 1
    last = state(out, 2)
    assert {"random_states_0.pkl", "random_states_1.pkl"} <= {path.name for path in last.iterdir()}
    two = json.loads((last / "history.json").read_text())
    for first, second in zip(one, two, strict=True):
        assert second == pytest.approx(first, rel=1e-4)
    HubertBertForEmotion.from_pretrained(out)


def test_a_new_run_forgets_the_states_of_the_old_one(run, tmp_path):
    run("model", num_train_epochs=2)
    history = run("model", num_train_epochs=1, seed=1)
    assert [path.name for path in state(tmp_path / "model", 1).parent.iterdir()] == ["checkpoint_0"]
    assert run("model", num_train_epochs=1, seed=1, resume=True) == history


def test_a_finished_run_can_be_prolonged(run):
    history = run("model", num_train_epochs=1)
    longer = run("model", num_train_epochs=2, resume=True)
    assert longer[:1] == history and [row["epoch"] for row in longer] == [1, 2]


def test_a_trained_model_is_a_start(run, whole, tmp_path):
    history = run(
        "model", init_from=str(whole[0]), model={}, num_train_epochs=1, learning_rate=1e-9
    )
    best = max(whole[1], key=lambda row: row["ua"] + row["wa"])
    assert history[0]["validation_loss"] == pytest.approx(best["validation_loss"], abs=1e-4)


def test_a_clip_without_a_seconds_limit_is_not_cut_in_validation(corpus):
    splits = load_splits(TrainConfig(data=str(corpus)), EMOTIONS)
    assert {clip["waveform"].size for clip in Clips(splits["validation"])} == {4800}
    assert {clip["waveform"].size for clip in Clips(splits["train"], max_seconds=0.2)} == {3200}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": {"words": 3}}, "unknown tokenizer setting: words"),
        ({"tokenizer": {"texts": ["nowhere.txt"]}}, "nowhere.txt: cannot be read"),
        ({"model": {"text_dropout": 3.0}}, "text_dropout must be 0 to 1, not 3.0"),
        ({"model": {"text_dropuot": 0.3}}, "unknown key in model: text_dropuot"),
        ({"model": {**STILL_MODEL, "num_labels": 3}}, "labels are those of the corpus"),
        ({"init_from": "nowhere/at-all"}, "nowhere/at-all"),
        ({"mixed_precision": "fp16"}, "mixed_precision fp16 needs a GPU"),
        ({"limit": 0}, "the train split is empty"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    offline, refusal, corpus, tmp_path, write_config, changes, message
):
    if "fp16" in message and torch.cuda.is_available():
        pytest.skip("a GPU knows fp16")
    arguments = ["--config", write_config(**changes), "--data", str(corpus)]
    assert message in refusal(train.main, [*arguments, "--output-dir", str(tmp_path / "model")])
    assert not (tmp_path / "model").exists()


def test_another_seed_cannot_be_resumed(refusal, run, corpus, tmp_path, write_config):
    run("model", num_train_epochs=1)
    arguments = ["--config", write_config(), "--data", str(corpus), "--resume"]
    line = refusal(train.main, [*arguments, "--output-dir", str(tmp_path / "model"), "--seed", "3"])
    assert line.endswith("model.state cannot be resumed with another seed")


def test_an_exploding_loss_stops_the_run(refusal, corpus, tmp_path, write_config):
    settings = {"learning_rate": 1e20, "warmup_steps": 0, "gradient_accumulation_steps": 1}
    arguments = ["--config", write_config(**settings), "--data", str(corpus)]
    line = refusal(train.main, [*arguments, "--output-dir", str(tmp_path / "model")])
    assert line == "train.py: epoch 1: the loss is nan in step 2; no checkpoint is saved"


def test_weights_that_are_no_numbers_are_not_saved(refusal, corpus, tmp_path, write_config):
    # One step an epoch: the first has rate 0, the second blows the weights up after its loss.
    settings = {
        "learning_rate": 1e30,
        "warmup_steps": 1,
        "per_device_train_batch_size": 12,
        "gradient_accumulation_steps": 1,
    }
    out = tmp_path / "model"
    arguments = [
        "--config",
        write_config(**settings),
        "--data",
        str(corpus),
        "--output-dir",
        str(out),
    ]
    line = refusal(train.main, arguments)
    assert line == (
        f"train.py: epoch 2: the validation loss is not a number; the last good checkpoint is {out}"
    )
    assert all(tensor.isfinite().all() for tensor in weights(out).values())


@pytest.mark.parametrize("scores", [[0.5, 0.9, 0.7], [0.5, 0.3, 0.2]])
def test_a_full_disk_costs_nothing_saved_before(run, tmp_path, monkeypatch, scores):
    """The checkpoint fails to be written in the first case, the state in the second."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with scored(scores):
        run("expected")
    with scored(scores), monkeypatch.context() as patch:
        evaluate, calls = EmotionTask.evaluate, []

        def evaluate_and_fill(*arguments):
            calls.append(1)
            if len(calls) == 2:
                # Each write beyond so many bytes fails, as it does on a full disk.
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
            return evaluate(*arguments)

        patch.setattr(EmotionTask, "evaluate", evaluate_and_fill)
        try:
            with pytest.raises(TrainingFailed) as failed:
                run("model")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    message = str(failed.value)
    assert re.fullmatch(r"epoch 2: .*cannot be saved .*; the last good checkpoint is .*", message)
    assert same(weights(tmp_path / "model"), weights(state(tmp_path / "model", 1)))
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("model")} == {
        "model",
        "model.state",
    }
    with scored(scores[1:]):
        run("model", resume=True)
    assert same(weights(tmp_path / "model"), weights(tmp_path / "expected"))


def test_a_clip_that_cannot_be_decoded_is_named(refusal, tmp_path, write_config):
    train_rows = rows((1,))
    train_rows[2]["audio"] = {"bytes": b"no audio", "path": "broken.flac"}
    corpus = write_corpus(tmp_path / "corpus", train=train_rows)
    arguments = ["--config", write_config(), "--data", str(corpus)]
    assert "broken.flac" in refusal(
        train.main, [*arguments, "--output-dir", str(tmp_path / "model")]
    )


def test_other_files_are_not_replaced(refusal, corpus, tmp_path, write_config):
    (tmp_path / "thesis.txt").write_text("years of work")
    arguments = ["--config", write_config(), "--data", str(corpus), "--output-dir", str(tmp_path)]
    assert "holds files that are no model" in refusal(train.main, arguments)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_slash_at_the_end_changes_nothing(run, tmp_path):
    run("model/", num_train_epochs=1)
    run("model/", num_train_epochs=1)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model.state"}


def test_stopping_is_no_traceback(corpus, tmp_path, write_config, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "_train_epoch", stop)
    arguments = ["--config", write_config(), "--data", str(corpus)]
    assert train.main([*arguments, "--output-dir", str(tmp_path / "model")]) == 130
    assert "--resume goes on" in capsys.readouterr().err
