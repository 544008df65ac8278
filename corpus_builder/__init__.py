"""Raw speech-emotion corpora in, one clean labelled Hub data set out (paper, section III-A)."""
