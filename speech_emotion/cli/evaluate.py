"""run a benchmark and write its tables; the same as evaluate_benchmarks.py"""


def forward(arguments: list[str], *, prog: str) -> int:
    """Run the command line of the benchmarks."""
    from speech_emotion.evaluation.run import main

    return main(arguments, prog=prog)
