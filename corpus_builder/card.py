"""The data set card, written from ``build.json``."""

import json
from collections.abc import Mapping
from typing import Any

from datasets import DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from corpus_builder.cleaning import MIN_DURATION
from corpus_builder.labels import VOTE_CLASSES
from corpus_builder.layout import FIGURE_FILE
from corpus_builder.records import features
from corpus_builder.statistics import markdown_table
from hub_model.audio import Cleaning

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}

AUDIO_TEXT = "Every clip is 16 kHz mono FLAC, already cleaned."
THIN_TEXT = {
    "largest": "clips of their largest corpus first",
    "even": "evenly from their larger corpora",
    None: "evenly from their larger corpora, in `paper` clips of their largest corpus first",
}
MANIFEST_TEXT = (
    "This is its manifest: ids, labels, splits and hashes, without audio. The same corpus can be "
    "built from it and the originals, see below."
)
OPTIONS = (
    ("ravdess", "song", "--ravdess-song"),
    ("iemocap", "excited", "--iemocap-excited"),
)

PROTOCOL_TEXT = {
    "speaker_disjoint": (
        "No speaker is in two splits; labels, genders and corpora are spread as evenly as whole "
        "speakers allow. Only train is balanced. Report results on this configuration."
    ),
    "paper": (
        "The paper's protocol: a random 80:20 cut into train and test, then 80:20 of train into "
        "train and validation, both stratified by label. Every speaker and sentence is in all "
        "three splits, so results are **speaker-dependent** and better than those for new "
        "speakers. Never report them without those of `speaker_disjoint`. The train part is "
        "balanced before validation is cut from it, so augmented copies of one recording are in "
        "both, and validation results are better still. Test is not augmented and shares no "
        "recording with the others."
    ),
    "natural": (
        "The splits of `speaker_disjoint` without balancing. For cross-validation join the splits "
        "and cut by the column `fold`: RAVDESS's five subject-wise folds, IEMOCAP's sessions, one "
        "speaker left out in nEMO, SAVEE and TESS, five groups of CREMA-D's actors."
    ),
}


COLUMNS_TEXT = f"""\
- `label` is the emotion, `source_label` the label of the corpus.
- `transcript` is the text of the corpus. `whisper_transcript` is what a transcriber recognised in
  the recording before cleaning, if one was asked for; an augmented copy has that of its source.
- `source_id` is the `utterance_id` of the recording that a clip was made from. `augmentation` holds
  the parameters (JSON) of a copy; it is null for a recording.
- `audio_hash` is the hash of the decoded samples: of the source file before cleaning, or of the
  augmented copy.
- `fold` is the number of the cross-validation fold within the corpus.
- `votes` holds the shares of the listeners' votes for {", ".join(VOTE_CLASSES)}, in this order
  (CREMA-D, ratings of the audio only).
- `valence`, `activation` and `dominance` run from 1 to 5 (IEMOCAP). They and the Big Five,
  `openness` to `neuroticism`, may come from a table of your own."""


def card_text(report: Mapping[str, Any], *, manifest: bool = False) -> str:
    """Return ``README.md`` with front matter that ``load_dataset`` and the Hub read.

    Args:
        report: the content of ``build.json``.
        manifest: the card of a manifest, which has no audio.
    """
    front_matter = _front_matter(report, manifest=manifest)
    return f"---\n{front_matter}\n---\n\n{_body(report, manifest=manifest)}"


def _front_matter(report: Mapping[str, Any], *, manifest: bool) -> str:
    default, *_ = report["configs"]
    clips = sum(split["clips"] for split in report["configs"][default]["splits"].values())
    ending = ".jsonl" if manifest else "-*.parquet"
    data = DatasetCardData(
        pretty_name="Speech Emotion Corpus" + (" (manifest)" if manifest else ""),
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
                    {"split": split, "path": f"{name}/{split}{ending}"}
                    for split in config["splits"]
                ]
            }
            for name, config in report["configs"].items()
        ],
    )
    if not manifest:
        _describe_data(data, report)
    return data.to_yaml()


