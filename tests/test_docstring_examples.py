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
    "hub_model.precision",
    "hub_model.transcription",
    "metrics.calibration",
    "metrics.comparison",
    "metrics.resampling",
    "metrics.ser.classification",
    "evaluation.provenance",
    "evaluation.report",
    "evaluation.tables",
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
