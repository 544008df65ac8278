"""Manifests: the ids, labels, splits and hashes of a corpus, from which it can be built again.

A build from a manifest gives the same corpus: the rows are taken as the manifest lists them, every
original is checked by the hash of its samples, and every copy is made again from its recorded
parameters.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

from corpus_builder import CorpusError
from corpus_builder.layout import BUILD_FILE
from corpus_builder.records import SPLITS, Clip
from corpus_builder.shards import read_rows
from corpus_builder.splits import Splits

MANIFEST_COLUMNS = (
    *("utterance_id", "source_id", "corpus", "label", "source_label", "speaker_id"),
    *("fold", "duration", "augmentation", "audio_hash"),
)
"""The columns of a manifest. Some corpora do not allow their transcripts to be published."""

Plan = Sequence[tuple[Clip, str, str]]


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest.

    Args:
        report: its ``build.json``.
        rows: configuration -> split -> rows, in order.
    """

    report: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]

    @classmethod
    def read(cls, where: str) -> "Manifest":
        """Read a manifest from a folder or from a data set repo.

        Raises:
            CorpusError: there is no such folder or repo, or it holds no manifest.
        """
        folder = Path(where)
        if not folder.is_dir():
            folder = _fetch(where)
        try:
            report = json.loads((folder / BUILD_FILE).read_text(encoding="utf-8"))
            rows = {
                name: {split: _read_lines(folder / name / f"{split}.jsonl") for split in SPLITS}
                for name in report["configs"]
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"--manifest {where}: not a manifest ({error})") from error
        return cls(report, rows)

    def splits(
        self, config: str, clips: Sequence[Clip], *, make_copies: Callable[[Plan], list[Clip]]
    ) -> Splits:
        """Return the rows of a configuration, in the manifest's order.

        Args:
            config: its name.
            clips: the originals.
            make_copies: makes copies, given as (source, id, parameters).

        Raises:
            CorpusError: originals are missing, or are other recordings.
        """
        originals = {clip.utterance_id: clip for clip in clips}
        rows = self.rows[config]
        every = [row for split in rows.values() for row in split]
        missing = sorted({row["source_id"] for row in every} - set(originals))
        if missing:
            raise CorpusError(_error_line("not there", missing))
        other = [
            row["utterance_id"]
            for row in every
            if row["augmentation"] is None
            and (row["audio_hash"], row["label"])
            != (originals[row["utterance_id"]].audio_hash, originals[row["utterance_id"]].label)
        ]
        if other:
            raise CorpusError(_error_line("other recordings or labels", sorted(other)))
        plan = [
            (originals[row["source_id"]], row["utterance_id"], row["augmentation"])
            for row in every
            if row["augmentation"] is not None
        ]
        made = originals | {clip.utterance_id: clip for clip in make_copies(plan)}
        return {
            split: [made[row["utterance_id"]] for row in listed] for split, listed in rows.items()
        }


def write_manifest(out: Path, report: Mapping[str, Any], folder: Path) -> None:
    """Write the manifest of a built corpus, all but its card, into an empty folder."""
    (folder / BUILD_FILE).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for name in report["configs"]:
        (folder / name).mkdir()
        for split, rows in read_rows(out, name).items():
            lines = (json.dumps({key: row[key] for key in MANIFEST_COLUMNS}) for row in rows)
            text = "".join(f"{line}\n" for line in lines)
            (folder / name / f"{split}.jsonl").write_text(text, encoding="utf-8")


def _fetch(repo: str) -> Path:
    try:
        patterns = [BUILD_FILE, "*/*.jsonl"]
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=patterns))
    except HFValidationError as error:
        raise CorpusError(f"--manifest {repo}: neither a folder nor a repo id") from error
    except (HfHubHTTPError, HTTPError, OSError) as error:
        raise CorpusError(
            f"--manifest {repo}: no such folder, and the Hub gives no such data set ({error})"
        ) from error


def _read_lines(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if missing := set(MANIFEST_COLUMNS) - set(row):
            raise ValueError(f"{path.name}: rows without {', '.join(sorted(missing))}")
    return rows


def _error_line(what: str, names: Sequence[str]) -> str:
    more = ", ..." if len(names) > 3 else ""
    return f"--manifest: {len(names)} recordings are {what}: {', '.join(names[:3])}{more}"
