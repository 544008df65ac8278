"""`evaluate.load("metrics/ser")`, offline and from a folder outside the project."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import gradio
import numpy as np
import pytest
import transformers
from huggingface_hub import HfApi, metadata_load

from speech_emotion import metrics
from tests.helpers.toy_corpus import write_corpus

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import json, sys
import evaluate
answers = json.loads(sys.argv[1])
ser = evaluate.load("metrics/ser")
print(json.dumps([ser.compute(**answers), ser.description]))
"""


def test_it_loads_offline_and_alone(tmp_path):
    shutil.copytree(ROOT / "metrics" / "ser", tmp_path / "metrics" / "ser")
    rng = np.random.default_rng(0)
    references, predictions = rng.integers(0, 7, size=(2, 50)).tolist()
    predictions[0] = metrics.NO_ANSWER
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    environment.pop("PYTHONPATH", None)
    answers = json.dumps({"references": references, "predictions": predictions})
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, answers],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    scores, description = json.loads(result.stdout.splitlines()[-1])
    assert scores == {
        "wa": pytest.approx(metrics.wa(references, predictions)),
        "ua": pytest.approx(metrics.ua(references, predictions)),
        "ua_plus_wa": pytest.approx(metrics.ua_plus_wa(references, predictions)),
        "macro_f1": pytest.approx(metrics.macro_f1(references, predictions)),
    }
    assert "Weighted accuracy" in description


def test_pushed_as_a_space_it_loads_by_its_id(hub):
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo("owner/ser", repo_type="space", space_sdk="gradio")
    api.upload_folder(
        repo_id="owner/ser",
        repo_type="space",
        folder_path=ROOT / "metrics" / "ser",
        ignore_patterns=["__pycache__/**"],
    )
    answers = json.dumps({"references": [0, 1, 0, 0], "predictions": [0, 1, 1, -1]})
    script = SCRIPT.replace("metrics/ser", "owner/ser")
    printed = hub.run(["-c", script, answers])
    scores, _ = json.loads(printed.splitlines()[-1])
    assert scores["wa"] == 0.5 and scores["ua"] == pytest.approx((1 / 3 + 1) / 2)
    card = metadata_load(ROOT / "metrics" / "ser" / "README.md")
    assert {"evaluate", "metric"} <= set(card["tags"]) and len(card["short_description"]) <= 60
    assert (ROOT / "metrics" / "ser" / card["app_file"]).is_file()


def test_its_page_gives_the_scores_and_one_line_for_anything_else(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "metrics" / "ser"))
    page = runpy.run_path(str(ROOT / "metrics" / "ser" / "app.py"))
    assert page["scores"]("0, 1, 0, 0", "0 1 1 -1")["wa"] == 0.5
    for wrong in ("0, 1", "0, 1, 0, happy", ""):
        with pytest.raises(gradio.Error, match="class ids are needed") as error:
            page["scores"]("0, 1, 0, 0", wrong)
        assert "\n" not in str(error.value)


def test_the_evaluator_in_the_documents_scores_our_pipeline(tmp_path, monkeypatch):
    """The code that docs/evaluation.md shows, on three clips of speech."""
    clips = [
        {"label": label, "audio": {"bytes": (ROOT / f"examples/{name}.wav").read_bytes()}}
        for label, name in ((0, "angry"), (4, "happy"), (5, "sad"))
    ]
    known = {"corpus": "csv", "speaker_id": "csv-a", "audio_hash": "", "duration": 3.0}
    rows = [known | clip for clip in clips]
    write_corpus(tmp_path / "corpus", train=rows, test=rows)
    for name in ("checkpoints", "metrics"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(transformers, "TFPreTrainedModel", None, raising=False)
    text = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    (code,) = (block for block in blocks if "evaluator(" in block)
    exec(code, found := {})

    rows = found["classifier"]([clip["audio"] for clip in clips])
    expected = [found["names"].index(row[0]["label"]) for row in rows]
    assert {len(row) for row in rows} == {7}
    assert found["scores"]["wa"] == pytest.approx(metrics.wa([0, 4, 5], expected))
    assert found["scores"]["ua"] == pytest.approx(metrics.ua([0, 4, 5], expected))
