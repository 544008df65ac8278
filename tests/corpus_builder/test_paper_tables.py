from collections import Counter
from dataclasses import replace

import pytest

from corpus_builder.balancing import Balancer, rarest_labels
from corpus_builder.collecting import DESCRIPTION, read_sources
from corpus_builder.figure import class_figure
from corpus_builder.paper_tables import compare
from corpus_builder.records import SPLITS, Clip
from corpus_builder.sources import CremaD, Iemocap, Ravdess, Savee, Tess
from corpus_builder.splits import PROTOCOLS
from hub_model.labels import EMOTIONS
from tests.helpers.made_corpora import TRUE_COUNTS, write_all

PRINTED = {
    "train": {
        "SAVEE": (38, 0, 52, 54, 38, 37, 108, 327),
        "RAVDESS": (122, 1600, 145, 182, 120, 115, 386, 2670),
        "TESS": (258, 0, 344, 348, 270, 251, 791, 2262),
        "IEMOCAP": (691, 0, 0, 20, 379, 707, 201, 1998),
        "CREMA-D": (491, 0, 1059, 996, 791, 490, 0, 3827),
        "total": (1600, 1600, 1600, 1600, 1598, 1600, 1486, 11084),
    },
    "validation": {
        "SAVEE": (11, 0, 8, 17, 9, 9, 37, 91),
        "RAVDESS": (29, 400, 56, 43, 35, 41, 92, 696),
        "TESS": (67, 0, 70, 77, 55, 69, 202, 540),
        "IEMOCAP": (163, 0, 2, 5, 95, 168, 41, 474),
        "CREMA-D": (130, 0, 264, 258, 206, 113, 0, 971),
        "total": (400, 400, 400, 400, 400, 400, 372, 2772),
    },
    "test": {
        "SAVEE": (11, 0, 14, 7, 13, 14, 14, 73),  # sad is printed 4
        "RAVDESS": (41, 38, 38, 32, 37, 36, 40, 262),
        "TESS": (75, 0, 75, 72, 75, 80, 81, 458),
        "IEMOCAP": (188, 0, 0, 12, 117, 197, 14, 528),
        "CREMA-D": (276, 0, 258, 262, 259, 272, 0, 1327),
        "total": (591, 38, 385, 385, 501, 599, 149, 2648),  # surprised is printed 1149
    },
}
"""Tables 1 to 3 with their totals, as printed but for the two errata."""

PRINTED_COMBINED = (2955, 192, 1923, 1927, 2499, 2995, 745, 13236)
"""Table 4 with its total."""

CORPORA = {"SAVEE": "savee", "RAVDESS": "ravdess", "TESS": "tess", "IEMOCAP": "iemocap"}
CORPORA |= {"CREMA-D": "crema_d"}


def rows_as_printed():
    """Rows of a corpus that has exactly the paper's counts."""
    return {
        split: [
            {"corpus": CORPORA[title], "label": emotion}
            for title, counts in table.items()
            if title in CORPORA
            for emotion, count in zip(EMOTIONS, counts, strict=False)
            for _ in range(count)
        ]
        for split, table in PRINTED.items()
    }


def kept_as_printed():
    return {"ravdess": dict(zip(EMOTIONS, PRINTED_COMBINED, strict=False))}


def cells(tables):
    """(title, line, column) -> cell of all tables."""
    return {
        (title, line[0], column): cell
        for title, header, lines in tables
        for line in lines
        for column, cell in zip(header[1:], line[1:], strict=True)
    }


def test_a_corpus_with_the_papers_counts_differs_nowhere():
    tables = compare(rows_as_printed(), kept_as_printed())
    assert [title for title, _, _ in tables] == [
        "Table 1: train",
        "Table 2: validation",
        "Table 3: test",
        "Table 4: combined, before splitting",
    ]
    expected = {
        (title, line, column): f"{count} (=)"
        for (title, _, _), table in zip(tables, PRINTED.values(), strict=False)
        for line, counts in table.items()
        for column, count in zip([*EMOTIONS, "total"], counts, strict=True)
    }
    expected |= {
        (tables[3][0], name, "clips"): f"{count} (=)"
        for name, count in zip([*EMOTIONS, "total"], PRINTED_COMBINED, strict=True)
    }
    assert cells(tables) == expected


