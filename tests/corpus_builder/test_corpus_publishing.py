import json

import pytest
from datasets import load_dataset
from huggingface_hub import CommitOperationAdd, HfApi

from corpus_builder import CorpusError
from corpus_builder.__main__ import main
from corpus_builder.publishing import publish, read_report

REPO = {"repo_id": "owner/corpus", "repo_type": "dataset"}


@pytest.fixture
def push(hub, monkeypatch, tmp_path, capsys):
    """Run the command line against the loopback Hub; returns exit code, output, errors."""
    hub.use_here(monkeypatch, tmp_path / "cache")

    def run(out, *options, repo="owner/corpus"):
        capsys.readouterr()
        code = main(["publish", str(out), "--repo", repo, *options])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def closed(tmp_path):
    """A corpus that holds audio which may not be shared."""
    sources = {
        "ravdess": {"redistributable": True},
        "iemocap": {"redistributable": False},
        "savee": {"redistributable": False},
    }
    report = {"sources": sources, "configs": {"paper": {}}, "fingerprint": "0" * 64}
    (tmp_path / "build.json").write_text(json.dumps(report))
    return tmp_path


@pytest.mark.parametrize(
    "options", [{}, {"private": True}, {"have_rights": True}], ids=["public", "private", "rights"]
)
def test_audio_that_may_not_be_shared_is_refused(closed, options):
    with pytest.raises(CorpusError, match="the audio of iemocap, savee may not be shared"):
        publish(closed, repo="you/corpus", **options)


def test_an_unfinished_build_is_not_published(tmp_path):
    with pytest.raises(CorpusError, match=r"no finished build \(no build.json\)"):
        publish(tmp_path, repo="you/corpus")


def test_a_broken_report_is_one_line(tmp_path):
    (tmp_path / "build.json").write_text("{")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_report(tmp_path)


def test_a_wrong_repo_id_is_one_line(corpus):
    with pytest.raises(CorpusError, match="not/a/repo"):
        publish(corpus, repo="not/a/repo")


def test_an_unreachable_hub_is_one_line(corpus, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CorpusError, match="you/corpus: the Hub cannot be reached"):
        publish(corpus, repo="you/corpus")


def test_a_pushed_corpus_is_loaded_by_its_id(hub, push, corpus):
    code, printed, error = push(corpus)
    assert code == 0, error
    assert printed.startswith(f"{hub.url}/datasets/owner/corpus/commit/")
    for config in ("speaker_disjoint", "paper", "natural"):
        data = load_dataset("owner/corpus", config)
        assert sum(data.num_rows.values()) == 84
        assert data["train"].features["label"].names[0] == "angry"
        stream = load_dataset("owner/corpus", config, split="test", streaming=True)
        assert len(list(stream.remove_columns("audio"))) == data["test"].num_rows


def test_a_private_push_into_a_public_repo_is_refused(hub, push, corpus):
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo("owner/corpus", repo_type="dataset")
    code, _, error = push(corpus, "--private")
    assert code == 2
    assert "owner/corpus is a public repo already" in error
    assert not any(name.endswith(".parquet") for name in api.list_repo_files(**REPO))
    assert push(corpus, "--private", repo="owner/hidden")[0] == 0
    assert api.dataset_info("owner/hidden").private


def test_shards_of_an_older_build_are_removed(hub, push, corpus):
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo("owner/corpus", repo_type="dataset")
    api.upload_file(
        path_or_fileobj=b"old", path_in_repo="paper/train-00000-of-00007.parquet", **REPO
    )
    assert push(corpus)[0] == 0
    assert "paper/train-00000-of-00007.parquet" not in api.list_repo_files(**REPO)


def test_a_push_without_a_token_is_one_line(push, corpus, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    code, _, error = push(corpus)
    assert code == 2
    assert error.startswith("corpus_builder: owner/corpus: the Hub refused")
    assert error.count("\n") == 1


def test_what_an_interrupted_push_has_sent_is_not_sent_again(hub, push, corpus):
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo("owner/corpus", repo_type="dataset")
    sent = CommitOperationAdd(
        path_in_repo="paper/train-00000-of-00001.parquet",
        path_or_fileobj=corpus / "paper" / "train-00000-of-00001.parquet",
    )
    api.preupload_lfs_files(additions=[sent], **REPO)

    def uploads():
        return [r for r in hub.requests if r.method == "PUT" and "/lfs-upload/" in r.path]

    assert len(uploads()) == 1
    assert push(corpus)[0] == 0
    shards = list(corpus.rglob("*.parquet"))
    figure = 1
    assert len(uploads()) == len(shards) + figure
    assert sent.path_in_repo in api.list_repo_files(**REPO)


def test_a_manifest_holds_no_audio_and_builds_the_same_corpus(hub, push, corpus, raw, tmp_path):
    code, _, error = push(corpus, "--manifest-only")
    assert code == 0, error
    names = HfApi(endpoint=hub.url, token=hub.token).list_repo_files(**REPO)
    assert "paper/train.jsonl" in names
    assert not any(name.endswith((".parquet", ".flac")) for name in names)
    data = load_dataset("owner/corpus", "paper")
    assert sum(data.num_rows.values()) == 84
    assert sorted(data["train"].column_names)[:3] == ["audio_hash", "augmentation", "corpus"]
    out = tmp_path / "again"
    arguments = ["--source", f"ravdess={raw}", "--out", str(out), "--manifest", "owner/corpus"]
    assert main(["build", *arguments, "--workers", "1"]) == 0
    for path in corpus.rglob("*.parquet"):
        assert (out / path.relative_to(corpus)).read_bytes() == path.read_bytes()


def test_a_manifest_of_closed_audio_may_be_public(closed, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CorpusError, match="no shards of a built corpus"):
        publish(closed, repo="you/corpus", manifest_only=True)
