"""Transcripts by a transcriber, for clips whose corpus has none.

Texts are stored by the hash of the clip's audio, so that a later build transcribes no clip again.
Each batch is written before the next begins, so that a stopped build continues where it was.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from corpus_builder import CorpusError
from corpus_builder.clip_store import read_flac, read_waveform
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
        cache: folder of the texts; one file per transcriber.
        batch_size: clips that are transcribed at once.

    Returns:
        The clips, in the same order.

    Raises:
        CorpusError: the transcriber's weights cannot be found.
    """
    wanting = [index for index, clip in enumerate(clips) if clip.transcript is None]
    if transcriber in (None, "none") or not wanting:
        return list(clips)
    # Slow to import, and needed only here.
    from hub_model.transcription import TranscriberUnavailable, make_transcriber

    model = make_transcriber(transcriber)
    path = cache / f"{sha256(transcriber.encode()).hexdigest()[:16]}.jsonl"
    known = _read(path)
    keys = {index: sha256(_flac(clips[index])).hexdigest() for index in wanting}
    unknown = [index for index in wanting if keys[index] not in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("a", encoding="utf-8") as file,
        tqdm(total=len(unknown), desc="transcribing", unit="clip") as progress,
    ):
        for start in range(0, len(unknown), batch_size):
            batch = unknown[start : start + batch_size]
            waveforms = [read_waveform(clips[i].part, clips[i].part_row) for i in batch]
            try:
                texts = [transcript.text for transcript in model.transcribe(waveforms)]
            except TranscriberUnavailable as error:
                raise CorpusError(f"--transcriber: {error}") from error
            for index, text in zip(batch, texts, strict=True):
                known[keys[index]] = text.strip()
                file.write(json.dumps({"audio": keys[index], "text": text.strip()}) + "\n")
            file.flush()
            progress.update(len(batch))
    filled = list(clips)
    source = public_name(transcriber)
    for index in wanting:
        if text := known[keys[index]]:
            filled[index] = replace(clips[index], transcript=text, transcript_source=source)
    return filled


def public_name(transcriber: str) -> str:
    """Return the name of a transcriber without the path of a local folder."""
    prefix, separator, name = transcriber.rpartition(":")
    return f"{prefix}{separator}{Path(name).name}" if Path(name).exists() else transcriber


def _flac(clip: Clip) -> bytes:
    return read_flac(clip.part, clip.part_row)


def _read(path: Path) -> dict[str, str]:
    """Return hash -> text; an incomplete last line is removed."""
    known: dict[str, str] = {}
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            path.write_text("".join(whole), encoding="utf-8")
        for line in whole:
            row = json.loads(line)
            known[row["audio"]] = row["text"]
    return known
