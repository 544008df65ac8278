"""A model through the Hub's own protocol: pushed, private, pinned, kept, and refused."""

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from hub_model.labels import EMOTIONS
from speech_emotion.training.model_card import weights_hash
from tests.helpers.made_ravdess import ravdess_names, write_ravdess
from tests.helpers.made_results import made_results
from tests.helpers.marked_models import write_marked
from tests.helpers.sounds import CLIPS, encode
from tests.helpers.tiny_models import tiny_pipeline

ROOT = Path(__file__).resolve().parent.parent

USE = """
import json, sys
from speech_emotion.predict.loading import load_classifier

clip, *revisions = sys.argv[1:]
found = {}
for revision in revisions:
    classifier = load_classifier("owner/tiny", revision=revision, transcriber="none")
    row = classifier(clip, check_speech=False)
    found[revision] = {
        "temperature": classifier.model.config.temperature,
        "scores": {entry["label"]: entry["score"] for entry in row},
    }
print(json.dumps(found))
"""

REFUSE = """
import sys
from speech_emotion.cli.main import main

for name in ("owner/headless", "owner/shuffled", "owner/no-such-model"):
    print(name, main(["predict", sys.argv[1], "--model", name, "--transcriber", "none"]))
"""


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.wav"
    path.write_bytes(encode(CLIPS[1]))
    return path


def push(hub, folder: Path, home: Path, *options: str) -> str:
    command = [
        "-m",
        "speech_emotion",
        "push",
        "--model",
        str(folder),
        "--repo",
        "owner/tiny",
        *options,
    ]
    return hub.run(command, env=hub.env(home, PYTHONPATH=str(ROOT)))


@pytest.mark.slow
def test_a_pushed_model_is_private_pinned_and_kept(hub, clip, tmp_path):
    folder = tmp_path / "model"
    classifier = tiny_pipeline()
    classifier.save_pretrained(folder)
    (folder / "notes.doc").write_text("not for others")
    results = tmp_path / "results.json"
    results.write_text(json.dumps(made_results(weights_hash(folder), wa=0.5, ua=0.4)))
    said = push(hub, folder, tmp_path / "push", "--private", "--results", str(results))
    assert said.strip() == f"{hub.url}/owner/tiny"

    api = HfApi(endpoint=hub.url, token=hub.token)
    assert api.model_info("owner/tiny").private
    files = set(api.list_repo_files("owner/tiny"))
    assert {"README.md", "config.json", "model.safetensors", "encoders.py"} <= files
    assert "notes.doc" not in files
    card = Path(api.hf_hub_download("owner/tiny", "README.md", local_dir=tmp_path / "card"))
    assert "value: 50.0" in card.read_text(encoding="utf-8")

    first = api.model_info("owner/tiny").sha
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"temperature": 3.0}))
    push(hub, folder, tmp_path / "push")

    # The first download breaks off, and goes on; both revisions answer, each with its own config.
    use = hub.env(tmp_path / "use", PYTHONPATH=str(ROOT))
    hub.cut_next_download("model.safetensors", after=20_000)
    found = json.loads(hub.run(["-c", USE, str(clip), first, "main"], env=use).splitlines()[-1])
    assert found[first]["temperature"] == 1.0 and found["main"]["temperature"] == 3.0
    expected = classifier(str(clip), check_speech=False)
    for entry in expected:
        assert found[first]["scores"][entry["label"]] == pytest.approx(entry["score"], abs=1e-6)
    assert max(found["main"]["scores"].values()) < max(found[first]["scores"].values())

    stranger = hub.process(
        ["-c", USE, str(clip), "main"],
        env=hub.env(tmp_path / "stranger", PYTHONPATH=str(ROOT)),
        token=False,
    )
    assert stranger.returncode != 0 and "owner/tiny" in stranger.stderr

    # Nobody answers any more: what is in the cache still does.
    hub.stop()
    offline = {**use, "HF_HUB_OFFLINE": "1"}
    again = json.loads(hub.run(["-c", USE, str(clip), "main"], env=offline).splitlines()[-1])
    assert again["main"] == found["main"]


