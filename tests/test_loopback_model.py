"""A model through the Hub's own protocol: pushed, private, pinned, kept, and refused."""

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants
from safetensors.torch import load_file, save_file

from hub_model.labels import EMOTIONS
from speech_emotion.cli.main import main
from speech_emotion.predict.loading import load_classifier
from speech_emotion.training.model_card import weights_hash
from tests.helpers.answers import same
from tests.helpers.made_results import made_results
from tests.helpers.marked_models import write_marked
from tests.helpers.sounds import CLIPS, encode
from tests.helpers.tiny_models import tiny_pipeline

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.wav"
    path.write_bytes(encode(CLIPS[1]))
    return path


def push(folder: Path, *options: str) -> int:
    return main(["push", "--model", str(folder), "--repo", "owner/tiny", *options])


def answer(clip: Path, revision: str) -> tuple[float, list[dict]]:
    """The temperature of the model in a revision, and its answer."""
    classifier = load_classifier("owner/tiny", revision=revision, transcriber="none")
    return classifier.model.config.temperature, classifier(clip, check_speech=False)


def test_a_pushed_model_is_private_pinned_and_kept(hub, clip, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "model"
    classifier = tiny_pipeline()
    classifier.save_pretrained(folder)
    (folder / "notes.doc").write_text("not for others")
    results = tmp_path / "results.json"
    results.write_text(json.dumps(made_results(weights_hash(folder), wa=0.5, ua=0.4)))
    hub.use_here(monkeypatch, tmp_path / "push")
    assert push(folder, "--private", "--results", str(results)) == 0
    assert capsys.readouterr().out.strip() == f"{hub.url}/owner/tiny"

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
    assert push(folder) == 0

    # The first download breaks off, and goes on; both revisions answer, each with its own config.
    hub.use_here(monkeypatch, tmp_path / "use")
    hub.cut_next_download("model.safetensors", after=20_000)
    found = {revision: answer(clip, revision) for revision in (first, "main")}
    assert found[first][0] == 1.0 and found["main"][0] == 3.0
    same(found[first][1], classifier(str(clip), check_speech=False), atol=1e-6)
    assert found["main"][1][0]["score"] < found[first][1][0]["score"]

    # Nobody answers any more: what is in the cache still does.
    hub.stop()
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert answer(clip, "main") == found["main"]
    hub.start()

    # The model is private.
    hub.use_here(monkeypatch, tmp_path / "stranger")
    monkeypatch.delenv("HF_TOKEN")
    assert main(["predict", str(clip), "--model", "owner/tiny", "--transcriber", "none"]) == 2
    assert "owner/tiny" in capsys.readouterr().err


def test_a_damaged_model_from_the_hub_is_refused(hub, clip, tmp_path, monkeypatch, capsys):
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
    hub.use_here(monkeypatch, tmp_path / "use")
    capsys.readouterr()
    for name in ("headless", "shuffled", "no-such-model"):
        model = f"owner/{name}"
        assert main(["predict", str(clip), "--model", model, "--transcriber", "none"]) == 2
    shown = capsys.readouterr()
    said = [line for line in shown.err.splitlines() if line.startswith("speech-emotion: ")]
    assert len(said) == 3 and not shown.out
    assert "missing keys in the weights: classifier.weight" in said[0]
    assert "the labels are in the order calm, disgust" in said[1]
    assert "owner/no-such-model" in said[2]
    assert "Traceback" not in shown.err


TRUST = """
import json, sys
from pathlib import Path
from speech_emotion.cli.main import main
from speech_emotion.predict.loading import load_classifier

clip, table, mark, out = sys.argv[1:]
quiet = ["--transcriber", "none", "--no-speech-check"]
evaluate = ["evaluate", "corpus", "--data", table, "--text", "none", "--no-cache", "--out", out]
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
    table = tmp_path / "table.csv"
    table.write_text("path,emotion,speaker\nclip.wav,sad,a\nother.wav,happy,b\n")
    (tmp_path / "other.wav").write_bytes(encode(CLIPS[2]))
    done = hub.process(
        ["-c", TRUST, str(clip), str(table), str(mark), str(tmp_path / "results.json")],
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
