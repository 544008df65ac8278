import pytest

from corpus_builder.build import BuildConfig, build
from corpus_builder.figure import class_figure
from corpus_builder.paper_tables import PAPER, PAPER_COMBINED, compare
from corpus_builder.records import SPLITS
from corpus_builder.shards import read_rows
from corpus_builder.sources import CremaD, Iemocap, Ravdess, Savee, Tess
from hub_model.audio import Cleaning
from hub_model.labels import EMOTIONS
from tests.helpers.made_corpora import TRUE_COUNTS, write_all

PRINTED_TOTALS = {"train": 11084, "validation": 2772, "test": 2648}
PRINTED_COLUMNS = {
    "train": (1600, 1600, 1600, 1600, 1598, 1600, 1486),
    "validation": (400, 400, 400, 400, 400, 400, 372),
    "test": (591, 38, 385, 385, 501, 599, 149),
}


@pytest.mark.parametrize("split", SPLITS)
def test_the_papers_cells_sum_to_its_printed_totals(split):
    columns = tuple(map(sum, zip(*PAPER[split].values(), strict=True)))
    assert columns == PRINTED_COLUMNS[split]
    assert sum(columns) == PRINTED_TOTALS[split]


def test_every_cell_shows_the_difference():
    row = {"corpus": "savee", "label": "sad"}
    splits = {"train": [row] * 40, "validation": [], "test": [row | {"corpus": "csv"}] * 2}
    tables = compare(splits, {"savee": {"sad": 3000}})
    assert [title for title, _, _ in tables] == [
        "Table 1: train",
        "Table 2: validation",
        "Table 3: test",
        "Table 4: combined, before splitting",
    ]
    train = {line[0]: line[1:] for line in tables[0][2]}
    assert train["SAVEE"][EMOTIONS.index("sad")] == "40 (37, +3)"
    assert train["SAVEE"][EMOTIONS.index("calm")] == "0 (=)"
    assert train["total"][-1] == "40 (11084, -11044)"
    assert {line[0]: line[-1] for line in tables[2][2]}["csv"] == "2 (0, +2)"
    assert ["sad", "3000 (2995, +5)"] in tables[3][2]


def test_figure_2_is_an_image_and_always_the_same_one():
    counts = {name: {"ravdess": 192, "tess": 400} for name in EMOTIONS}
    image = class_figure(counts)
    assert image.startswith(b"\x89PNG") and image == class_figure(counts)
    assert image != class_figure(counts | {"calm": {"ravdess": 192}})


@pytest.mark.slow
def test_five_corpora_of_the_true_sizes_give_the_papers_class_totals(tmp_path):
    """22,201 very short files with the published names: the counts are those of the paper."""
    roots = write_all(tmp_path / "raw", TRUE_COUNTS, seconds=0.12)
    readers = {source.name: source for source in (CremaD, Iemocap, Ravdess, Savee, Tess)}
    report = build(
        [readers[name](root) for name, root in roots.items()],
        BuildConfig(
            out=tmp_path / "out",
            configs=("paper",),
            cleaning=Cleaning(denoise=False, trim=False),
            min_duration=0.1,
            workers=2,
        ),
    )
    kept = [sum(labels.get(name, 0) for labels in report["kept"].values()) for name in EMOTIONS]
    assert kept == [3026, 192, 1925, 1963, 2518, 3007, 759]
    short = (71, 0, 2, 36, 19, 12, 14)  # what the paper's one-second rule took away
    assert [n - k for n, k in zip(kept, short, strict=True)] == list(PAPER_COMBINED)
    assert report["removed_labels"]["iemocap"] == {
        **{"exc": 1041, "fru": 1849, "neu": 1708, "oth": 3, "xxx": 2507}
    }
    splits = read_rows(tmp_path / "out", "paper")
    for split in ("train", "validation"):
        labels = [row["label"] for row in splits[split]]
        assert tuple(map(labels.count, EMOTIONS)) == PRINTED_COLUMNS[split]
    noisy = {row["label"] for row in splits["train"] if '"noise"' in (row["augmentation"] or "")}
    assert noisy == {"calm", "surprised"}
