"""The transcript column: what the corpus does not tell, a speech transcriber hears.

Texts are kept by the hash of the clip's audio, so that a later build asks for no clip again. Each
batch is on disk before the next begins: a build that is stopped goes on where it was.
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
    """Fill in the transcripts that are missing.

    A sentence that the corpus fixes is kept. A clip in which nothing is heard stays without.

    Args:
        clips: the cleaned clips, not yet augmented: a copy takes its source's text.
        transcriber: name as in :func:`hub_model.transcription.make_transcriber`.
        cache: folder of the texts; one file per transcriber.
        batch_size: clips that are heard at once.

    Returns:
        The clips, in the same order.

    Raises:
        CorpusError: the transcriber's weights are nowhere to be found.
    """
    wanting = [index for index, clip in enumerate(clips) if clip.transcript is None]
    if transcriber in (None, "none") or not wanting:
        return list(clips)
    # Slow to import, and needed only here.
    from hub_model.transcription import TranscriberUnavailable, make_transcriber

    hearer = make_transcriber(transcriber)
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
                texts = [transcript.text for transcript in hearer.transcribe(waveforms)]
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
    """Return a transcriber's name without folders of this machine."""
    prefix, separator, name = transcriber.rpartition(":")
    return f"{prefix}{separator}{Path(name).name}" if Path(name).exists() else transcriber


def _flac(clip: Clip) -> bytes:
    return read_flac(clip.part, clip.part_row)


def _read(path: Path) -> dict[str, str]:
    """Return hash -> text; a last line that was cut off by a kill is ignored."""
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
