"""Transcripts by a transcriber beside those of the corpora (paper, section III-D.2: Whisper).

They are cached by the recording's audio, so that a later build transcribes no recording again and a
stopped one continues where it was.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from corpus_builder import CorpusError
from corpus_builder.records import Clip
from hub_model.audio import load_audio

KINDS = ("known", "whisper", "both")
"""Columns of text: ``transcript`` of the corpus, ``whisper_transcript`` of a transcriber, both."""

BATCH_SIZE = 16


def with_transcripts(
    clips: Sequence[Clip],
    *,
    kind: str,
    files: Mapping[str, Path],
    transcriber: str | None,
    cache: Path,
    batch_size: int = BATCH_SIZE,
) -> list[Clip]:
    """Set the columns of text.

    The transcriber gets the recording as it is and not the cleaned clip, as in the pipeline
    (paper, Figure 6). A clip in which no words are recognised has no ``whisper_transcript``.

    Args:
        clips: before augmentation: a copy has the texts of its source.
        kind: one of :data:`KINDS`.
        files: the recording of each clip, by ``utterance_id``.
        transcriber: name as in :func:`hub_model.transcription.make_transcriber`; not used for
            ``known``.
        cache: folder of the transcripts.
        batch_size: recordings that are transcribed at once.

    Returns:
        The clips, in the same order.

    Raises:
        CorpusError: the transcriber's weights cannot be found.
    """
    if kind == "known":
        return list(clips)
    # Slow to import, and needed only here.
    from hub_model.transcription import TranscriberUnavailable, make_transcriber

    model = make_transcriber(transcriber, cache=cache)
    assert model is not None
    found = []
    with tqdm(total=len(clips), desc="transcribing", unit="clip") as progress:
        for start in range(0, len(clips), batch_size):
            batch = clips[start : start + batch_size]
            try:
                texts = model.transcribe([load_audio(files[clip.utterance_id]) for clip in batch])
            except TranscriberUnavailable as error:
                raise CorpusError(f"--transcriber: {error}") from error
            for clip, text in zip(batch, texts, strict=True):
                if text.error is not None:  # other clips of the batch are in the cache
                    raise CorpusError(f"--transcriber: {text.error}")
                known = clip.transcript if kind == "both" else None
                heard = text.text.strip() or None
                found.append(replace(clip, transcript=known, whisper_transcript=heard))
            progress.update(len(batch))
    return found


def word_error_rates(clips: Iterable[Clip]) -> dict[str, dict[str, Any]]:
    """Return how far the transcriber's words are from those of each corpus.

    Case and punctuation do not count. Only clips whose corpus has a transcript are compared.

    Args:
        clips: without augmented copies.

    Returns:
        corpus -> ``rate`` (wrong, missing and added words over the corpus's words), ``words``,
        ``clips``, and ``silent``, the clips in which the transcriber recognised no words.
    """
    import jiwer
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    plain = BasicTextNormalizer()
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for clip in clips:
        if words := plain(clip.transcript or "").strip():
            pairs[clip.corpus].append((words, plain(clip.whisper_transcript or "").strip()))
    return {
        corpus: {
            "rate": jiwer.wer([known for known, _ in texts], [heard for _, heard in texts]),
            "words": sum(len(known.split()) for known, _ in texts),
            "clips": len(texts),
            "silent": sum(not heard for _, heard in texts),
        }
        for corpus, texts in sorted(pairs.items())
    }


def public_name(transcriber: str) -> str:
    """Return the name of a transcriber without the path of a local folder."""
    prefix, separator, name = transcriber.rpartition(":")
    return f"{prefix}{separator}{Path(name).name}" if Path(name).exists() else transcriber
