"""Transcripts by a transcriber, for clips whose corpus has none.

They are cached by the clip's audio, so that a later build transcribes no clip again and a stopped
one continues where it was.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from corpus_builder import CorpusError
from corpus_builder.clip_store import read_waveform
from corpus_builder.records import Clip

BATCH_SIZE = 16


def fill_transcripts(
    clips: Sequence[Clip], *, transcriber: str | None, cache: Path, batch_size: int = BATCH_SIZE
) -> list[Clip]:
    """Add the transcripts that are missing.

    A clip in which no words are recognised stays without.

    Args:
        clips: the cleaned clips, before augmentation: a copy has the text of its source.
        transcriber: name as in :func:`hub_model.transcription.make_transcriber`.
        cache: folder of the transcripts.
        batch_size: clips that are transcribed at once.

    Returns:
        The clips, in the same order.

    Raises:
        CorpusError: the transcriber's weights cannot be found.
    """
    missing = [index for index, clip in enumerate(clips) if clip.transcript is None]
    if transcriber in (None, "none") or not missing:
        return list(clips)
    # Slow to import, and needed only here.
    from hub_model.transcription import TranscriberUnavailable, make_transcriber

    model = make_transcriber(transcriber, cache=cache)
    assert model is not None
    filled, source = list(clips), public_name(transcriber)
    with tqdm(total=len(missing), desc="transcribing", unit="clip") as progress:
        for start in range(0, len(missing), batch_size):
            batch = missing[start : start + batch_size]
            waveforms = [read_waveform(clips[i].part, clips[i].part_row) for i in batch]
            try:
                transcripts = model.transcribe(waveforms)
            except TranscriberUnavailable as error:
                raise CorpusError(f"--transcriber: {error}") from error
            for index, transcript in zip(batch, transcripts, strict=True):
                if transcript.error is not None:  # other clips of the batch are in the cache
                    raise CorpusError(f"--transcriber: {transcript.error}")
                if text := transcript.text.strip():
                    filled[index] = replace(clips[index], transcript=text, transcript_source=source)
            progress.update(len(batch))
    return filled


def public_name(transcriber: str) -> str:
    """Return the name of a transcriber without the path of a local folder."""
    prefix, separator, name = transcriber.rpartition(":")
    return f"{prefix}{separator}{Path(name).name}" if Path(name).exists() else transcriber
