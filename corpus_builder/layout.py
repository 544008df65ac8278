"""The files of a built corpus, beside ``<config>/<split>-00000-of-0000N.parquet``."""

CARD_FILE = "README.md"
BUILD_FILE = "build.json"
REJECTED_FILE = "rejected.csv"
FIGURE_FILE = "figure_2.png"

TRANSCRIPTS = ".transcripts"
"""Folder of transcripts by a transcriber, kept for later builds and never published."""

WORK = ".work"
"""Folder of an unfinished build."""
