"""What a file of bytes holds: which encoded streams, where each begins and ends, what is missing.

libsndfile reads one stream as its headers describe it. Recorders that were switched off, joined
files and tags make these headers wrong although all of the sound is there. Here the streams are
found by their frames and pages, so that each is handed to libsndfile with headers that are right.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from mmap import mmap

Bytes = bytes | mmap

UNFILLED_SIZE = 0x7FFF_0000
"""From here on the size in a WAV header was never filled in by the writer of a stream."""

MISSING_S = 0.05
"""Seconds by which the size in a WAV header may exceed the samples that are there."""

MISSING_FRAMES = 2
"""Frames by which the length in an MP3 header may exceed those that are there."""

_MPEG1_KBPS = {
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2_KBPS = {
    1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG1_RATES = (44_100, 48_000, 32_000)


class DamagedError(ValueError):
    """Bytes are missing. The message says what is, without the name of the file."""


@dataclass(frozen=True)
class Stream:
    """One encoded stream of a file.

    Attributes:
        start, end: its bytes.
        prefix: bytes that go before them.
        patches: bytes that replace others, by their offset in the file.
        samples: how many a channel has at least, where that is known.
    """

    start: int
    end: int
    prefix: bytes = b""
    patches: dict[int, bytes] = field(default_factory=dict)
    samples: int = 0


class StreamFile(io.RawIOBase):
    """One :class:`Stream` as a file object, without a copy of its bytes."""

    def __init__(self, data: Bytes, stream: Stream) -> None:
        self._data, self._stream, self._at = data, stream, 0
        self._size = len(stream.prefix) + stream.end - stream.start

    def seekable(self) -> bool:
        """Always true."""
        return True

    def readable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """Position in the stream, its prefix included."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; see :meth:`io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer) -> int:
        """Fill a buffer; see :meth:`io.RawIOBase.readinto`."""
        view = memoryview(buffer).cast("B")
        stream, at = self._stream, self._at
        head = stream.prefix[at : at + len(view)]
        first = stream.start + max(0, at - len(stream.prefix))
        body = self._data[first : min(stream.end, first + len(view) - len(head))]
        for offset, new in stream.patches.items():
            low, high = max(offset, first), min(offset + len(new), first + len(body))
            if low < high:
                body = (
                    body[: low - first] + new[low - offset : high - offset] + body[high - first :]
                )
        read = head + body
        view[: len(read)] = read
        self._at += len(read)
        return len(read)


EBML = b"\x1a\x45\xdf\xa3"
"""First bytes of Matroska and WebM."""


def streams_of(data: Bytes) -> tuple[list[Stream], list[str]]:
    """Find the streams of a file, in order.

    Returns:
        the streams, a single one over all bytes for a container that is not known here, none for
        one with several tracks or one that ffmpeg reads; and notes on headers that are wrong though
        nothing is missing.

    Raises:
        DamagedError: bytes are missing at the end of a file.
    """
    start = _after_id3(data, 0)
    magic = bytes(data[start : start + 12])
    if magic[:4] in (b"RIFF", b"RIFX") and magic[8:12] == b"WAVE":
        return _wav(data, start, "<" if magic[:4] == b"RIFF" else ">")
    if magic[:4] == b"OggS":
        return _ogg(data, start)
    if magic[:4] == b"fLaC":
        return _flac(data, start)
    if magic[:4] == EBML or magic[4:8] == b"ftyp":  # what they hold may look like MPEG frames
        return [], []
    if next(_frames(data, start, min(len(data), start + 65_536)), None) is not None:
        return _mpeg(data, start, len(data))
    return [Stream(0, len(data))], []


def _after_id3(data: Bytes, at: int) -> int:
    """Where the bytes go on after ID3v2 tags; their size has seven bits a byte."""
    while data[at : at + 3] == b"ID3" and at + 10 <= len(data):
        a, b, c, d = data[at + 6 : at + 10]
        at += 10 + (a << 21 | b << 14 | c << 7 | d)
    return at


def _wav(data: Bytes, start: int, order: str) -> tuple[list[Stream], list[str]]:
    position, tag, byte_rate = start + 12, 1, 32_000
    while position + 8 <= len(data):
        chunk, size = struct.unpack(f"{order}4sI", data[position : position + 8])
        if chunk == b"fmt " and position + 24 <= len(data):
            tag, _, _, byte_rate = struct.unpack(f"{order}HHII", data[position + 8 : position + 20])
        if chunk == b"data":
            break
        position += 8 + size + size % 2
    else:
        raise DamagedError("truncated, its samples are missing")
    first = position + 8
    present = len(data) - first
    if tag == 0x55:  # MPEG layer 3
        return _mpeg(data, first, first + size if 0 < size <= present else len(data))
    whole = Stream(start, len(data))
    if size == 0 and present > 0 and not _is_chunk(data, first, order):
        patch = {first - 4: struct.pack(f"{order}I", present)}
        return [Stream(start, len(data), patches=patch)], ["its header has a size of 0"]
    if not present < size < UNFILLED_SIZE:
        return _after_data(data, start, first, size, order) if size < present else ([whole], [])
    if size - present > MISSING_S * byte_rate:
        raise DamagedError(f"truncated, {present} of {size} bytes of samples are there")
    return [whole], ["the size in its header is a few bytes too large"]


