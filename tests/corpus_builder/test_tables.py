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
        ("path,emotion\n\n", "utf-8", "no usable line below"),
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_write(table, encoding, delimiter, end):
    lines = [
        "Path,EMOTION,note",
        "Grüße.wav,Sad,a\u2028b" if "utf" in encoding else "Grüße.wav,Sad,x",
    ]
    write(table, end.join(lines).replace(",", delimiter) + end, encoding)
    read = read_table(table, required=("path", "emotion"))
    assert [row["path"] for row in read.rows] == ["Grüße.wav"] and read.lines == [2]
    assert read.rows[0]["emotion"] == "Sad" and len(read.rows[0]["note"]) in (1, 3)


def test_the_hint_of_excel_is_no_header(table):
    write(table, 'sep=;\npath;emotion\n"a;b.wav";sad\n')
    read = read_table(table, required=("path", "emotion"))
    assert read.rows == [{"path": "a;b.wav", "emotion": "sad"}] and read.lines == [3]


def test_a_binary_file_is_no_table(table):
    table.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(TableError, match="not a table: its bytes are not text"):
        read_table(table)


def test_bad_lines_are_left_out_and_reported(table):
    write(table, "path,emotion\na.wav,sad\nb.wav\nc.wav,oh, no\nd.wav,happy\n")
    bad = []
    read = read_table(table, required=("path", "emotion"), on_bad=bad.append)
    assert [row["path"] for row in read.rows] == ["a.wav", "d.wav"] and read.lines == [2, 5]
    assert len(bad) == 2 and "line 3 has no emotion" in bad[0] and "line 4 has 3 cells" in bad[1]
    write(table, "path,emotion\nb.wav\n")
    with pytest.raises(TableError, match="no usable line"):
        read_table(table, required=("path", "emotion"), on_bad=bad.append)


def test_names_of_windows_and_of_macos(table, tmp_path):
    (tmp_path / "calls").mkdir()
    for name in ("a.wav", "Gr\u00fc\u00dfe.wav"):
        (tmp_path / "calls" / name).touch()
    write(table, "path\ncalls\\a.wav\ncalls\\Gru\u0308\u00dfe.wav\ncalls\\none.wav\n")
    read = read_table(table)
    files = [read.file(row["path"]) for row in read.rows]
    assert [file.exists() for file in files] == [True, True, False]
    address = (tmp_path / "calls" / "Gr\u00fc\u00dfe.wav").as_uri()
    assert read.file(address) == tmp_path / "calls" / "Gr\u00fc\u00dfe.wav"
    assert str(read.file("D:\\calls\\a.wav")) == "D:\\calls\\a.wav"


def test_another_name_of_a_column(table):
    write(table, "File;emotion\na.wav;sad\n")
    assert read_table(table, aliases={"file": "path"}).rows == [{"path": "a.wav", "emotion": "sad"}]
    write(table, "file,path\nno.wav,a.wav\n")
    assert read_table(table, aliases={"file": "path"}).rows[0]["path"] == "a.wav"
