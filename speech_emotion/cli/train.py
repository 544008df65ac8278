"""train a model or a baseline from a YAML config; the same as train.py"""


def forward(arguments: list[str], *, prog: str) -> int:
    """Run the command line of training."""
    from speech_emotion.evaluation.cross_validation import cross_validate
    from speech_emotion.training.run import main

    return main(arguments, cross_validate=cross_validate, program=prog)