def _after_data(
    data: Bytes, start: int, first: int, size: int, order: str
) -> tuple[list[Stream], list[str]]:
    """What follows the samples of a WAV file: chunks, more samples, or another file."""
    streams = [Stream(start, first + size)] if size else []
    head, position, riff_end = bytes(data[start : first - 4]), first + size + size % 2, start + 8
    riff_end += struct.unpack(f"{order}I", data[start + 4 : start + 8])[0]
    while position + 8 <= len(data):
        magic = bytes(data[position : position + 12])
        if magic[:4] in (b"RIFF", b"RIFX") and magic[8:] == b"WAVE":
            streams += _wav(data, position, "<" if magic[:4] == b"RIFF" else ">")[0]
            break
        if not _is_chunk(data, position, order):
            if riff_end > position and len(data) - position > MISSING_S * 32_000:
                patch = {first - 4: struct.pack(f"{order}I", len(data) - first)}
                note = "the size in its header is too small"
                return [Stream(start, len(data), patches=patch)], [note]
            break
        more = struct.unpack(f"{order}I", data[position + 4 : position + 8])[0]
        if magic[:4] == b"data" and more:
            prefix = head + struct.pack(f"{order}I", more)
            streams.append(Stream(position + 8, position + 8 + more, prefix=prefix))
        position += 8 + more + more % 2
    if len(streams) < 2 and size:
        return [Stream(start, len(data))], []
    return streams or [Stream(start, len(data))], _note_on(streams)


def _is_chunk(data: Bytes, at: int, order: str) -> bool:
    """Whether a chunk with a printable name follows, and ends within the file."""
    name, size = bytes(data[at : at + 4]), bytes(data[at + 4 : at + 8])
    printable = len(size) == 4 and all(32 <= letter < 127 for letter in name)
    return printable and at + 8 + struct.unpack(f"{order}I", size)[0] <= len(data)


