"""Downloads from a server on 127.0.0.1 that answers like Zenodo, a Dataverse and GitHub."""

import hashlib
import io
import json
import re
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from corpus_builder import CorpusError
from corpus_builder.__main__ import main
from corpus_builder.download import download
from corpus_builder.sources import CremaD, Nemo, Ravdess, Tess, Utterance
from tests.helpers.made_corpora import write_clip

CREMA_D = "/CheyneyComputerScience/CREMA-D/archive/refs/heads/master.tar.gz"
NEMO = "/amu-cai/nEMO/archive/refs/heads/main.tar.gz"
MEDIA = "/media/CheyneyComputerScience/CREMA-D/master/"


class Mirror(ThreadingHTTPServer):
    """Serves ``files`` (path -> bytes) with ranges; the next ``cuts`` answers break off."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = {}
        self.asked = []
        self.cuts = {}

    def add_json(self, path, content):
        self.files[path] = json.dumps(content).encode()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, _ = self.path.partition("?")
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.server.asked.append((path, start))
        data = self.server.files.get(path)
        if data is None:
            self.send_error(404)
            return
        if start >= len(data) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.server.cuts.get(path):
            self.server.cuts[path] -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def mirror():
    server = Mirror()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def clip(tmp_path, name):
    write_clip(tmp_path / "made" / name)
    return (tmp_path / "made" / name).read_bytes()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return buffer.getvalue()


def md5(data):
    return hashlib.md5(data).hexdigest()


def offer_ravdess(mirror, data, *, checksum=None):
    name = "Audio_Speech_Actors_01-24.zip"
    url = f"{mirror.url}/api/records/1188976/files/{name}/content"
    entry = {"key": name, "checksum": f"md5:{checksum or md5(data)}", "links": {"self": url}}
    video = {"key": "Video_Song.zip", "checksum": "md5:0", "links": {"self": "nowhere"}}
    mirror.add_json("/api/records/1188976", {"id": 1188976, "files": [video, entry]})
    mirror.files[f"/api/records/1188976/files/{name}/content"] = data
    return f"/api/records/1188976/files/{name}/content"


def utterances(source):
    return [item for item in source.read() if isinstance(item, Utterance)]


RAVDESS_CLIP = "Actor_01/03-01-05-01-01-01-01.wav"


def test_ravdess_comes_from_zenodo_and_can_be_read(mirror, tmp_path, capsys):
    offer_ravdess(mirror, zipped({RAVDESS_CLIP: clip(tmp_path, RAVDESS_CLIP)}))
    to = tmp_path / "raw"
    assert main(["download", "ravdess", "--to", str(to), "--mirror", mirror.url]) == 0
    assert str(to / "ravdess") in capsys.readouterr().out
    assert len(utterances(Ravdess(to / "ravdess"))) == 1
    assert [path.name for path in to.iterdir()] == ["ravdess"]
    asked = len(mirror.asked)
    assert main(["download", "ravdess", "--to", str(to), "--mirror", mirror.url]) == 0
    assert len(mirror.asked) == asked


def test_a_broken_download_goes_on_where_it_broke(mirror, tmp_path):
    data = zipped({"long.wav": np.random.default_rng(0).bytes(4_000_000)})
    path = offer_ravdess(mirror, data)
    mirror.cuts[path] = 4
    with pytest.raises(CorpusError, match="closed the connection .* run the same command again"):
        download("ravdess", tmp_path / "raw", mirror=mirror.url)
    assert not (tmp_path / "raw" / "ravdess").exists()
    download("ravdess", tmp_path / "raw", mirror=mirror.url)
    starts = [start for asked, start in mirror.asked if asked == path]
    assert starts == sorted(starts) and len(set(starts)) == 5
    assert starts[1] > 1_900_000
    assert (tmp_path / "raw" / "ravdess" / "long.wav").stat().st_size == 4_000_000


def test_a_wrong_checksum_is_refused(mirror, tmp_path):
    offer_ravdess(mirror, zipped({RAVDESS_CLIP: b"x"}), checksum="0" * 32)
    with pytest.raises(CorpusError, match="checksum differs"):
        download("ravdess", tmp_path / "raw", mirror=mirror.url)
    assert not (tmp_path / "raw" / "ravdess").exists()


@pytest.mark.parametrize("name", ["../../evil.wav", "/evil.wav"])
def test_an_archive_may_not_leave_its_folder(mirror, tmp_path, name):
    offer_ravdess(mirror, zipped({RAVDESS_CLIP: b"x", name: b"evil"}))
    with pytest.raises(CorpusError, match="leaves the folder; not unpacked"):
        download("ravdess", tmp_path / "raw", mirror=mirror.url)
    assert not list(tmp_path.rglob("evil*"))
    assert not (tmp_path / "raw" / "ravdess").exists()


def test_tess_comes_from_a_dataverse(mirror, tmp_path):
    files = {
        "OAF_back_angry.wav": clip(tmp_path, "OAF_back_angry.wav"),
        "more.zip": zipped({"YAF_sad/YAF_back_sad.wav": clip(tmp_path, "YAF_back_sad.wav")}),
        "readme.txt": b"about",
    }
    listed = []
    for number, (name, data) in enumerate(files.items()):
        listed.append({"dataFile": {"filename": name, "id": number, "md5": md5(data)}})
        mirror.files[f"/api/access/datafile/{number}"] = data
    version = {"latestVersion": {"files": listed}}
    mirror.add_json("/api/datasets/:persistentId", {"status": "OK", "data": version})
    folder = download("tess", tmp_path / "raw", mirror=mirror.url)
    assert [u.utterance_id for u in utterances(Tess(folder))] == [
        "tess-OAF_back_angry",
        "tess-YAF_back_sad",
    ]
    assert ("/api/access/datafile/2", 0) not in mirror.asked


def tarred(folder, files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def offer_crema_d(mirror, tmp_path, *, lfs=True):
    clips = {
        f"AudioWAV/{name}.wav": clip(tmp_path, f"{name}.wav")
        for name in ("1001_DFA_ANG_XX", "1002_DFA_SAD_XX")
    }
    texts = {"VideoDemographics.csv": b"ActorID,Age,Sex\n1001,51,Male\n", "VideoFlash/a.flv": b"x"}
    pointers = {}
    for name, data in clips.items() if lfs else ():
        mirror.files[MEDIA + name] = data
        oid = hashlib.sha256(data).hexdigest()
        url = "https://git-lfs.github.com/spec/v1"
        pointers[name] = f"version {url}\noid sha256:{oid}\nsize {len(data)}\n".encode()
    mirror.files[CREMA_D] = tarred("CREMA-D-master", clips | texts | pointers)
    return clips


@pytest.mark.parametrize("lfs", [True, False])
def test_crema_d_comes_from_github_with_its_lfs_clips(mirror, tmp_path, lfs):
    clips = offer_crema_d(mirror, tmp_path, lfs=lfs)
    folder = download("crema_d", tmp_path / "raw", mirror=mirror.url)
    assert {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.wav")
    } == clips
    assert not list(folder.rglob("*.flv"))
    assert utterances(CremaD(folder))[0].age == 51


def test_a_clip_of_crema_d_that_is_another_is_refused_and_the_rest_is_kept(mirror, tmp_path):
    offer_crema_d(mirror, tmp_path)
    wrong = MEDIA + "AudioWAV/1002_DFA_SAD_XX.wav"
    right, mirror.files[wrong] = mirror.files[wrong], b"something else"
    with pytest.raises(CorpusError, match="1002_DFA_SAD_XX.wav: the checksum differs"):
        download("crema_d", tmp_path / "raw", mirror=mirror.url)
    assert not (tmp_path / "raw" / "crema_d").exists()
    mirror.files[wrong] = right
    mirror.asked.clear()
    download("crema_d", tmp_path / "raw", mirror=mirror.url)
    assert [path for path, _ in mirror.asked] == [wrong]


def test_nemo_comes_from_github(mirror, tmp_path):
    files = {
        "samples/EB0_anger_1.wav": clip(tmp_path, "EB0_anger_1.wav"),
        "data.tsv": b"file_id\traw_text\tgender\tage\nEB0_anger_1.wav\tTekst\tfemale\t27\n",
        "README.md": b"about",
    }
    mirror.files[NEMO] = tarred("nEMO-main", files)
    folder = download("nemo", tmp_path / "raw", mirror=mirror.url)
    (found,) = utterances(Nemo(folder))
    assert (found.utterance_id, found.transcript, found.age) == ("nemo-EB0_anger_1", "Tekst", 27)
    assert not (folder / "README.md").exists()


@pytest.mark.parametrize("name", ["ravdess", "tess", "crema_d", "nemo"])
def test_an_unreachable_host_is_one_line(tmp_path, name, capsys):
    to = str(tmp_path / "raw")
    assert main(["download", name, "--to", to, "--mirror", "http://127.0.0.1:9"]) == 2
    error = capsys.readouterr().err
    assert f"corpus_builder: {name}: 127.0.0.1:9 cannot be reached" in error
