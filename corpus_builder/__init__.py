"""Raw speech-emotion corpora in, one clean labelled Hub data set out (paper, section III-A)."""


class CorpusError(ValueError):
    """A corpus that cannot be read, built or published. The message is one clear line."""
