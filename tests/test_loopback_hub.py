"""The loopback hub against the real clients: what is pushed is what is read."""

import hashlib
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import AutoModel, BertConfig, BertModel

from tests.helpers.loopback_hub import LoopbackHub

MEBIBYTE = 1024 * 1024


@pytest.fixture
def api(hub: LoopbackHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token)


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def put(api: HfApi, repo_id: str, path: str, data: bytes, **options) -> str:
    """Upload one file; returns the commit."""
    return api.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id=repo_id, **options).oid


MODEL_FILES = {
    "README.md": b"---\nlicense: apache-2.0\npipeline_tag: audio-classification\n---\n# A model\n",
    "config.json": b"{}\n",
    "empty.txt": b"",
    "a folder/with space.txt": "\u00e9t\u00e9".encode(),
    "model.safetensors": bytes(range(256)) * 40,
    "onnx/model.onnx": b"not really",
}
LARGE = {"model.safetensors", "onnx/model.onnx"}


def test_a_folder_comes_back_as_it_was(hub, api, tmp_path):
    assert api.whoami()["name"] == "owner"
    url = api.create_repo("model")
    assert (url.repo_id, url.repo_type) == ("owner/model", "model")
    assert api.create_repo("owner/model", exist_ok=True).repo_id == "owner/model"
    with pytest.raises(HfHubHTTPError, match="already created"):
        api.create_repo("owner/model")

    folder = write_files(tmp_path / "folder", MODEL_FILES)
    commit = api.upload_folder(repo_id="owner/model", folder_path=folder, commit_message="All")
    assert set(api.list_repo_files("owner/model")) == {*MODEL_FILES, ".gitattributes"}
    info = api.model_info("owner/model", files_metadata=True)
    assert (info.sha, info.private, info.pipeline_tag) == (
        commit.oid,
        False,
        "audio-classification",
    )
    assert info.card_data["license"] == "apache-2.0"
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings}
    assert sizes | {name: len(data) for name, data in MODEL_FILES.items()} == sizes

    for file in api.get_paths_info("owner/model", list(MODEL_FILES)):
        assert (file.lfs is not None) == (file.path in LARGE)
        if file.lfs:
            assert file.lfs.sha256 == hashlib.sha256(MODEL_FILES[file.path]).hexdigest()
    for name, data in MODEL_FILES.items():
        local = api.hf_hub_download("owner/model", name, cache_dir=tmp_path / "cache")
        assert Path(local).read_bytes() == data

    uploads = [r for r in hub.requests if r.method == "PUT"]
    assert len(uploads) == len(LARGE)
    again = api.upload_folder(repo_id="owner/model", folder_path=folder)
    assert again.oid == commit.oid, "an unchanged folder makes no commit"
    put(api, "owner/model", "copy.safetensors", MODEL_FILES["model.safetensors"])
    assert [r for r in hub.requests if r.method == "PUT"] == uploads, "known content is sent once"


def test_large_files_go_through_lfs_whatever_their_name(api, tmp_path):
    api.create_repo("model")
    data = bytes(10 * MEBIBYTE + 1)
    put(api, "owner/model", "notes.txt", data)
    (file,) = api.get_paths_info("owner/model", "notes.txt")
    assert file.lfs.size == file.size == len(data)


def test_history_branches_and_tags(api, tmp_path):
    api.create_repo("owner/corpus", repo_type="dataset")
    kind = {"repo_type": "dataset"}
    first = put(api, "owner/corpus", "data/a.txt", b"old", commit_message="First", **kind)
    api.create_tag("owner/corpus", tag="v1", **kind)
    second = put(api, "owner/corpus", "data/a.txt", b"new", commit_message="Second", **kind)
    put(api, "owner/corpus", "data/b.txt", b"b", commit_message="Third", **kind)

    titles = [commit.title for commit in api.list_repo_commits("owner/corpus", **kind)]
    assert titles == ["Third", "Second", "First", "initial commit"]
    refs = api.list_repo_refs("owner/corpus", **kind)
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1", first)]
    for revision, content in {first: b"old", "v1": b"old", second: b"new", "main": b"new"}.items():
        local = api.hf_hub_download(
            "owner/corpus", "data/a.txt", revision=revision, cache_dir=tmp_path, **kind
        )
        assert Path(local).read_bytes() == content

    tree = list(api.list_repo_tree("owner/corpus", "data", expand=True, **kind))
    changes = {entry.path: entry.last_commit.title for entry in tree}
    assert changes == {"data/a.txt": "Second", "data/b.txt": "Third"}

    api.create_branch("owner/corpus", branch="try/one", revision="v1", **kind)
    api.delete_file("data/a.txt", "owner/corpus", revision="try/one", **kind)
    assert api.list_repo_files("owner/corpus", revision="try/one", **kind) == [".gitattributes"]
    assert "data/a.txt" in api.list_repo_files("owner/corpus", **kind)
    api.delete_folder("data", "owner/corpus", **kind)
    assert api.list_repo_files("owner/corpus", **kind) == [".gitattributes"]

    late = [CommitOperationAdd("c.txt", b"c")]
    with pytest.raises(HfHubHTTPError, match="A commit has happened since"):
        api.create_commit(
            "owner/corpus", late, commit_message="Late", parent_commit=first, repo_type="dataset"
        )


