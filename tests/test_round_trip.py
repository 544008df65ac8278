"""Corpus, model and Space through the Hub's own protocol, with the real client libraries."""

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from transformers import pipeline

from corpus_builder.__main__ import main
from hub_model.labels import EMOTIONS
from scripts.push_space import push_space
from speech_emotion.cli.main import main as speech_emotion
from tests.helpers.made_ravdess import ravdess_names, write_ravdess

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "checkpoints" / "mini"
CLIP = ROOT / "examples" / "angry.wav"

USE_ALL = """
import json, os, sys
from pathlib import Path

clip, space = sys.argv[1], Path(sys.argv[2])
os.environ["SER_TRANSCRIBER"] = "none"
sys.path.insert(0, str(space))
from app import build_demo
from datasets import Audio, load_dataset
from gradio_client import Client, handle_file
from transformers import pipeline

demo = build_demo()
_, address, _ = demo.launch(prevent_thread_lock=True, quiet=True)
client = Client(address, verbose=False)
example = handle_file(str(space / "examples" / "angry.wav"))
answer = {"space": client.predict(example, api_name="/predict")}
demo.close()

classifier = pipeline(
    "audio-classification", model="owner/emotion", trust_remote_code=True, transcriber="none"
)
answer["clip"] = classifier(clip)
for config in ("speaker_disjoint", "paper"):
    answer[config] = {k: len(v) for k, v in load_dataset("owner/corpus", config).items()}
decoded = load_dataset("owner/corpus", split="test")
answer["names"] = decoded.features["label"].names
answer["row"] = classifier(decoded[0]["audio"], clean=False)
encoded = decoded.cast_column("audio", Audio(decode=False))
answer["rows"] = list(classifier(encoded.select(range(2)), clean=False))
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A small corpus built from made clips in the layout of RAVDESS."""
    folder = tmp_path_factory.mktemp("round_trip")
    raw = write_ravdess(folder / "raw", ravdess_names(range(1, 7)))
    out = folder / "corpus"
    options = ["--no-denoise", "--workers", "1"]
    assert main(["build", "--source", f"ravdess={raw}", "--out", str(out), *options]) == 0
    return out


def scores(row: list[dict]) -> dict[str, float]:
    return {emotion["label"]: emotion["score"] for emotion in row}


@pytest.mark.slow
def test_corpus_model_and_space_through_the_hub(hub, corpus, tmp_path, monkeypatch, capsys):
    hub.use_here(monkeypatch, tmp_path / "push")
    assert main(["publish", str(corpus), "--repo", "owner/corpus"]) == 0
    classifier = pipeline(
        "audio-classification", model=str(MODEL), trust_remote_code=True, transcriber="none"
    )
    classifier.push_to_hub("owner/emotion", private=True)
    address = push_space("owner/demo", model="owner/emotion")
    assert address == f"{hub.url}/spaces/owner/demo"
    capsys.readouterr()
    predict = ["predict", str(CLIP), "--transcriber", "none", "--format", "json", "--model"]
    assert speech_emotion([*predict, str(MODEL)]) == 0
    local = json.loads(capsys.readouterr().out)

    # The model is private: without a token it is not there, and one line says so.
    hub.use_here(monkeypatch, tmp_path / "stranger")
    monkeypatch.delenv("HF_TOKEN")
    assert speech_emotion([*predict, "owner/emotion"]) == 2
    error = capsys.readouterr().err
    assert "owner/emotion" in error and error.count("\n") == 1
    assert not hub.downloads()

    # What is in the repos answers in a process with an empty cache and without this project.
    api = HfApi(endpoint=hub.url, token=hub.token)
    files = api.list_repo_files("owner/demo", repo_type="space")
    assert {"README.md", "app.py", "requirements.txt", "examples/angry.wav"} <= set(files)
    space = api.snapshot_download("owner/demo", repo_type="space", local_dir=tmp_path / "space")
    told = hub.run(["-c", USE_ALL, str(CLIP), space], env=hub.env(tmp_path / "use"))
    answer = json.loads(told.splitlines()[-1])
    assert any(path.endswith("/model.safetensors") for path in hub.downloads())
    assert scores(answer["space"]["emotions"]) == pytest.approx(scores(local["emotions"]), abs=1e-6)
    assert scores(answer["clip"]) == pytest.approx(scores(local["emotions"]), abs=1e-6)
    counts = json.loads((corpus / "build.json").read_text())["configs"]
    for config in ("speaker_disjoint", "paper"):
        splits = counts[config]["splits"]
        assert answer[config] == {name: part["clips"] for name, part in splits.items()}
    assert answer["names"] == list(EMOTIONS)
    # A decoded row and an encoded one are the same clip.
    assert scores(answer["rows"][0]) == pytest.approx(scores(answer["row"]), abs=1e-4)
    assert len(answer["rows"]) == 2
