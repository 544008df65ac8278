"""The data set card, written from what ``build.json`` holds."""

import json
from collections.abc import Mapping
from typing import Any

from datasets import DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from corpus_builder.layout import FIGURE_FILE
from corpus_builder.records import features
from corpus_builder.statistics import markdown_table

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}

PROTOCOL_TEXT = {
    "speaker_disjoint": (
        "No speaker is in two splits, with labels, genders and corpora spread as evenly as whole "
        "speakers allow. Report results on this one."
    ),
    "paper": (
        "The paper's protocol: a random 80:20 cut into train and test, then 80:20 of train into "
        "train and validation, both stratified by label. Every speaker and sentence is in all "
        "three splits, so results are **speaker-dependent** and look better than they would be "
        "on a new voice. Never show them without those of `speaker_disjoint`. The train part is "
        "balanced before validation is cut from it, so altered copies of one recording stand on "
        "both sides of that cut, and validation results look better still. Test is untouched and "
        "shares no recording with the others."
    ),
    "natural": (
        "The cut of `speaker_disjoint` without any balancing. The column `fold` holds the "
        "published folds of each corpus: put the splits together and cut by it for "
        "cross-validation."
    ),
}


def card_text(report: Mapping[str, Any]) -> str:
    """Return ``README.md`` with front matter that ``load_dataset`` and the Hub read."""
    return f"---\n{_front_matter(report)}\n---\n\n{_body(report)}"


def _front_matter(report: Mapping[str, Any]) -> str:
    default, *_ = report["configs"]
    clips = sum(split["clips"] for split in report["configs"][default]["splits"].values())
    data = DatasetCardData(
        pretty_name="Speech Emotion Corpus",
        language=["en"],
        license=sorted({source["licence"] for source in report["sources"].values()}),
        task_categories=["audio-classification"],
        tags=["speech-emotion-recognition", "emotion", *report["sources"]],
        size_categories=[next((s for n, s in SIZES.items() if clips < n), "1M<n<10M")],
        configs=[
            {"config_name": name}
            | ({"default": True} if name == default else {})
            | {
                "data_files": [
                    {"split": split, "path": f"{name}/{split}-*.parquet"}
                    for split in config["splits"]
                ]
            }
            for name, config in report["configs"].items()
        ],
    )
    columns = features(keep_neutral=report["settings"]["keep_neutral"])
    infos = DatasetInfosDict()
    for name, config in report["configs"].items():
        size = sum(split["num_bytes"] for split in config["splits"].values())
        infos[name] = DatasetInfo(
            config_name=name,
            features=columns,
            splits=SplitDict(
                {
                    split: SplitInfo(split, num_bytes=info["num_bytes"], num_examples=info["clips"])
                    for split, info in config["splits"].items()
                }
            ),
            download_size=size,
            dataset_size=size,
        )
    infos.to_dataset_card_data(data)
    return data.to_yaml()


def _body(report: Mapping[str, Any]) -> str:
    settings = report["settings"]
    default, *_ = report["configs"]
    sections = [
        "# Speech Emotion Corpus",
        f"Acted emotional speech with one set of labels: {', '.join(report['emotions'])}. Built "
        'after section III-A of "Speech and Text-Based Emotion Recognizer". Every clip is 16 kHz '
        "mono FLAC, already cleaned.",
        f'```python\nfrom datasets import load_dataset\n\nload_dataset("<this>", "{default}")\n```',
        "## Sources and licences",
        markdown_table(
            ["corpus", "licence", "audio may be shared", "kept", "options"],
            [
                [
                    f"[{source['title']}]({source['url']})",
                    source["licence"],
                    "yes" if source["redistributable"] else "no",
                    sum(report["kept"].get(name, {}).values()),
                    _options(source["options"]),
                ]
                for name, source in report["sources"].items()
            ],
        ),
        f"![clips per emotion and corpus after cleaning]({FIGURE_FILE})",
        "## Configurations",
    ]
    for name, config in report["configs"].items():
        sections += _describe_config(name, config, report["emotions"])
    sections += [
        "## Cleaning",
        f"By `hub_model.audio` at 16 kHz: {_options(settings['cleaning'])}. Clips under "
        f"{settings['min_duration']:g} s after cleaning are dropped, and so is every second copy "
        "of a recording (by hash of the decoded samples). `rejected.csv` lists each dropped file.",
        _drops(report),
        "## How to rebuild",
        f"`{_command(report)}` at commit `{report['commit'] or 'unknown'}`; fingerprint "
        f"`{report['fingerprint']}`. `build.json` holds all settings, versions and counts.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _describe_config(name: str, config: Mapping[str, Any], emotions: list[str]) -> list[str]:
    table = markdown_table(
        ["split", *emotions, "clips", "hours", "speakers"],
        [
            [
                split,
                *(info["labels"][emotion] for emotion in emotions),
                info["clips"],
                f"{info['hours']:.2f}",
                len(info["speakers"]),
            ]
            for split, info in config["splits"].items()
        ],
    )
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for finding in config["audit"]:
        by_kind.setdefault(finding["what"], []).append(finding)
    audit = markdown_table(
        ["looked for", "found in", "allowed because"],
        [
            [
                what,
                "; ".join(
                    f"{' and '.join(finding['splits'])}: {finding['count']}" for finding in findings
                ),
                next((f["allowed"] for f in findings if f["count"]), ""),
            ]
            for what, findings in by_kind.items()
        ],
    )
    return [
        f"### {name}",
        PROTOCOL_TEXT[name],
        table,
        "The leak audit of the shards looked for each of these across splits:",
        audit,
    ]


def _drops(report: Mapping[str, Any]) -> str:
    lines = [
        [corpus, reason, *(labels.get(name, 0) for name in (*report["emotions"], "unknown"))]
        for corpus, reasons in report["dropped"].items()
        for reason, labels in reasons.items()
    ]
    removed = "; ".join(
        f"{count} {label} of {corpus}"
        for corpus, labels in report["removed_labels"].items()
        for label, count in labels.items()
    )
    table = markdown_table(["corpus", "dropped", *report["emotions"], "unknown"], lines)
    return (table if lines else "Nothing was dropped.") + (
        f"\n\nRemoved labels: {removed}." if removed else ""
    )


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {json.dumps(value)}" for name, value in options.items())


def _command(report: Mapping[str, Any]) -> str:
    sources = " ".join(f"--source {name}=DIR" for name in report["sources"])
    neutral = " --keep-neutral" if report["settings"]["keep_neutral"] else ""
    return (
        f"python -m corpus_builder build {sources} --out DIR "
        f"--seed {report['settings']['seed']}{neutral}"
    )
