"""`evaluate.load("metrics/ser")`, offline and from a folder outside the project."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import metrics

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
