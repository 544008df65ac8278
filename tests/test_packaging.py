"""The wheel and the sdist, installed without the checkout, and their dependencies."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import speech_emotion
from tests.helpers.bare_environment import bare_environment, closure

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = canonicalize_name(PROJECT["name"])

PACKAGES = ("hub_model", "corpus_builder", "speech_emotion")

IN_REQUIREMENTS = ("baselines", "space", "tracking", "whisper")
"""Extras that requirements.txt holds besides the core."""

ONLY_HERE = (".*", "__pycache__", "runs", "raw", "corpus", "results", "build", "dist", "*.egg-info")
"""What a copy of the checkout leaves out: it is no source of a distribution."""

HELP = ("", "predict", "info", "corpus", "corpus build", "train", "evaluate", "evaluate ravdess")
"""Commands whose help is shown."""

PREDICT = "predict clip.wav --format json"

MISSING = {
    "live": "live",
    "onnx": "export --onnx --out exported",
    "ray": "predict clip.wav --engine ray",
    "serve": "serve --port 0",
    "speakers": "predict clip.wav --speakers auto",
    "tracking": "train --config configs/hubert.yaml --data x --report_to tensorboard",
}
"""A command that needs an extra, for each of them."""

RUN_COMMANDS = """
import contextlib, importlib, importlib.util, io, json, pkgutil, sys
from pathlib import Path
import hub_model, corpus_builder, speech_emotion
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.classical import new_classifier
from speech_emotion.cli.main import main
from speech_emotion.predict import DEFAULT_MODEL
from speech_emotion.predict.fitting import copy_model

answers = {}
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        with contextlib.redirect_stderr(io.StringIO()) as message:
            try:
                code = main(command.split())
            except SystemExit as error:
                code = error.code
    answers[command] = code, output.getvalue(), message.getvalue()
try:
    new_classifier("lightgbm", seed=0)
except BaselineError as error:
    answers["baseline"] = str(error)
Path("copied").mkdir()
copy_model(DEFAULT_MODEL, Path("copied"))
answers["copied"] = sorted(file.name for file in Path("copied").glob("*.py"))
for package in (hub_model, corpus_builder, speech_emotion):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
answers["imported"] = [file for file in files if file]
extras = ("gradio", "lightgbm", "onnxruntime", "pytest", "ray", "tensorboard", "whisper")
answers["extras"] = [name for name in extras if importlib.util.find_spec(name)]
print(json.dumps(answers))
"""
"""Runs commands and imports every module in one process, which is faster than a process each."""


def requirements(lines: list[str]) -> set[str]:
    """Requirements in one spelling, so that two files can be compared."""
    return {str(Requirement(line.split(" #")[0])) for line in lines if line.strip()[:1] != "#"}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of the checkout and the wheel that is built from that sdist."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*ONLY_HERE))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(folder / "source")], check=True, capture_output=True)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def bare(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the executables of an environment with the wheel and its core dependencies.

    What only an extra or a test needs is missing.
    """
    folder = tmp_path_factory.mktemp("bare")
    python = bare_environment(folder, PROJECT["dependencies"])
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet"]
    wheel = str(distributions[1])
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    return python.parent


