import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_builder.__main__ import main
from corpus_builder.shards import read_rows
from tests.helpers.made_corpora import write_clip


def test_stats_counts_splits_classes_and_corpora(corpus, capsys):
    assert main(["stats", str(corpus)]) == 0
    printed = capsys.readouterr().out
    assert "speaker_disjoint train" in printed and "paper validation" in printed
    assert "by design: speaker in train and test: 6 (ravdess-01, " in printed
    assert "LEAK" not in printed
    assert "Table 4: combined" in printed and "need 14" in printed
    printed, _ = printed.split("Table 1: train")
    totals = [int(line.split()[-1]) for line in printed.splitlines() if line.startswith("total")]
    assert len(totals) == 9 and sum(totals) == 3 * 84


def test_stats_ends_without_a_word_when_its_reader_has_gone(corpus, capsys, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1, encoding="utf-8") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert main(["stats", str(corpus)]) == 141
    assert capsys.readouterr().err == ""


def test_stats_finds_a_leak_planted_in_the_shards(corpus, tmp_path, capsys):
    out = tmp_path / "corpus"
    shutil.copytree(corpus, out)
    train, test = (
        out / "speaker_disjoint" / f"{split}-00000-of-00001.parquet" for split in ("train", "test")
    )
    rows = [pq.read_table(train), pq.read_table(test).slice(0, 1)]
    pq.write_table(pa.concat_tables(rows), train)
    assert main(["stats", str(out)]) == 1
    printed = capsys.readouterr()
    for what in ("speaker", "source recording", "duplicate recording"):
        assert f"LEAK: {what} in train and test: 1" in printed.out
    assert "holds a leak" in printed.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["build", "--source", "ravdess", "--out", "o"], "expected NAME=DIR"),
        (["build", "--source", "emodb=x", "--out", "o"], "NAME one of crema_d, iemocap, nemo"),
        (["build", "--source", "ravdess=nowhere", "--out", "o"], "no such folder: nowhere"),
        (["build", "--source", "ravdess=.", "--out", "o"], "found no audio"),
        (["build", *["--source", "ravdess=."] * 2, "--out", "o"], "given twice"),
        (["stats", "nowhere"], "no finished build"),
        (["publish", "nowhere", "--repo", "you/corpus"], "no finished build"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.startswith("corpus_builder: ") and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_module_runs_without_ray(tmp_path):
    code = f"""
        import runpy, sys
        sys.modules["ray"] = None
        import corpus_builder.build, corpus_builder.publishing, corpus_builder.workers
        sys.argv = ["corpus_builder", "stats", {str(tmp_path)!r}]
        runpy.run_module("corpus_builder", run_name="__main__")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert result.returncode == 2
    assert result.stderr.startswith("corpus_builder: ") and result.stderr.count("\n") == 1


def help_of(*command, prog="speech-emotion corpus", capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"], prog=prog)
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_usage_names_what_was_typed_and_help_explains_every_option(capsys):
    commands = ("download", "build", "stats", "publish")
    overview = help_of(capsys=capsys)
    assert all(f"\n    {command} " in overview for command in commands)
    for command in commands:
        text = help_of(command, capsys=capsys)
        assert text.startswith(f"usage: speech-emotion corpus {command} ")
        entries = re.split(r"\n  (?=\S)", text.split("\noptions:\n")[1])
        positional = re.findall(r"\n  ([A-Z]+)(  .*)?\n", text)
        assert all(explanation for _, explanation in positional)
        for entry in entries:
            # The name and its explanation are at least two spaces or a line apart.
            assert re.search(r"\S(  +|\n +)[a-z]", entry), entry
    assert help_of("stats", prog="python -m corpus_builder", capsys=capsys).startswith(
        "usage: python -m corpus_builder stats "
    )


def test_error_lines_name_what_was_typed(capsys):
    assert main(["stats", "nowhere"], prog="speech-emotion corpus") == 2
    assert capsys.readouterr().err.startswith("speech-emotion corpus: nowhere: ")


@pytest.mark.parametrize(
    "option", [["--workers", "0"], ["--seed", "-1"], ["--min-duration", "nan"]]
)
def test_bad_options_are_refused(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["build", "--source", "ravdess=.", "--out", "o", *option])
    assert stopped.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_a_table_with_a_label_set_of_its_own(tmp_path, capsys):
    lines = ["path,emotion,speaker"]
    for number in range(16):
        path = tmp_path / "calls" / f"clip{number}.wav"
        write_clip(path)
        lines.append(f"calls\\{path.name},{('Frustrated', 'Ok')[number % 2]},s{number // 2}")
    table, out = tmp_path / "clips.csv", tmp_path / "out"
    table.write_text("\n".join([*lines, "calls\\clip0.wav,bored,s1"]), encoding="utf-16")
    own = ["--labels", "annoyed,fine", "--map", "frustrated=annoyed,ok=fine"]
    options = ["--config=speaker_disjoint", "--no-denoise", "--workers=1"]
    assert main(["build", f"--source=csv={table}", f"--out={out}", *own, *options]) == 0
    assert "(bored 1)" in capsys.readouterr().out
    splits = read_rows(out, "speaker_disjoint")
    rows = [row for part in splits.values() for row in part if not row["augmentation"]]
    assert {row["label"] for row in rows} == {"annoyed", "fine"} and len(rows) == 16
    assert json.loads((out / "build.json").read_text())["emotions"] == ["annoyed", "fine"]
    card = (out / "README.md").read_text()
    assert "--labels annoyed,fine" in card and "--map frustrated=annoyed" in card


@pytest.mark.parametrize(
    ("own", "line"),
    [
        (["--labels", "one"], "--labels one: expected two or more"),
        (["--labels", "a,A"], "--labels a,A: expected two or more"),
        (["--labels", "a,b", "--keep-neutral"], "exclude each other"),
        (["--map", "frustrated"], "--map frustrated: expected WORD=LABEL"),
        (["--map", "a=sad,A=happy"], "--map: A is there twice"),
        (["--labels", "a,b", "--map", "x=c"], "--map x=c: c is none of a, b"),
    ],
)
def test_bad_label_options_are_one_line(tmp_path, capsys, own, line):
    assert main(["build", f"--source=csv={tmp_path}", f"--out={tmp_path / 'out'}", *own]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
