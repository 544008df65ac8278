"""write a model for onnxruntime, or as a stock checkpoint that needs no remote code"""

import argparse
from pathlib import Path

from speech_emotion.cli import CommandError, add_model_arguments, load_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    add_model_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder to write; made when it does not exist",
    )
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--onnx",
        action="store_true",
        help='write an ONNX file; needs pip install "speech-text-emotion[onnx]"',
    )
    kind.add_argument(
        "--stock",
        action="store_true",
        help="write a stock checkpoint (HubertForSequenceClassification or its kin); for "
        "audio-only models",
    )
    kind.add_argument("--plain", dest="stock", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--int8",
        action="store_true",
        help="with --onnx: write a second file with 8-bit linear layers",
    )


def run(options: argparse.Namespace) -> int:
    """Write the folder; after ``--onnx`` print how far its results are from those of torch.

    Returns:
        0.
    """
    if options.int8 and not options.onnx:
        raise CommandError("--int8 needs --onnx")
    if options.out.exists() and not options.out.is_dir():
        raise CommandError(f"--out {options.out}: not a folder")
    if options.stock and options.out.is_dir() and any(options.out.iterdir()):
        raise CommandError(f"--out {options.out}: not empty")
    classifier = load_model(options, transcriber="none", backend="torch", precision="fp32")
    model, processor = classifier.model, classifier.processor
    try:
        if options.stock:
            from speech_emotion.predict.stock_checkpoints import save_stock_checkpoint

            stock = save_stock_checkpoint(model, processor, options.out)
            print(f"{options.out}: {type(stock).__name__}")
            return 0
        from speech_emotion.predict.onnx_export import export_onnx, parity
        from speech_emotion.predict.onnx_model import load_onnx

        files = export_onnx(model, processor, options.out, int8=options.int8)
        for precision, file in zip(("fp32", "int8"), files, strict=False):
            difference, same = parity(model, load_onnx(options.out, precision), processor)
            print(
                f"{file}: {file.stat().st_size / 2**20:.1f} MiB; largest probability difference "
                f"from torch {difference:.1e}, same label in {same:.0%} of generated clips"
            )
    except (ValueError, ImportError, OSError) as error:
        raise CommandError(str(error)) from error
    return 0