def _describe_data(data: DatasetCardData, report: Mapping[str, Any]) -> None:
    """Add ``dataset_info``: features, class names and sizes."""
    columns = features(report["emotions"])
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


def _body(report: Mapping[str, Any], *, manifest: bool) -> str:
    settings = report["settings"]
    default, *_ = report["configs"]
    sections = [
        "# Speech Emotion Corpus",
        f"Emotional speech with one set of labels: {', '.join(report['emotions'])}. Built as in "
        'section III-A of "Speech and Text-Based Emotion Recognizer". '
        + (MANIFEST_TEXT if manifest else AUDIO_TEXT),
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
        "" if manifest else f"![clips per emotion after cleaning]({FIGURE_FILE})",
        "## Configurations",
    ]
    for name, config in report["configs"].items():
        sections += _describe_config(name, config, report["emotions"])
    sections += [
        "" if manifest else f"## Columns\n\n{COLUMNS_TEXT}",
        "## Cleaning",
        f"By `hub_model.audio` at 16 kHz: {_options(settings['cleaning'])}. Clips that are shorter "
        f"than {settings['min_duration']:g} s after cleaning are dropped, and so are duplicates "
        "(by hash of the decoded samples). `rejected.csv` lists every dropped file.",
        _drops(report),
        "## Balancing",
        _balancing(settings),
        "## How to rebuild",
        f"`{_command(report, manifest=manifest)}` at commit `{report['commit'] or 'unknown'}`; "
        f"fingerprint `{report['fingerprint']}`. `build.json` holds all settings, versions and "
        "counts.",
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
        "The leak audit of the shards looked for these across splits:",
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


def _balancing(settings: Mapping[str, Any]) -> str:
    target = settings["target"]
    size = (
        f"{target} clips per class"
        if target
        else "the paper's 2,000 clips per class (1,998 happy, 1,858 surprised), but at most as "
        "many as the largest class has"
    )
    noise = "recorded" if settings["noise"] else "generated"
    return (
        f"Balanced configurations have {size}. Larger classes are down-sampled, "
        f"{THIN_TEXT[settings.get('thin')]}. Smaller classes get augmented copies "
        "(audiomentations): time-stretched by "
        "5 to 15 %, pitch-shifted by 0.5 to 2 semitones, 3 to 6 dB louder or softer; in the two "
        f"rarest classes also with {noise} background noise at an SNR of 10 to 25 dB. Copies are "
        "made from the cleaned clip. `augmentation` holds the parameters of a copy as JSON, "
        "`source_id` its original."
    )


def _command(report: Mapping[str, Any], *, manifest: bool) -> str:
    sources = " ".join(f"--source {name}=DIR" for name in report["sources"])
    command = f"python -m corpus_builder build {sources} --out DIR"
    if manifest:
        return f"{command} --manifest THIS"
    settings = report["settings"]
    cleaning = Cleaning.from_dict(settings["cleaning"])
    kind = settings.get("transcripts", "both" if settings["transcriber"] else "known")
    words = report["sources"].get("csv", {}).get("options", {}).get("words", {})
    options = {
        f"--transcripts {kind} --transcriber {settings['transcriber']}": kind != "known",
        f"--seed {settings['seed']}": True,
        f"--min-duration {settings['min_duration']:g}": settings["min_duration"] != MIN_DURATION,
        f"--target {settings['target']}": settings["target"],
        f"--thin {settings.get('thin')}": settings.get("thin"),
        "--noise DIR": settings["noise"],
        "--keep-neutral": settings["keep_neutral"],
        f"--labels {','.join(report['emotions'])}": settings.get("labels"),
        f"--map {','.join(f'{word}={label or str()}' for word, label in words.items())}": words,
        "--no-denoise": not cleaning.denoise,
        "--no-trim": not cleaning.trim,
    }
    for source, name, option in OPTIONS:
        options[option] = report["sources"].get(source, {}).get("options", {}).get(name)
    return " ".join([command, *(option for option, given in options.items() if given)])
