"""What the page is deployed with: its card, the push to the Hub, and the Dockerfile."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import healthy
import pytest
from huggingface_hub import HfApi, SpaceHardware, metadata_load
from packaging.requirements import Requirement

from scripts.push_space import LIBRARY
from tests.helpers.space_server import ROOT, SPACE

CARD_KEYS = {
    "title",
    "emoji",
    "colorFrom",
    "colorTo",
    "sdk",
    "sdk_version",
    "python_version",
    "app_file",
    "suggested_hardware",
    "models",
    "datasets",
    "license",
    "short_description",
    "tags",
}
"""Keys of the Hub's configuration reference for Spaces that this one uses; the licence is the
model cards' key, which the Hub shows for Spaces as well."""

ZERO_GPU_PYTHON = {"3.10.13", "3.12.12"}


def test_the_card_has_documented_keys_and_values_alone():
    card = metadata_load(SPACE / "README.md")
    assert set(card) == CARD_KEYS
    assert card["suggested_hardware"] in {hardware.value for hardware in SpaceHardware}
    assert card["python_version"] in ZERO_GPU_PYTHON
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {card["colorFrom"], card["colorTo"]} <= colours


def test_requirements_name_every_package_that_is_imported():
    """Of a fresh environment nothing else can be expected.

    Only `spaces`, and the library for `/v1/predict`, may be missing.
    """
    names = {
        Requirement(line).name.replace("-", "_")
        for line in (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    }
    packages = {"scikit_learn": "sklearn", "openai_whisper": "whisper", "webvtt_py": "webvtt"}
    names = {packages.get(name, name) for name in names}
    imported = set()
    for file in SPACE.glob("*.py"):
        found = re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(encoding="utf-8"), re.M)
        imported |= set(found) - {path.stem for path in SPACE.glob("*.py")}
    comes_with_gradio = {"PIL", "starlette", "pandas", "gradio_client", "packaging", "mcp"}
    known = set(sys.stdlib_module_names) | names | comes_with_gradio
    assert imported - known == {"spaces", "speech_emotion"}


def test_everything_is_pushed(hub, tmp_path):
    push = hub.env(tmp_path, PYTHONPATH=str(ROOT))
    script = str(ROOT / "scripts" / "push_space.py")
    address = hub.run([script, "owner/demo", "--model", "owner/emotion"], env=push)
    assert address.strip() == f"{hub.url}/spaces/owner/demo"
    api = HfApi(endpoint=hub.url, token=hub.token)
    for old in ("one_tab.py", "hub_model/old.py"):  # of an earlier push
        api.upload_file(
            path_or_fileobj=b"old", path_in_repo=old, repo_id="owner/demo", repo_type="space"
        )
    before = len(api.list_repo_commits("owner/demo", repo_type="space"))
    hub.run([script, "owner/demo", "--model", "owner/emotion"], env=push)
    assert len(api.list_repo_commits("owner/demo", repo_type="space")) == before + 1
    pushed = set(api.list_repo_files("owner/demo", repo_type="space"))

    def files(folder: Path, root: Path) -> set[str]:
        found = (path.relative_to(root) for path in folder.rglob("*") if path.is_file())
        return {p.as_posix() for p in found if not {"__pycache__", ".gradio"} & set(p.parts)}

    beside = [files(ROOT / name, ROOT) for name in ("examples", *LIBRARY)]
    assert pushed - {".gitattributes"} == files(SPACE, SPACE).union(*beside)
    assert {"gpu.py", "archives.py", "packages.txt", "Dockerfile"} <= pushed
    card = metadata_load(api.hf_hub_download("owner/demo", "README.md", repo_type="space"))
    assert card["models"] == ["owner/emotion"] and card["sdk"] == "gradio"
    assert not [name for name in card["datasets"] if name.startswith("your-name/")]


def test_make_pushes(tmp_path):
    command = ["make", "--dry-run", "push-space", "REPO=you/name", "SER_MODEL=you/model"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "scripts/push_space.py you/name --model you/model" in run.stdout


def instructions() -> list[tuple[str, str]]:
    text = (SPACE / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line]


def test_the_dockerfile_copies_and_runs_what_is_there():
    steps = instructions()
    assert next(name for name, _ in steps) == "FROM"
    for arguments in (arguments for name, arguments in steps if name == "COPY"):
        words = [word for word in shlex.split(arguments) if not word.startswith("--")]
        assert all((SPACE / source).exists() for source in words[:-1]), arguments
    for name, arguments in steps:
        if name in {"CMD", "HEALTHCHECK"}:
            program, script = re.search(r'\["(\w+)", "([\w.]+)"\]', arguments).groups()
            assert program == "python" and (SPACE / script).is_file()


def test_the_container_has_no_root_and_no_cuda():
    steps = instructions()
    names = [name for name, _ in steps]
    assert names.count("USER") == 1 and dict(steps)["USER"] == "user"
    # Nothing is installed by the user, and nothing is started by root.
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")
    assert names.index("USER") < names.index("CMD")
    (install,) = [a for n, a in steps if n == "RUN" and "pip install" in a]
    before, after = install.split("--requirement")
    assert '--index-url "$TORCH_INDEX"' in before and "index" not in after
    assert dict(steps)["ARG"].endswith("/cpu")
    torch = [
        line
        for line in (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if re.match("torch>", line)  # as the Dockerfile's grep has it
    ]
    assert len(torch) == 1
    assert dict(steps)["EXPOSE"] == "7860"
    assert "GRADIO_SERVER_NAME=0.0.0.0" in dict(steps)["ENV"]


def test_packages_are_plain_names():
    """The Hub hands the file to apt-get as it is, so a comment would be a package."""
    names = Path(SPACE / "packages.txt").read_text(encoding="utf-8").split()
    assert names and all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in names)


def test_the_health_check_knows_a_page_that_answers(serve, stock_model, monkeypatch, capsys):
    port = urlsplit(serve(model=str(stock_model))).port
    monkeypatch.setenv("GRADIO_SERVER_PORT", str(port))
    assert healthy.main() == 0
    monkeypatch.setenv("GRADIO_SERVER_PORT", "1")
    assert healthy.main() == 1
    assert "not healthy" in capsys.readouterr().err


@pytest.mark.skipif(
    subprocess.run("docker info", shell=True, capture_output=True).returncode != 0,
    reason="no docker daemon is running",
)
@pytest.mark.slow
def test_the_image_is_built():
    subprocess.run(["docker", "build", "--tag", "speech-emotion-test", SPACE], check=True)