def _ogg(data: Bytes, start: int) -> tuple[list[Stream], list[str]]:
    """Chained streams begin with a page whose flag 2 is set, after a page where it is not."""
    starts, position, body, flags, tracks = [start], start, False, 0, 0
    while position < len(data):
        if data[position : position + 4] != b"OggS":
            position = data.find(b"OggS", position)
            if position < 0:
                break
        segments = data[position + 26] if position + 26 < len(data) else 0
        table = data[position + 27 : position + 27 + segments]
        after = position + 27 + segments + sum(table)
        if position + 27 > len(data) or len(table) < segments or after > len(data):
            raise DamagedError("truncated, its last page is incomplete")
        flags = data[position + 5]
        first = bool(flags & 2)
        if first and body:
            starts.append(position)
            tracks = 0
        if first:
            payload = bytes(data[after - sum(table) : after - sum(table) + 8])
            tracks += payload.startswith((b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex"))
            if tracks > 1:  # side by side, which ffmpeg mixes
                return [], []
        body, position = not first, after
    streams, notes = _joined(starts, len(data))
    return streams, notes + ([] if flags & 4 else ["it has no end mark, and may have been cut"])


def _flac(data: Bytes, start: int) -> tuple[list[Stream], list[str]]:
    """A joined stream begins with the marker and a STREAMINFO block, which has 34 bytes."""
    starts, position = [], start
    while position >= 0:
        if data[position + 4 : position + 8] in (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22"):
            starts.append(position)
        position = data.find(b"fLaC", position + 4)
    return _joined(starts or [start], len(data))


def _joined(starts: list[int], end: int) -> tuple[list[Stream], list[str]]:
    streams = [Stream(*pair) for pair in pairwise([*starts, end])]
    return streams, _note_on(streams)


def _note_on(streams: list[Stream]) -> list[str]:
    number = len(streams)
    return [f"it holds {number} streams one after the other"] if number > 1 else []


@dataclass(frozen=True)
class _Frame:
    """A frame of MPEG audio: where it is, and what its header says."""

    at: int
    size: int
    samples: int
    header: bytes

    @property
    def kind(self) -> tuple[int, int, bool]:
        """Version and layer, sampling rate, mono: the same within one stream."""
        return self.header[1] >> 1, self.header[2] & 0x0C, self.header[3] >> 6 == 3

    @property
    def tag_at(self) -> int:
        """Where a length header stands in a frame: after the side information."""
        mpeg1, mono = bool(self.header[1] & 8), self.header[3] >> 6 == 3
        return self.at + 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))


def _frame(data: Bytes, at: int) -> _Frame | None:
    header = bytes(data[at : at + 4])
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    kbps, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or kbps in (0, 15) or rate == 3:
        return None
    mpeg1 = version == 3
    bits = 1000 * (_MPEG1_KBPS if mpeg1 else _MPEG2_KBPS)[layer][kbps]
    hertz = _MPEG1_RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return _Frame(at, (12 * bits // hertz + padding) * 4, 384, header)
    samples = 1152 if mpeg1 or layer == 2 else 576
    return _Frame(at, samples // 8 * bits // hertz + padding, samples, header)


def _frames(data: Bytes, start: int, end: int) -> Iterator[_Frame]:
    """Yield whole frames; what lies between them, such as tags, is skipped."""
    position, sure = start, False
    while position + 4 <= end:
        frame = _frame(data, position)
        if frame is not None and position + frame.size <= end:
            following = position + frame.size
            # Two in a row are no chance; tags and zeros hold bytes that look like one.
            if sure or following + 4 > end or _frame(data, following) is not None:
                yield frame
                position, sure = following, True
                continue
        sure = False
        tag = _after_id3(data, position)
        position = tag if tag > position else data.find(b"\xff", position + 1, end)
        if position < 0:
            return


def _length_header(data: Bytes, frame: _Frame) -> int | None:
    """Frames of a stream by its Xing or Info header; -1 where that leaves it open."""
    if bytes(data[frame.tag_at : frame.tag_at + 4]) not in (b"Xing", b"Info"):
        return None
    flags, count = struct.unpack(">II", data[frame.tag_at + 4 : frame.tag_at + 12])
    return count if flags & 1 else -1


@dataclass
class _Piece:
    """The frames of one stream of MPEG audio.

    Attributes:
        told: how many there are by its length header; ``None`` without one.
        first, second, end: its first frame, the next, and where the last one ends.
        count: how many there are, without the one of the length header.
        rates: the bit rates that occur.
    """

    told: int | None
    first: _Frame
    second: _Frame | None = None
    end: int = 0
    count: int = 0
    rates: set[int] = field(default_factory=set)

    def add(self, frame: _Frame) -> None:
        """Add the next frame."""
        if self.second is None and frame is not self.first:
            self.second = frame
        self.end = frame.at + frame.size
        if frame is not self.first or self.told is None:
            self.count += 1
            self.rates.add(frame.header[2] >> 4)


def _mpeg(data: Bytes, start: int, end: int) -> tuple[list[Stream], list[str]]:
    streams: list[Stream] = []
    wrong = False
    for piece in _pieces(data, start, end):
        told, count, first = piece.told, piece.count, piece.first
        if told is not None and told > count + MISSING_FRAMES:
            raise DamagedError(f"truncated, {count} of {told} frames are there")
        samples = max(0, count - MISSING_FRAMES) * first.samples
        if told == count:
            streams.append(Stream(first.at, piece.end))
        elif told is None and len(piece.rates) == 1:
            streams.append(Stream(first.at, piece.end, samples=samples))
        else:
            wrong = True
            body = first if told is None else piece.second or first
            prefix = _info_frame(body, count)
            streams.append(Stream(body.at, piece.end, prefix=prefix, samples=samples))
    notes = ["its header does not give its length"] if wrong else []
    return streams, _note_on(streams) + notes


def _pieces(data: Bytes, start: int, end: int) -> list[_Piece]:
    """A stream begins with a length header, or where the kind of the frames changes."""
    pieces: list[_Piece] = []
    for frame in _frames(data, start, end):
        told = _length_header(data, frame)
        if not pieces or told is not None or frame.kind != pieces[-1].first.kind:
            pieces.append(_Piece(told, frame))
        pieces[-1].add(frame)
    return [piece for piece in pieces if piece.count > 1] or pieces


def _info_frame(frame: _Frame, count: int) -> bytes:
    """A frame without sound that gives the length of the stream before which it stands."""
    for kbps in range(1, 15):
        header = frame.header[:1] + bytes([frame.header[1] | 1, frame.header[2] & 0x0D | kbps << 4])
        made = _frame(header + frame.header[3:], 0)
        if made is not None and made.size >= made.tag_at + 12:
            break
    assert made is not None
    content = made.header + bytes(made.tag_at - 4) + b"Info" + struct.pack(">II", 1, count)
    return content.ljust(made.size, b"\0")
