"""Corpus, model and Space through the Hub's own protocol, with the real client libraries."""

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from corpus_builder.__main__ import main
from hub_model.labels import EMOTIONS
from tests.helpers.made_ravdess import ravdess_names, write_ravdess

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "checkpoints" / "mini"
CLIP = ROOT / "examples" / "angry.wav"

PUSH_MODEL = """
import sys
from transformers import pipeline

classifier = pipeline(
    "audio-classification", model=sys.argv[1], trust_remote_code=True, transcriber="none"
)
classifier.push_to_hub("owner/emotion", private=True)
"""

USE_BOTH = """
import json, sys
from datasets import Audio, load_dataset
from transformers import pipeline

classifier = pipeline(
    "audio-classification", model="owner/emotion", trust_remote_code=True, transcriber="none"
)
answer = {"clip": classifier(sys.argv[1])}
for config in ("speaker_disjoint", "paper"):
    answer[config] = {k: len(v) for k, v in load_dataset("owner/corpus", config).items()}
decoded = load_dataset("owner/corpus", split="test")
answer["names"] = decoded.features["label"].names
answer["row"] = classifier(decoded[0]["audio"], clean=False)
encoded = decoded.cast_column("audio", Audio(decode=False))
answer["rows"] = list(classifier(encoded.select(range(2)), clean=False))
print(json.dumps(answer))
"""


USE_SPACE = """
import json, os, sys
from pathlib import Path

os.environ["SER_TRANSCRIBER"] = "none"
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
from app import build_demo
from gradio_client import Client, handle_file

demo = build_demo()
_, address, _ = demo.launch(prevent_thread_lock=True, quiet=True)
client = Client(address, verbose=False)
answer = client.predict(handle_file(str(folder / "examples" / "angry.wav")), api_name="/predict")
demo.close()
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A small corpus built from made clips in the layout of RAVDESS."""
    folder = tmp_path_factory.mktemp("round_trip")
    raw = write_ravdess(folder / "raw", ravdess_names(range(1, 7)))
    out = folder / "corpus"
    assert main(["build", "--source", f"ravdess={raw}", "--out", str(out)]) == 0
    return out


def scores(row: list[dict]) -> dict[str, float]:
    return {emotion["label"]: emotion["score"] for emotion in row}


def test_corpus_model_and_space_through_the_hub(hub, corpus, tmp_path):
    push = hub.env(tmp_path / "push", PYTHONPATH=str(ROOT))
    command = ["-m", "corpus_builder", "publish", str(corpus), "--repo", "owner/corpus"]
    hub.run(command, env=push)
    hub.run(["-c", PUSH_MODEL, str(MODEL)], env=push)
    script = str(ROOT / "scripts" / "push_space.py")
    address = hub.run([script, "owner/demo", "--model", "owner/emotion"], env=push)
    assert address.strip() == f"{hub.url}/spaces/owner/demo"
    command = ["-m", "speech_emotion", "predict", str(CLIP), "--model", str(MODEL)]
    local = json.loads(hub.run([*command, "--transcriber", "none", "--format", "json"], env=push))

    # From here on an empty cache, an empty folder, and none of this project on the path.
    empty = hub.env(tmp_path / "use")
    answer = json.loads(hub.run(["-c", USE_BOTH, str(CLIP)], env=empty).splitlines()[-1])
    assert scores(answer["clip"]) == pytest.approx(scores(local["emotions"]), abs=1e-6)
    counts = json.loads((corpus / "build.json").read_text())["configs"]
    for config in ("speaker_disjoint", "paper"):
        splits = counts[config]["splits"]
        assert answer[config] == {name: part["clips"] for name, part in splits.items()}
    assert answer["names"] == list(EMOTIONS)
    # A decoded row and an encoded one are the same clip.
    assert scores(answer["rows"][0]) == pytest.approx(scores(answer["row"]), abs=1e-4)
    assert len(answer["rows"]) == 2

    # The model is private: without a token it is not there, and one line says so.
    refused = hub.process(
        ["-m", "speech_emotion", "predict", str(CLIP), "--model", "owner/emotion"],
        env=hub.env(tmp_path / "stranger", PYTHONPATH=str(ROOT)),
        token=False,
    )
    assert refused.returncode == 2
    assert "owner/emotion" in refused.stderr
    assert "Traceback" not in refused.stderr

    # What is in the Space's repo answers, with its model from the Hub.
    api = HfApi(endpoint=hub.url, token=hub.token)
    files = api.list_repo_files("owner/demo", repo_type="space")
    assert {"README.md", "app.py", "requirements.txt", "examples/angry.wav"} <= set(files)
    space = api.snapshot_download("owner/demo", repo_type="space", local_dir=tmp_path / "space")
    told = hub.run(["-c", USE_SPACE, space], env=hub.env(tmp_path / "demo"))
    shown = json.loads(told.splitlines()[-1])
    assert scores(shown["emotions"]) == pytest.approx(scores(local["emotions"]), abs=1e-6)