@pytest.mark.parametrize(
    ("title", "split"), [("Table 1: train", "train"), ("Table 3: test", "test")]
)
def test_one_clip_more_shows_in_its_cell_and_its_totals(title, split):
    rows = rows_as_printed()
    same = cells(compare(rows, kept_as_printed()))
    rows[split].append({"corpus": "tess", "label": "sad"})
    other = cells(compare(rows, kept_as_printed()))
    changed = {key: cell for key, cell in other.items() if cell != same[key]}
    table = PRINTED[split]

    def one_more(line, column):
        printed = table[line][[*EMOTIONS, "total"].index(column)]
        return f"{printed + 1} ({printed}, +1)"

    assert changed == {
        (title, line, column): one_more(line, column)
        for line in ("TESS", "total")
        for column in ("sad", "total")
    }


def test_a_corpus_that_the_paper_does_not_have_is_a_line_of_its_own():
    rows = rows_as_printed()
    rows["test"] += [{"corpus": "csv", "label": "sad"}] * 2
    lines = {line[0]: line[1:] for line in compare(rows, kept_as_printed())[2][2]}
    assert list(lines) == [*PRINTED["test"]][:-1] + ["csv", "total"]
    assert lines["csv"][EMOTIONS.index("sad")] == lines["csv"][-1] == "2 (0, +2)"
    assert lines["total"][-1] == "2650 (2648, +2)"


def test_table_4_shows_the_difference():
    kept = {"savee": {"sad": 3000, "neutral": 7}, "tess": {"calm": 192}}
    tables = compare({split: [] for split in SPLITS}, kept)
    assert ["sad", "3000 (2995, +5)"] in tables[3][2]
    assert ["calm", "192 (=)"] in tables[3][2]
    assert ["total", "3192 (13236, -10044)"] in tables[3][2]


def test_figure_2_is_an_image_and_always_the_same_one():
    counts = {name: {"ravdess": 192, "tess": 400} for name in EMOTIONS}
    image = class_figure(counts)
    assert image.startswith(b"\x89PNG") and image == class_figure(counts)
    assert image != class_figure(counts | {"calm": {"ravdess": 192}})


def test_five_corpora_of_the_true_sizes_give_the_papers_class_totals(tmp_path):
    """22,201 files with the published names, without sound: the counts are those of the paper."""
    roots = write_all(tmp_path / "raw", TRUE_COUNTS, seconds=0)
    readers = {source.name: source for source in (CremaD, Iemocap, Ravdess, Savee, Tess)}
    found = read_sources([readers[name](root) for name, root in roots.items()], labels=EMOTIONS)
    sizes = Counter(found.labels.values())
    assert [sizes[name] for name in EMOTIONS] == [3026, 192, 1925, 1963, 2518, 3007, 759]
    short = (71, 0, 2, 36, 19, 12, 14)  # what the paper's one-second rule took away
    kept = [sizes[name] - few for name, few in zip(EMOTIONS, short, strict=True)]
    assert kept == list(PRINTED_COMBINED[:-1])
    removed = {label: n for (corpus, label), n in found.removed.items() if corpus == "iemocap"}
    assert removed == {"exc": 1041, "fru": 1849, "neu": 1708, "oth": 3, "xxx": 2507}

    clips = [
        Clip(
            **{name: getattr(recording, name) for name in DESCRIPTION},
            label=found.labels[name],
            duration=2.0,
            source_id=name,
            augmentation=None,
            audio_hash=name,
            part=recording.path,
            part_row=0,
            num_bytes=0,
        )
        for name, recording in found.utterances.items()
    ]
    balancer = Balancer(
        seed=42,
        min_duration=1.0,
        noise_labels=rarest_labels(clips),
        make_copies=lambda plan: [
            replace(
                source,
                utterance_id=name,
                source_id=source.utterance_id,
                augmentation=parameters,
                audio_hash=name,
            )
            for source, name, parameters in plan
        ],
    )
    splits = PROTOCOLS["paper"](clips, seed=42, balance=balancer)
    for split in ("train", "validation"):
        labels = Counter(clip.label for clip in splits[split])
        assert tuple(labels[name] for name in EMOTIONS) == PRINTED[split]["total"][:-1]
    noisy = {clip.label for clip in splits["train"] if '"noise"' in (clip.augmentation or "")}
    assert noisy == {"calm", "surprised"}
