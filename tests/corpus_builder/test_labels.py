"""Every label of every corpus: from the file as it is published to the emotion."""

import pytest

from corpus_builder.labels import LABEL_MAPS, VOTE_CLASSES, class_names, harmonise
from corpus_builder.sources import SOURCES, Utterance
from hub_model.labels import EMOTIONS
from tests.helpers.made_corpora import write_iemocap

RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""Of the codes 01 to 08 (https://doi.org/10.5281/zenodo.1188976)."""

NAMES = {
    "ravdess": {
        f"Actor_01/03-01-{code:02d}-01-01-01-01.wav": emotion
        for code, emotion in enumerate(RAVDESS_EMOTIONS, start=1)
    },
    "tess": {
        "OAF_angry/OAF_back_angry.wav": "angry",
        "OAF_disgust/OAF_back_disgust.wav": "disgust",
        "OAF_Fear/OAF_back_fear.wav": "fearful",
        "OAF_happy/OAF_back_happy.wav": "happy",
        "OAF_neutral/OAF_back_neutral.wav": "neutral",
        "OAF_Pleasant_surprise/OAF_back_ps.wav": "surprised",
        "OAF_Sad/OAF_back_sad.wav": "sad",
    },
    "crema_d": {
        "AudioWAV/1001_DFA_ANG_XX.wav": "angry",
        "AudioWAV/1001_DFA_DIS_XX.wav": "disgust",
        "AudioWAV/1001_DFA_FEA_XX.wav": "fearful",
        "AudioWAV/1001_DFA_HAP_XX.wav": "happy",
        "AudioWAV/1001_DFA_NEU_XX.wav": "neutral",
        "AudioWAV/1001_DFA_SAD_XX.wav": "sad",
    },
    "savee": {
        "AudioData/DC/a01.wav": "angry",
        "AudioData/DC/d01.wav": "disgust",
        "AudioData/DC/f01.wav": "fearful",
        "AudioData/DC/h01.wav": "happy",
        "AudioData/DC/n01.wav": "neutral",
        "AudioData/DC/sa01.wav": "sad",
        "AudioData/DC/su01.wav": "surprised",
    },
    "nemo": {
        "samples/EB0_anger_1.wav": "angry",
        "samples/EB0_fear_1.wav": "fearful",
        "samples/EB0_happiness_1.wav": "happy",
        "samples/EB0_neutral_1.wav": "neutral",
        "samples/EB0_sadness_1.wav": "sad",
        "samples/EB0_surprised_1.wav": "surprised",
    },
}
"""Corpus -> name of a file in its published layout -> emotion."""

IEMOCAP_LABELS = {
    "ang": "angry",
    "dis": "disgust",
    "exc": None,
    "fea": "fearful",
    "fru": None,
    "hap": "happy",
    "neu": "neutral",
    "oth": None,
    "sad": "sad",
    "sur": "surprised",
    "xxx": None,
}
"""The paper removes xxx, oth and fru (section III-A); its counts show that exc is removed, too."""

CSV_EMOTIONS = {
    **{name: name for name in (*EMOTIONS, "neutral")},
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "sadness": "sad",
    "surprise": "surprised",
}


def emotions_by_file(corpus, root, **options):
    source = SOURCES[corpus](root, **options)
    found = [item for item in source.read() if isinstance(item, Utterance)]
    return {
        item.path.relative_to(root).as_posix(): source.harmonise(
            item.source_label, labels=VOTE_CLASSES
        )
        for item in found
    }


@pytest.mark.parametrize("corpus", NAMES)
def test_every_label_of_a_file_name(tmp_path, corpus):
    for name in NAMES[corpus]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert emotions_by_file(corpus, tmp_path) == NAMES[corpus]
    assert len(LABEL_MAPS[corpus]) == len(NAMES[corpus])


@pytest.mark.parametrize("excited", [False, True])
def test_every_label_of_iemocap(tmp_path, excited):
    write_iemocap(tmp_path, dict.fromkeys(IEMOCAP_LABELS, 1), seconds=0.1)
    source = SOURCES["iemocap"](tmp_path, excited=excited)
    labels = {item.source_label for item in source.read()}
    found = {label: source.harmonise(label, labels=VOTE_CLASSES) for label in labels}
    assert found == IEMOCAP_LABELS | ({"exc": "happy"} if excited else {})


def test_every_emotion_of_a_table(tmp_path):
    lines = ["path,emotion,speaker"]
    for emotion in CSV_EMOTIONS:
        (tmp_path / f"{emotion}.wav").touch()
        lines.append(f"{emotion}.wav,{emotion},anna")
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    expected = {f"{name}.wav": emotion for name, emotion in CSV_EMOTIONS.items()}
    assert emotions_by_file("csv", tmp_path) == expected


def test_the_votes_of_crema_d(tmp_path):
    (tmp_path / "1001_DFA_ANG_XX.wav").touch()
    (tmp_path / "processedResults").mkdir()
    table = tmp_path / "processedResults" / "tabulatedVotes.csv"
    letters = {
        **{"A": "angry", "D": "disgust", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad"}
    }
    for voted, emotion in letters.items():
        counts = ",".join(str(int(letter == voted)) for letter in letters)
        table.write_text(f'"",{",".join(letters)},fileName\n100001,{counts},1001_DFA_ANG_XX\n')
        (utterance,) = SOURCES["crema_d"](tmp_path).read()
        assert utterance.votes[VOTE_CLASSES.index(emotion)] == 1.0 == sum(utterance.votes)


def test_the_seven_emotions_have_their_fixed_order():
    assert EMOTIONS == ("angry", "calm", "disgust", "fearful", "happy", "sad", "surprised")
    assert class_names(keep_neutral=True) == (*EMOTIONS, "neutral") == VOTE_CLASSES


def test_neutral_is_removed_unless_it_is_asked_for():
    for corpus in LABEL_MAPS:
        neutral = [label for label, name in LABEL_MAPS[corpus].items() if name == "neutral"]
        assert len(neutral) == (3 if corpus == "csv" else 1)
        for word in neutral:
            assert harmonise(corpus, word) is None
            assert harmonise(corpus, word, labels=VOTE_CLASSES) == "neutral"


def test_an_unknown_label_is_removed():
    assert harmonise("ravdess", "bored") is None
