"""Pushing a built corpus to the Hub, within its licences (design rule 10)."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from corpus_builder import CorpusError
from corpus_builder.card import card_text
from corpus_builder.hub import push_folder
from corpus_builder.layout import BUILD_FILE, CARD_FILE, FIGURE_FILE, REJECTED_FILE
from corpus_builder.manifest import write_manifest


def read_report(out: Path) -> dict[str, Any]:
    """Return a built corpus's ``build.json``.

    Raises:
        CorpusError: the folder holds no finished build.
    """
    path = out / BUILD_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorpusError(f"{out}: no finished build (no {BUILD_FILE})") from error
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from error


def publish(
    out: Path,
    *,
    repo: str,
    private: bool = False,
    have_rights: bool = False,
    manifest_only: bool = False,
) -> str:
    """Push a built corpus to a data set repo, made when it is not there.

    Args:
        out: the folder that ``build`` wrote.
        repo: id of the repo, ``you/speech-emotion-corpus``.
        private: push to a private repo.
        have_rights: the owner says that they may store the audio of closed corpora there.
        manifest_only: push ids, labels, splits and hashes without audio, which is open to all.

    Returns:
        The address of the commit.

    Raises:
        CorpusError: no finished build; audio that may not be shared; a repo that is public where
            it must be private; the Hub refuses or cannot be reached.
    """
    report = read_report(out)
    if manifest_only:
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_manifest(out, report, folder)
            (folder / CARD_FILE).write_text(card_text(report, manifest=True), encoding="utf-8")
            return _push(folder, ["*"], repo=repo, private=private, report=report)
    closed = sorted(
        name for name, source in report["sources"].items() if not source["redistributable"]
    )
    if closed and not (private and have_rights):
        raise CorpusError(
            f"the audio of {', '.join(closed)} may not be shared: push to a private repo "
            f"(--private) and only if you have the right to store it there (--i-have-the-rights); "
            f"or push no audio at all (--manifest-only)"
        )
    shards = [f"{name}/*.parquet" for name in report["configs"]]
    files = [CARD_FILE, BUILD_FILE, REJECTED_FILE, FIGURE_FILE, *shards]
    return _push(out, files, repo=repo, private=private, report=report)


def _push(
    folder: Path, files: list[str], *, repo: str, private: bool, report: Mapping[str, Any]
) -> str:
    commit = push_folder(
        folder,
        repo,
        repo_type="dataset",
        private=private,
        files=files,
        delete=["*.parquet", "*.jsonl"],
        message=f"Corpus {report['fingerprint'][:12]}",
    )
    return commit.commit_url
