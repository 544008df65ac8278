"""write a model for onnxruntime, or as a plain classifier that needs no remote code"""

import argparse
from pathlib import Path

from speech_emotion.cli import CommandError
from speech_emotion.predict.loading import DEFAULT_MODEL, load_classifier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="folder or Hub id")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--onnx", action="store_true", help="needs the extra `onnx`")
    kind.add_argument(
        "--plain",
        action="store_true",
        help="HubertForSequenceClassification or its kin; for models of the voice alone",
    )
    parser.add_argument("--int8", action="store_true", help="with --onnx: in 8 bits as well")


def run(options: argparse.Namespace) -> int:
    """Write the folder; after ``--onnx`` say how far its answers lie from those of torch.

    Returns:
        0.
    """
    if options.int8 and not options.onnx:
        raise CommandError("--int8 goes with --onnx")
    if options.out.exists() and not options.out.is_dir():
        raise CommandError(f"--out {options.out}: not a folder")
    if options.plain and options.out.is_dir() and any(options.out.iterdir()):
        raise CommandError(f"--out {options.out}: not empty")
    classifier = load_classifier(options.model, transcriber="none")
    model, processor = classifier.model, classifier.processor
    try:
        if options.plain:
            from speech_emotion.predict.stock_checkpoints import save_standalone

            plain = save_standalone(model, processor, options.out)
            print(f"{options.out}: {type(plain).__name__}")
        else:
            from speech_emotion.predict.onnx_model import export_onnx

            files = export_onnx(model, processor, options.out, int8=options.int8)
            for precision, file in zip(("fp32", "int8"), files, strict=False):
                _tell(classifier, options.out, precision, file)
    except (ValueError, ImportError, OSError) as error:
        raise CommandError(str(error)) from error
    return 0


def _tell(classifier: object, folder: Path, precision: str, file: Path) -> None:
    from speech_emotion.predict.onnx_model import load_onnx, parity

    exported, processor = load_onnx(folder, precision)
    difference, same = parity(classifier.model, exported, processor)
    size = file.stat().st_size / 2**20
    print(
        f"{file}: {size:.1f} MiB; largest probability difference from torch {difference:.1e}, "
        f"same label in {same:.0%} of made clips"
    )
