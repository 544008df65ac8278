"""The command line as a whole: help for every option, the version, and forwarded commands."""

import argparse
import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from corpus_builder.command_line import verbosity
from speech_emotion import __version__, cli
from speech_emotion.cli import main as main_module
from speech_emotion.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    module.name: importlib.import_module(f"speech_emotion.cli.{module.name}")
    for module in pkgutil.iter_modules(cli.__path__)
    if module.name != "main"
}
OWN = [name for name, command in COMMANDS.items() if hasattr(command, "run")]
FORWARDED = [name for name, command in COMMANDS.items() if hasattr(command, "forward")]


def test_every_command_is_there():
    assert sorted(OWN) == [
        "adapt",
        "calibrate",
        "embed",
        "export",
        "info",
        "live",
        "predict",
        "push",
        "serve",
    ]
    assert sorted(FORWARDED) == ["corpus", "evaluate", "train"]


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"    {name}" in shown and command.__doc__.split()[0] in shown


@pytest.mark.parametrize("name", OWN)
def test_every_option_has_help(name, capsys):
    parser = argparse.ArgumentParser()
    COMMANDS[name].add_arguments(parser)
    for action in parser._actions:
        assert action.help, action.dest
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"usage: speech-emotion {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["corpus"], ["corpus", "build"], ["evaluate"], ["evaluate", "ravdess"], ["train"]],
)
def test_forwarded_help_names_what_was_typed(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: speech-emotion {' '.join(arguments)}")


def test_forwarded_errors_have_exit_code_2(tmp_path, capsys):
    assert main(["corpus", "stats", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("speech-emotion corpus: ")


def test_the_version(monkeypatch, capsys):
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(main_module, "version", missing)  # a checkout that is not installed
    assert main_module.installed_version() == __version__
    monkeypatch.setattr(main_module, "version", lambda name: "9.8.7")
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == "speech-emotion 9.8.7\n"


def test_the_module_is_the_command_and_help_imports_no_torch():
    code = "import sys; from speech_emotion.cli.main import main\ntry: main(['predict', '--help'])"
    code += "\nexcept SystemExit: sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    shown = [
        subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for arguments in (["-c", code], ["-m", "speech_emotion", "predict", "--help"])
    ]
    assert shown[0] == shown[1]


def test_names_of_an_earlier_release_are_accepted(model_folder, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["export", "--plain", "--model", str(model_folder), "--out", out]) == 2
    assert "audio-only" in capsys.readouterr().err
    clip = str(ROOT / "examples" / "angry.wav")
    assert main(["predict", clip, "--model", str(model_folder), "--engine", "here"]) == 0
    for name in ("--plain", "here"):
        for command in ("export", "predict"):
            with pytest.raises(SystemExit):
                main([command, "--help"])
            assert name not in capsys.readouterr().out.split()


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "a.wav", "--batch-size", "x"],
        ["predict", "a.wav", "--workers", "all"],
        ["predict"],
        [],
        ["nonsense"],
        ["corpus", "build", "--workers", "0"],
        ["evaluate", "nonsense"],
        ["train", "--nonsense", "1"],
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, capsys):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("speech-emotion"), error


WRITE = """
import os, sys, warnings
from corpus_builder.command_line import verbosity

with verbosity(sys.argv[1:]) as (rest, quiet):
    os.write(2, b"library ")
    warnings.warn("warned")
    print("shown", rest, quiet, file=sys.stderr)
os.write(2, b"after")
"""


@pytest.mark.parametrize(
    ("arguments", "library"), [(["a"], False), (["a", "-q"], False), (["-v", "a"], True)]
)
def test_libraries_are_silent_unless_asked_for(arguments, library):
    done = subprocess.run(
        [sys.executable, "-c", WRITE, *arguments], capture_output=True, text=True, check=True
    )
    assert ("library" in done.stderr) == ("warned" in done.stderr) == library
    assert f"shown ['a'] {'-q' in arguments}" in done.stderr
    assert done.stderr.endswith("after")
    assert done.stdout == ""


def test_everything_after_two_dashes_stays_as_it_is():
    with verbosity(["a", "-q", "--", "-v"]) as (rest, quiet):
        assert rest == ["a", "--", "-v"] and quiet
