"""One module per corpus."""

from corpus_builder.sources.base import Rejected, Source, Utterance
from corpus_builder.sources.crema_d import CremaD
from corpus_builder.sources.iemocap import Iemocap
from corpus_builder.sources.nemo import Nemo
from corpus_builder.sources.ravdess import Ravdess
from corpus_builder.sources.savee import Savee
from corpus_builder.sources.table import TableSource
from corpus_builder.sources.tess import Tess

SOURCES: dict[str, type[Source]] = {
    source.name: source for source in (CremaD, Iemocap, Nemo, Ravdess, Savee, Tess, TableSource)
}
"""The readers, by the name that the command line uses."""

__all__ = [
    "SOURCES",
    "CremaD",
    "Iemocap",
    "Nemo",
    "Ravdess",
    "Rejected",
    "Savee",
    "Source",
    "TableSource",
    "Tess",
    "Utterance",
]