def test_what_does_not_exist_is_refused_as_the_hub_does(api, tmp_path):
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("owner/nothing")
    api.create_repo("owner/model")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("owner/model", revision="nothing")
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("owner/model", "nothing.txt", cache_dir=tmp_path)
    with pytest.raises(EntryNotFoundError):
        api.delete_file("nothing.txt", "owner/model")
    with pytest.raises(ValueError, match="Invalid metadata in README.md"):
        put(api, "owner/model", "README.md", b"---\nlicense: [\n---\n")
    with pytest.raises(BadRequestError, match="Pull requests"):
        put(api, "owner/model", "a.txt", b"a", create_pr=True)
    api.delete_repo("owner/model")
    assert not api.repo_exists("owner/model")


def test_who_may_do_what(hub, api, tmp_path):
    api.create_repo("owner/secret", private=True)
    put(api, "owner/secret", "a.txt", b"a")
    api.create_repo("owner/open")

    def status(token, action) -> int:
        with pytest.raises(HfHubHTTPError) as caught:
            action(HfApi(endpoint=hub.url, token=token))
        return caught.value.response.status_code

    def read(client: HfApi) -> str:
        return client.hf_hub_download("owner/secret", "a.txt", cache_dir=tmp_path)

    def read_about(client: HfApi) -> None:
        client.model_info("owner/secret")

    def write(client: HfApi) -> None:
        put(client, "owner/open", "b.txt", b"b")

    assert status(False, read) == status(False, read_about) == status(False, write) == 401
    assert status("hf_unknown", read_about) == 401
    with pytest.raises(RepositoryNotFoundError):
        read(HfApi(endpoint=hub.url, token=False))
    assert status(hub.guest_token, read) == 404, "the Hub hides private repos from strangers"
    assert status(hub.guest_token, write) == 403
    assert status(hub.guest_token, lambda client: client.create_repo("owner/mine")) == 403
    assert Path(read(api)).read_bytes() == b"a"

    api.update_repo_settings("owner/secret", private=False)
    assert HfApi(endpoint=hub.url, token=False).model_info("owner/secret").private is False


def test_second_snapshot_comes_from_the_cache_even_offline(hub, api, tmp_path):
    api.create_repo("owner/model")
    folder = write_files(tmp_path / "folder", MODEL_FILES)
    api.upload_folder(repo_id="owner/model", folder_path=folder)
    code = """
        from pathlib import Path
        from huggingface_hub import snapshot_download
        print(len(Path(snapshot_download("owner/model"), "model.safetensors").read_bytes()))
    """
    env = hub.env(tmp_path)
    size = f"{len(MODEL_FILES['model.safetensors'])}\n"
    assert hub.run(code, env=env, token=False) == size
    fetched = {unquote(name.split("/", 1)[1]) for name in hub.downloads()}
    assert fetched == {".gitattributes", *MODEL_FILES} - {"empty.txt"}

    hub.requests.clear()
    assert hub.run(code, env=env, token=False) == size
    assert hub.requests and not hub.downloads()

    hub.stop()
    hub.requests.clear()
    assert hub.run(code, env=env, token=False) == size
    assert hub.process(code, token=False).returncode == 1, "an empty cache cannot help"
    assert not hub.requests
    hub.start()
    assert hub.run(code) == size


def test_broken_download_goes_on_where_it_stopped(hub, api, tmp_path):
    api.create_repo("owner/model")
    data = b"".join(i.to_bytes(4, "little") for i in range(3 * MEBIBYTE))
    put(api, "owner/model", "model.safetensors", data)
    hub.requests.clear()
    hub.cut_next_download("model.safetensors", after=11 * MEBIBYTE)
    local = api.hf_hub_download("owner/model", "model.safetensors", cache_dir=tmp_path)
    assert Path(local).read_bytes() == data
    ranges = [(r.status, r.byte_range) for r in hub.requests if r.is_download]
    assert ranges == [(200, None), (206, f"bytes={10 * MEBIBYTE}-")]


