"""fit a model's confidence to labelled clips that it was not trained on"""

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from corpus_builder.labels import read_label_map
from speech_emotion.cli import (
    CommandError,
    add_model_arguments,
    add_work_arguments,
    load_model,
    print_error,
    print_note,
)

FEW = 100
"""Below this number of clips the prior of the temperature still matters."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument(
        "data",
        help="CSV table with the columns path (relative to the table's folder), emotion and, if "
        "there are any, transcript; or the folder of a corpus built by corpus_builder",
    )
    add_model_arguments(parser, what="model folder, whose config.json is changed", required=True)
    corpus = parser.add_argument_group("a built corpus")
    corpus.add_argument(
        "--config",
        default="speaker_disjoint",
        metavar="NAME",
        help="configuration of the corpus (default: %(default)s)",
    )
    corpus.add_argument(
        "--split",
        default="validation",
        metavar="NAME",
        help="split of the corpus (default: %(default)s)",
    )
    corpus.add_argument(
        "--corpus", metavar="NAME", help="only the clips of this source corpus (default: all)"
    )
    table = parser.add_argument_group("a table")
    table.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="WORD=LABEL",
        help="what a word in the column emotion means, such as Frustrated=angry; WORD= leaves its "
        "clips out; may be repeated",
    )
    table.add_argument(
        "--no-clean", action="store_true", help="the audio files of the table are already cleaned"
    )
    table.add_argument(
        "--transcriber",
        default="none",
        metavar="NAME",
        help="transcriber for clips without a transcript: transformers id or folder, "
        "openai-whisper:NAME, or none (default: %(default)s)",
    )
    work = parser.add_argument_group("the fit")
    work.add_argument(
        "--keep-temperature",
        action="store_true",
        help="leave the temperature as it is; only store the class-mean logits, which adapt needs",
    )
    work.add_argument(
        "--dry-run", action="store_true", help="print the temperature and change nothing"
    )
    add_work_arguments(work)


def _trained_on(folder: Path, clips: list[str]) -> int:
    """Number of the recordings that are in the training data of a model, where it names them."""
    from hub_model.audio import AudioError, audio_hash, load_audio
    from speech_emotion.evaluation.leaks import TrainingRecord, read_record
    from speech_emotion.training.provenance import HASH_DIGITS

    try:
        hashes = TrainingRecord.of(read_record(folder)).hashes
    except (OSError, ValueError):
        return 0
    found = 0
    for clip in clips if hashes else ():
        with suppress(AudioError):
            found += audio_hash(load_audio(clip))[:HASH_DIGITS] in hashes
    return found


def run(options: argparse.Namespace) -> int:
    """Fit temperature and class-mean logits, and write both into ``config.json``.

    Returns:
        0 when every clip was used, 1 when some could not be.
    """
    from speech_emotion.predict.fitting import (
        read_labelled_corpus,
        read_labelled_table,
        require_model_folder,
        write_fitted,
    )

    folder, data = require_model_folder(options.model), Path(options.data)
    corpus = data.is_dir()
    classifier = load_model(options, transcriber=options.transcriber)
    config = classifier.model.config
    known: dict[str, Any] = {
        "labels": list(config.id2label.values()),
        "words": read_label_map(options.map),
        "on_note": print_note,
    }
    clips, labels, texts = (
        read_labelled_corpus(options.data, options.config, options.split, options.corpus, **known)
        if corpus
        else read_labelled_table(data, **known)
    )
    heard = 0 if corpus or options.keep_temperature else _trained_on(folder, clips)
    if heard:
        print_note(
            f"{heard} of the clips are in the training data of the model: it is surer of them "
            "than of others, and the temperature will be too low"
        )
    before, refused = config.temperature, list[str]()
    try:
        temperature = classifier.calibrate(
            clips,
            labels,
            text=texts,
            clean=not (corpus or options.no_clean),
            batch_size=options.batch_size,
            num_workers=options.workers,
            on_error=refused.append,
        )
    except ValueError as error:
        raise CommandError(f"{options.data}: {error}") from error
    finally:
        for line in refused:
            print_error(line)
    if options.keep_temperature:
        temperature = before
    absent = [name for name in known["labels"] if name not in labels]
    if absent:
        print_note(f"no clips of {', '.join(absent)}: the class-mean logits, for adapt, stay")
    used = len(labels) - len(refused)
    few = "; few, which draws it towards 1" if used < FEW else ""
    if options.keep_temperature:
        stored = "the class-mean logits stay" if absent else "class-mean logits stored"
        print(f"temperature {temperature:.4f}, as it was; {stored} ({used} clips)")
    else:
        clips_used = "1 clip" if used == 1 else f"{used} clips"
        print(f"temperature {temperature:.4f} from {clips_used}{few}; it was {before:.4f}")
    if not options.dry_run:
        means = config.class_mean_logits
        write_fitted(folder, {"temperature": temperature, "class_mean_logits": means})
    return 1 if refused else 0
