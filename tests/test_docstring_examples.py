"""The examples in the docstrings are true."""

import doctest
import importlib

import pytest

MODULES = (
    "hub_model.batching",
    "hub_model.calibration",
    "hub_model.encoders",
    "hub_model.modeling_hubert_bert",
    "hub_model.pipeline_hubert_bert",
    "speech_emotion.predict.precision",
    "hub_model.transcription",
    "speech_emotion.metrics.calibration",
    "speech_emotion.metrics.comparison",
    "speech_emotion.metrics.resampling",
    "speech_emotion.metrics.classification",
    "speech_emotion.evaluation.provenance",
    "speech_emotion.evaluation.report",
    "speech_emotion.evaluation.tables",
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
