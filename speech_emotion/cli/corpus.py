"""build, download, count or publish a corpus; the same as python -m corpus_builder"""


def forward(arguments: list[str], *, prog: str) -> int:
    """Run the command line of the corpus builder."""
    from corpus_builder.__main__ import main

    return main(arguments, prog=prog)
