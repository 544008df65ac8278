"""One module per corpus."""

from corpus_builder.sources.base import CorpusError, Rejected, Source, Utterance
from corpus_builder.sources.ravdess import Ravdess

SOURCES: dict[str, type[Source]] = {source.name: source for source in (Ravdess,)}
"""The readers, by the name that the command line uses."""

__all__ = ["SOURCES", "CorpusError", "Ravdess", "Rejected", "Source", "Utterance"]
