import csv

import pytest

from corpus_builder.tables import TableError, read_table


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def table(tmp_path):
    return tmp_path / "clips.csv"


def test_rows_are_dicts_of_text_and_know_their_lines(table):
    write(table, 'path,emotion,note\na.wav, happy ,x\n\n"b.wav","so\nsad",\n ,,\nc.wav\n')
    read = read_table(table, required=("path",), optional=("emotion", "transcript"))
    assert read.rows == [
        {"path": "a.wav", "emotion": "happy", "note": "x", "transcript": ""},
        {"path": "b.wav", "emotion": "so\nsad", "note": "", "transcript": ""},
        {"path": "c.wav", "emotion": "", "note": "", "transcript": ""},
    ]
    assert read.lines == [2, 5, 7]
    assert read.columns == ("path", "emotion", "note")
    assert read.folder == table.parent


def test_what_the_csv_module_writes_is_read_back(table):
    rows = [
        {"path": "a, b.wav", "emotion": 'says "no"'},
        {"path": "Grüße.wav", "emotion": "NA"},
        {"path": "c.wav", "emotion": "None"},
    ]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "emotion"])
        writer.writeheader()
        writer.writerows(rows)
    assert read_table(str(table), required=("path", "emotion")).rows == rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_names_of_columns_are_compared_without_case_and_spaces(table, encoding):
    write(table, "ID, Path ,EMOTION\n1,a.wav,sad\n", encoding)
    read = read_table(table, required=("path", "emotion"))
    assert read.rows == [{"ID": "1", "path": "a.wav", "emotion": "sad"}]
    assert read.columns == ("ID", "path", "emotion")


def test_empty_cells_at_the_end_of_a_line_are_no_error(table):
    write(table, "path,emotion\na.wav,sad,,\n")
    assert read_table(table).rows == [{"path": "a.wav", "emotion": "sad"}]


def test_an_empty_cell_is_an_error_unless_allowed(table):
    write(table, "path,emotion\na.wav,sad\nb.wav,\n")
    with pytest.raises(TableError, match=r"clips.csv: line 3 has no emotion"):
        read_table(table, required=("path", "emotion"))
    read = read_table(table, required=("path", "emotion"), allow_empty=True)
    assert read.rows[1] == {"path": "b.wav", "emotion": ""}


@pytest.mark.parametrize(
    ("text", "encoding", "what"),
    [
        ("", "utf-8", "path, emotion; found nothing"),
        ("file,label\na.wav,sad\n", "utf-8", "path, emotion; found file, label"),
        ("path,emotion,Path\na.wav,sad,b.wav\n", "utf-8", "column path is there twice"),
        ("path,emotion\na.wav,sad\nb.wav,oh, no\n", "utf-8", "line 3 has 3 cells, the header 2"),
        ("path,emotion\n\n", "utf-8", "no line below"),
        ("path,emotion\na.wav,sad\nü.wav,sad\n", "latin-1", "line 3 is not text in UTF-8"),
        ("path,emotion\na.wav," + "x" * 200_000 + "\n", "utf-8", "line 2: field larger"),
    ],
)
def test_a_bad_table_is_one_line_that_names_the_line(table, text, encoding, what):
    write(table, text, encoding)
    with pytest.raises(TableError, match=what) as raised:
        read_table(table, required=("path", "emotion"))
    assert str(raised.value).startswith(f"{table}: ") and "\n" not in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path):
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(TableError, match=f"{path}: cannot be read"):
            read_table(path)