def test_a_damaged_model_from_the_hub_is_refused(hub, clip, tmp_path):
    api = HfApi(endpoint=hub.url, token=hub.token)
    for name in ("headless", "shuffled"):
        folder = tmp_path / name
        tiny_pipeline().save_pretrained(folder)
        if name == "headless":
            weights = load_file(folder / "model.safetensors")
            del weights["classifier.weight"]
            save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        else:
            config = json.loads((folder / "config.json").read_text())
            labels = [*EMOTIONS[1:], EMOTIONS[0]]
            config["id2label"] = {str(index): label for index, label in enumerate(labels)}
            config["label2id"] = {label: index for index, label in enumerate(labels)}
            (folder / "config.json").write_text(json.dumps(config))
        api.create_repo(f"owner/{name}")
        api.upload_folder(repo_id=f"owner/{name}", folder_path=folder)
    done = hub.process(
        ["-c", REFUSE, str(clip)], env=hub.env(tmp_path / "use", PYTHONPATH=str(ROOT))
    )
    assert done.stdout.split() == [
        word
        for name in ("headless", "shuffled", "no-such-model")
        for word in (f"owner/{name}", "2")
    ]
    said = [line for line in done.stderr.splitlines() if line.startswith("speech-emotion: ")]
    assert len(said) == 3
    assert "missing keys in the weights: classifier.weight" in said[0]
    assert "the labels are in the order calm, disgust" in said[1]
    assert "owner/no-such-model" in said[2]
    assert "Traceback" not in done.stderr


TRUST = """
import json, sys
from pathlib import Path
from speech_emotion.cli.main import main

clip, corpus, mark, out = sys.argv[1:]
quiet = ["--transcriber", "none", "--no-speech-check"]
evaluate = ["evaluate", "ravdess", "--data", corpus, "--text", "none", "--limit", "7"]
evaluate += ["--no-cache", "--out", out]
found = {}
for flag in ([], ["--trust-remote-code"]):
    for name in ("owner/same", "owner/other"):
        for command in (
            ["predict", clip, "--model", name, *quiet],
            ["info", name],
            [*evaluate, "--model", name],
        ):
            Path(mark).unlink(missing_ok=True)
            # Modules of a trusted repo stay imported.
            for module in [name for name in sys.modules if name.startswith("transformers_modules")]:
                del sys.modules[module]
            code = main([*command, *flag])
            found[" ".join([command[0], name, *flag])] = code, Path(mark).exists()
print(json.dumps(found))
"""


def test_code_of_a_repo_runs_only_with_the_flag(hub, clip, tmp_path):
    api = HfApi(endpoint=hub.url, token=hub.token)
    mark = tmp_path / "mark"
    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    for name, model_type in (("same", None), ("other", "other_bert")):
        folder = write_marked(tmp_path / "tiny", tmp_path / name, mark, model_type=model_type)
        api.create_repo(f"owner/{name}")
        api.upload_folder(repo_id=f"owner/{name}", folder_path=folder)
    corpus = write_ravdess(tmp_path / "ravdess", ravdess_names(range(1, 25), statements=(1,)))
    done = hub.process(
        ["-c", TRUST, str(clip), str(corpus), str(mark), str(tmp_path / "results.json")],
        env=hub.env(tmp_path / "use", PYTHONPATH=str(ROOT)),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for command in ("predict", "info", "evaluate"):
        assert found[f"{command} owner/same"] == [0, False], done.stderr
        assert found[f"{command} owner/other"] == [2, False], done.stderr
        for name in ("same", "other"):
            assert found[f"{command} owner/{name} --trust-remote-code"] == [0, True], done.stderr
    refused = [line for line in done.stderr.splitlines() if "--trust-remote-code" in line]
    assert len(refused) == 3
