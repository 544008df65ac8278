"""All corpora and a table, a few clips of each, built into one."""

from datasets import Audio, load_dataset

from corpus_builder.__main__ import main
from corpus_builder.labels import VOTE_CLASSES
from corpus_builder.shards import read_rows
from tests.helpers.made_corpora import write_all, write_clip

COUNTS = {
    "crema_d": {"ANG": 12, "SAD": 12, "NEU": 2},
    "savee": {"a": 8, "h": 8, "n": 4},
    "tess": {"ps": 8, "fear": 8, "neutral": 2},
    "iemocap": {"ang": 20, "sad": 20, "dis": 15, "exc": 10, "xxx": 5},
    "nemo": {"anger": 8, "neutral": 4},
    "ravdess": {"02": 24, "07": 24, "01": 3},
}


def test_one_data_set_of_all_sources(tmp_path, capsys):
    roots = write_all(tmp_path / "raw", COUNTS)
    (roots["crema_d"] / "VideoDemographics.csv").write_text("ActorID,Age,Sex\n1001,51,Male\n")
    votes = roots["crema_d"] / "processedResults" / "summaryTable.csv"
    votes.parent.mkdir()
    votes.write_text("FileName,VoiceVote\n1001_IEO_ANG_XX,A:N\n")
    own = tmp_path / "own"
    for name in ("a", "b"):
        write_clip(own / f"{name}.wav")
    table = own / "clips.csv"
    table.write_text("path,emotion,speaker\na.wav,calm,anna\nb.wav,happiness,ben\n")
    out = tmp_path / "out"
    sources = [f"--source={name}={root}" for name, root in roots.items()]
    options = ["--no-denoise", "--no-trim", "--workers", "1", "--iemocap-excited"]
    options += ["--target", "24"]  # fewer copies than by default
    assert main(["build", *sources, f"--source=csv={table}", f"--out={out}", *options]) == 0
    assert "Figure 2: " in capsys.readouterr().out

    data = load_dataset(str(out), "natural", cache_dir=str(tmp_path / "cache"))
    rows = {}
    for split in data.values():
        for row in split.cast_column("audio", Audio(decode=False)):
            rows[row["utterance_id"]] = row
    assert len(rows) == 24 + 16 + 16 + 65 + 8 + 48 + 2
    voted = rows["crema_d-1001_IEO_ANG_XX"]
    assert dict(zip(VOTE_CLASSES, voted["votes"], strict=True))["neutral"] == 0.5
    assert (voted["age"], voted["gender"], voted["fold"]) == (51, "male", 1)
    turn = next(row for row in rows.values() if row["source_label"] == "exc")
    assert (turn["valence"], turn["activation"], turn["dominance"]) == (2.5, 3.0, 3.5)
    assert turn["session"].startswith("Session")
    assert turn["label"] == data["train"].features["label"].str2int("happy")
    assert turn["votes"] is None and rows["csv-a.wav"]["fold"] is None
    assert rows["nemo-EB0_anger_1"]["fold"] == 0
    paper = [row for part in read_rows(out, "paper").values() for row in part]
    assert "nemo" in {row["corpus"] for row in rows.values()}
    assert {row["corpus"] for row in paper} == {*COUNTS, "csv"} - {"nemo"}
    card = (out / "README.md").read_text()
    assert "--iemocap-excited" in card and "license:\n- cc-by-nc-nd-4.0" in card

    assert main(["publish", str(out), "--repo", "you/corpus"]) == 2
    assert "the audio of csv, iemocap, savee, tess may not be shared" in capsys.readouterr().err