def test_dataset_is_pushed_loaded_and_streamed(hub):
    assert hub.run("""
        from datasets import Audio, ClassLabel, Dataset, Features, load_dataset
        from datasets.exceptions import DatasetNotFoundError
        features = Features({"audio": Audio(16_000), "label": ClassLabel(names=["angry", "calm"])})
        audio = [{"bytes": b"first", "path": "1.flac"}, {"bytes": b"second", "path": "2.flac"}]
        corpus = Dataset.from_dict({"audio": audio, "label": [1, 0]}, features=features)
        corpus.push_to_hub("owner/corpus", "speaker_disjoint", split="train", private=True)
        corpus.select([1]).push_to_hub("owner/corpus", "paper", split="test")

        try:
            load_dataset("owner/corpus", "paper", token=False)
        except DatasetNotFoundError as error:
            print(error)
        corpus = load_dataset("owner/corpus", "speaker_disjoint", split="train")
        assert corpus.features["label"].names == ["angry", "calm"]
        print(corpus.cast_column("audio", Audio(decode=False))[:])
        corpus = load_dataset("owner/corpus", "paper", split="test", streaming=True)
        print(list(corpus.cast_column("audio", Audio(decode=False))))
    """).splitlines() == [
        "Dataset 'owner/corpus' doesn't exist on the Hub or cannot be accessed.",
        "{'audio': [{'bytes': b'first', 'path': '1.flac'}, {'bytes': b'second', 'path': '2.flac'}],"
        " 'label': [1, 0]}",
        "[{'audio': {'bytes': b'second', 'path': '2.flac'}, 'label': 0}]",
    ]
    assert len({name for name in hub.downloads() if name.endswith(".parquet")}) == 2
    foreign = [r.path for r in hub.requests if not r.path.startswith("/")]
    assert all("datasets-server." in path for path in foreign), "no other host is asked"


def test_model_is_pushed_and_loaded(hub, tmp_path, monkeypatch):
    hub.use_here(monkeypatch, tmp_path / "push")
    torch.manual_seed(1)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 11}
    pushed = BertModel(BertConfig(**sizes, intermediate_size=8)).eval()
    pushed.push_to_hub("owner/bert")
    hub.use_here(monkeypatch, tmp_path / "load")
    monkeypatch.delenv("HF_TOKEN")
    loaded = AutoModel.from_pretrained("owner/bert").eval()
    answers = [model(torch.arange(5)[None]).last_hidden_state for model in (pushed, loaded)]
    assert torch.equal(*answers)
    assert any(name.endswith("/model.safetensors") for name in hub.downloads())


def test_space_is_created_and_filled(hub, api, tmp_path):
    with pytest.raises(ValueError, match="space_sdk"):
        api.create_repo("owner/demo", repo_type="space")
    url = api.create_repo("owner/demo", repo_type="space", space_sdk="gradio")
    assert url == f"{hub.url}/spaces/owner/demo"
    files = {"README.md": b"---\nsdk: gradio\n---\n", "app.py": b"print()\n", "a.wav": b"RIFF"}
    folder = write_files(tmp_path / "space", files)
    api.upload_folder(repo_id="owner/demo", repo_type="space", folder_path=folder)
    info = api.space_info("owner/demo")
    assert (info.sdk, info.card_data.sdk) == ("gradio", "gradio")
    copy = api.snapshot_download("owner/demo", repo_type="space", local_dir=tmp_path / "copy")
    assert {name: Path(copy, name).read_bytes() for name in files} == files


def test_subprocesses_see_this_hub_and_nothing_else(hub, tmp_path):
    assert (
        hub.run("""
        import os, urllib.request
        print(os.listdir(), os.environ["HF_TOKEN"])
        for url in ("http://example.org/a", "https://example.org/b"):
            try:
                urllib.request.urlopen(url)
            except OSError as error:
                print(type(error).__name__)
    """)
        == f"[] {hub.token}\nHTTPError\nURLError\n"
    )
    asked = [(r.method, r.path) for r in hub.requests]
    assert asked == [("GET", "http://example.org/a"), ("CONNECT", "example.org:443")]

    show = "import os, sys; print(os.environ.get('HF_TOKEN'), os.environ.get('X'), sys.argv[1:])"
    script = tmp_path / "show.py"
    script.write_text(show)
    assert hub.run([str(script), "a b"], token=False) == "None None ['a b']\n"
    env = hub.env(tmp_path, X="1")
    assert hub.run([str(script)], env=env, token="other") == "other 1 []\n"
    with pytest.raises(AssertionError, match="exit code 3\n.*\nthe reason"):
        hub.run("import sys; print('the reason', file=sys.stderr); sys.exit(3)")


def test_a_process_cannot_import_the_project(hub):
    code = "from importlib.util import find_spec; print(find_spec('hub_model'), find_spec('torch'))"
    assert hub.run(code).startswith("None ModuleSpec")