def run(command: list[str], folder: Path) -> str:
    """Run a command offline in another folder; returns its output."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def answers(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Exit code, output and message of each command in the bare environment, and more."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(ROOT / "examples" / "angry.wav", folder / "clip.wav")
    commands = [*(f"{command} --help".strip() for command in HELP), *MISSING.values(), PREDICT]
    output = run([str(bare / "python"), "-c", RUN_COMMANDS, *commands], folder)
    return json.loads(output.splitlines()[-1])


def test_wheel_holds_the_packages_and_no_other_python(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = set(wheel.namelist())
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert files - names == set()
    assert {name for name in names - files if name.endswith(".py")} == set()
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_wheel_holds_the_checkpoint_and_the_configurations(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        found = {
            name.removeprefix("speech_emotion/"): wheel.read(name)
            for name in wheel.namelist()
            if name.startswith(("speech_emotion/checkpoints/", "speech_emotion/configs/"))
        }
    files = [*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "checkpoints" / "mini").iterdir()]
    assert found == {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and path.suffix != ".py"
    }


def test_sdist_holds_what_stands_at_the_top(distributions):
    with tarfile.open(distributions[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    top = {"train.py", "evaluate_benchmarks.py", "requirements.txt", "constraints.txt", "LICENSE"}
    assert top <= names
    assert {"checkpoints/mini/modeling_hubert_bert.py", "tests/test_packaging.py"} <= names
    assert not [name for name in names if name.endswith(".pyc")]


def test_every_module_is_imported_from_the_wheel(bare, answers):
    files = [Path(name) for name in answers["imported"]]
    ours = [file for file in files if set(PACKAGES) & set(file.parts)]
    assert len(ours) > 50 and all(bare.parent in file.parents for file in ours)
    assert not [file for file in files if ROOT in file.parents]


def test_extras_are_not_in_the_bare_environment(answers):
    assert answers["extras"] == []


def test_version(bare, tmp_path):
    for command in ([bare / "speech-emotion"], [bare / "python", "-m", "speech_emotion"]):
        said = run([*map(str, command), "--version"], tmp_path)
        assert said.split()[-1] == speech_emotion.__version__


def test_help_of_every_command(answers):
    for command in HELP:
        code, output, _ = answers[f"{command} --help".strip()]
        assert code == 0 and output.startswith(f"usage: speech-emotion {command}".strip())


def test_default_checkpoint_answers_from_any_folder(answers):
    code, output, _ = answers[PREDICT]
    emotions = json.loads(output)["emotions"]
    assert code == 0 and len(emotions) == 8
    assert sum(row["score"] for row in emotions) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("extra", MISSING)
def test_missing_extra_is_named_in_one_line(answers, extra):
    code, _, message = answers[MISSING[extra]]
    assert code == 2 and message.count("\n") == 1 and f"{NAME}[{extra}]" in message


def test_missing_library_of_a_baseline_is_named(answers):
    assert f"{NAME}[baselines]" in answers["baseline"]


def test_model_that_is_copied_gets_its_code(answers):
    assert answers["copied"] == sorted(
        file.name for file in (ROOT / "hub_model").glob("*.py") if file.name != "__init__.py"
    )


def test_requirements_are_the_core_and_four_extras():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [line for name in IN_REQUIREMENTS for line in extras[name]]
    assert requirements(lines) == requirements(wanted)
    more = {"dev", "faster-whisper", "live", "onnx", "ray", "serve", "speakers"}
    assert set(IN_REQUIREMENTS) | more == set(extras)


def test_every_import_is_declared():
    names = set()
    for file in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    extras = {
        name: lines for name, lines in PROJECT["optional-dependencies"].items() if name != "dev"
    }
    declared = PROJECT["dependencies"] + [line for lines in extras.values() for line in lines]
    packages = {canonicalize_name(Requirement(line).name) for line in declared}
    owners = importlib.metadata.packages_distributions()
    for name in names - set(sys.stdlib_module_names) - set(PACKAGES):
        assert packages & {canonicalize_name(owner) for owner in owners.get(name, ())}, name


def test_dev_has_every_extra():
    (own,) = [
        Requirement(line)
        for line in PROJECT["optional-dependencies"]["dev"]
        if canonicalize_name(Requirement(line).name) == NAME
    ]
    assert own.extras | {"dev"} == set(PROJECT["optional-dependencies"])


def test_constraints_pin_everything_that_is_installed():
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            pinned[canonicalize_name(name)] = version
    declared = PROJECT["dependencies"] + [
        line for extra in PROJECT["optional-dependencies"].values() for line in extra
    ]
    for requirement in map(Requirement, declared):
        if requirement.marker is None or requirement.marker.evaluate():
            name = canonicalize_name(requirement.name)
            assert name == NAME or pinned[name] in requirement.specifier, name
    assert set(closure(declared)) - {NAME} <= set(pinned)


def test_version_is_written_in_one_place():
    assert "version" not in PROJECT and "version" in PROJECT["dynamic"]
    assert importlib.metadata.version(NAME) == speech_emotion.__version__
    source = ast.parse(Path(speech_emotion.__file__).read_text(encoding="utf-8"))
    assert speech_emotion.__version__ in [
        node.value for node in ast.walk(source) if isinstance(node, ast.Constant)
    ]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert "version" not in citation


def test_newest_release_in_the_changelog_is_this_version():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", changes, re.M)[0] == speech_emotion.__version__


def test_python_version_is_the_same_everywhere():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert PROJECT["requires-python"] == ">=3.11"
    assert tools["ruff"]["target-version"] == "py311"
    assert tools["mypy"]["python_version"] == "3.11"
    assert tuple(tools["mypy"]["packages"]) == PACKAGES
