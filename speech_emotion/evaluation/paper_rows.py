"""The rows of Tables 6 and 8 of the paper with its figures, and the commands that train them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech_emotion.predict import shipped
from speech_emotion.training.parsing import read_config

CONFIGS_FOLDER = shipped("configs")


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A row of a printed table.

    Attributes:
        name: as printed, or our own name of one that only the text mentions.
        config: name of its file in configs/, and of its folder.
        wa: as printed, in per cent; None where the paper gives no figure.
        ua: the same.
        instead: what stands in the place of the paper's encoders, for a note.
    """

    name: str
    config: str
    wa: float | None = None
    ua: float | None = None
    instead: str | None = None


KNN = PaperRow(name="KNeighborsClassifier", config="knn", wa=62.94, ua=56.72)
MLP = PaperRow(name="MLPClassifier", config="mlp", wa=62.39, ua=54.72)
XGB = PaperRow(name="XGBClassifier", config="xgb", wa=48.61, ua=44.07)

TABLES: dict[str, tuple[PaperRow, ...]] = {
    "table6": (
        KNN,
        MLP,
        XGB,
        PaperRow(name="LGBClassifier", config="lightgbm", wa=33.01, ua=42.30),
        PaperRow(name="LogisticRegression", config="logistic_regression", wa=50.82, ua=41.58),
        PaperRow(name="RandomForestClassifier", config="random_forest", wa=37.52, ua=38.03),
        PaperRow(name="GaussianNB", config="gaussian_nb", wa=23.89, ua=32.74),
        PaperRow(name="DecisionTreeClassifier", config="decision_tree", wa=19.38, ua=22.92),
        PaperRow(name="KNeighborsClassifier, grid search", config="knn_grid"),
    ),
    "table8": (
        KNN,
        MLP,
        XGB,
        PaperRow(name="MobilenetV2.0", config="mobilenet_v2", wa=38.03, ua=37.52),
        PaperRow(name="MobilenetV2.0, experiment 1.1", config="mobilenet_v2_overlap_gender"),
        PaperRow(name="MobilenetV2.0, experiment 1.2", config="mobilenet_v2_overlap"),
        PaperRow(name="MobilenetV2.0, experiment 1.3", config="mobilenet_v2_gender"),
        PaperRow(name="CNN (1D)", config="cnn1d", wa=63.10, ua=56.70),
        PaperRow(name="Hubert Standalone", config="hubert", wa=75.52, ua=74.54),
        PaperRow(
            name="Hubert Standalone, encoder of `checkpoints/mini`",
            config="hubert_mini",
            instead="the encoder of `checkpoints/mini` in the place of HuBERT base",
        ),
        PaperRow(
            name="Hubert Standalone, encoder of Whisper tiny.en",
            config="hubert_whisper",
            instead="the encoder of Whisper tiny.en in the place of HuBERT base",
        ),
        PaperRow(name="Hubert and BERT MultiModal", config="hubert_bert", wa=79.89, ua=77.68),
        PaperRow(
            name="Hubert and BERT MultiModal, encoders of `checkpoints/mini`",
            config="hubert_bert_mini",
            instead="the encoders of `checkpoints/mini` in the place of HuBERT base and BERT base",
        ),
        PaperRow(
            name="Hubert and BERT MultiModal, encoders of Whisper tiny.en and MiniLM",
            config="hubert_bert_whisper",
            instead="the encoder of Whisper tiny.en in the place of HuBERT base, and "
            "all-MiniLM-L6-v2 in that of BERT base",
        ),
    ),
}
"""The rows of both tables, followed by those that only the paper's text mentions."""

STARTS_FROM = re.compile(r"runs/(\w+)\{_protocol\}")
"""The folder of another row, as a config names it."""


def read_settings(config: str) -> dict[str, Any]:
    """The settings in a file of configs/.

    Raises:
        ConfigError: there is no such config.
    """
    return read_config(CONFIGS_FOLDER / f"{config}.yaml")


def train_commands(
    config: str,
    *,
    protocol: str,
    data: str,
    output_dir: str,
    transcribed: bool = False,
    options: str = "",
) -> str:
    """The command that trains a config, after that which trains what it starts from.

    Args:
        config: its name in configs/.
        protocol: configuration of the corpus.
        data: the corpus.
        output_dir: of the trained model.
        transcribed: the corpus has transcripts by a transcriber.
        options: further ones.

    Returns:
        Markdown.

    Raises:
        ConfigError: there is no such config.
    """
    given = read_settings(config)
    train = f"python train.py --config configs/{{}}.yaml --protocol {protocol} --data {data}"
    words = [train.format(config), options]
    if given.get("transcripts") == "whisper" and not transcribed:
        words.append("--transcripts known")
    words.append(f"--output-dir {output_dir}")
    command = f"`{' '.join(filter(None, words))}`"
    start = given.get("model", {}).get("audio_config")
    found = STARTS_FROM.fullmatch(start) if isinstance(start, str) else None
    if found is None:
        return command
    suffix = "_paper" if protocol == "paper" else ""
    there = Path(f"runs/{found[1]}{suffix}/config.json").is_file()
    return command if there else f"`{train.format(found[1])}`, then {command}"
