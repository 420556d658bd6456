"""A mapping and a file: each row is exactly the hit that Hail would make of it, and what is wrong is one sentence."""

import gzip
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hail.hit import HitError, encode_hit, parse_hit
from hail.message import decode_message
from hail.settings import load
from whale import cli
from whale.commands.importer import (
    Block,
    Job,
    Refused,
    blocks,
    import_file,
    main,
    publisher_of,
)
from whale.commands.imports import Asked, Content, Stretch
from whale.commands.mapping import HitMaker, RowMapping, load_mapping, meaning_of
from whale.commands.rows import check_columns, scan
from whale.errors import SetupError

SETTINGS = load({})
NOW = 1_795_300_800.0
FLIGHTS = Path(__file__).parents[2] / "examples" / "flights.toml"
SHOP = """
pk = ["shop", { column = "who" }]
missing = ["", "NA"]
id = "order"
[dimensions]
place = ["country", "city"]
device = "device"
[metrics]
revenue = "money"
hits = "times"
[at]
column = "when"
format = "%d.%m.%Y %H:%M"
zone = "Europe/Berlin"
"""
HEADER = "who,country,city,device,money,times,when,order\n"


def mapping_of(folder: Path, text: str = SHOP) -> RowMapping:
    path = folder / "m.toml"
    path.write_text(text)
    return load_mapping(str(path), SETTINGS)


def hits_of(folder: Path, data: bytes, name: str = "f.csv", text: str = SHOP) -> tuple[list[Any], list[str]]:
    """The hits of a file, as JSON, and what was said of rows that were refused."""
    path = folder / name
    path.write_bytes(data)
    mapping, said = mapping_of(folder, text), list[str]()
    found = []
    content = scan(str(path), mapping)
    for block in blocks_of(path, content, mapping, 2, Refused(said.append)):
        for body in block.bodies:
            found += json.loads(body)["hits"]
    return found, [line.replace(str(path), "F") for line in said]


def blocks_of(path: Path, content: Content, mapping: RowMapping, block_hits: int, refused: Refused) -> list[Block]:
    publisher = publisher_of(content, mapping, block_hits)
    stretch = Stretch(0, None, int(NOW * 1000), block_hits, ((publisher, 1, ""),))
    return list(blocks(str(path), content.size, content.form, mapping, [stretch], SETTINGS, refused))


def test_a_row_becomes_a_hit(tmp_path: Path) -> None:
    row = b"ann,US,LA,phone,12.50,3,01.07.2026 12:00,o1\n"
    assert hits_of(tmp_path, HEADER.encode() + row) == (
        [
            [
                ["shop", "ann"],
                {"device": {"phone": {}}, "place": {"US": {"LA": {}}}},
                {"hits": 3, "revenue": 12_500_000},
                1_782_900_000_000,  # 10:00 UTC
                "o1",
            ]
        ],
        [],
    )


OF_VISITORS = """
pk = ["shop"]
missing = ["", "NA"]
visitor = "who"
event = { name = "order" }
[properties]
"plan é" = "plan"
city = "city"
[at]
column = "when"
format = "epoch"
"""


def test_a_row_says_what_a_visitor_did(tmp_path: Path) -> None:
    header, rows = "who,plan,city,when\n", [("ann", "pro", "07", "1790000000"), ("", "NA", "", "1790000001")]
    data = (header + "".join(",".join(row) + "\n" for row in rows)).encode()
    given = [
        {"visitor": "ann", "properties": {"plan é": "pro", "city": "07"}},
        {},
    ]
    expected = [
        json.loads(encode_hit(parse_hit({"pk": "shop", "event": "order", "at": int(row[3]), **more}, SETTINGS, NOW)))
        for row, more in zip(rows, given, strict=True)
    ]
    assert hits_of(tmp_path, data, text=OF_VISITORS) == (expected, [])
    by_column = OF_VISITORS.replace('{ name = "order" }', '"plan"').replace("[properties]", "[dimensions]")
    found, _ = hits_of(tmp_path, data, text=by_column)
    assert [hit[5:] for hit in found] == [["ann", "pro"], []]


def test_properties_need_messages_that_carry_them(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("who,plan,city,when\nann,pro,x,1790000000\n")
    settings = SETTINGS.replace(broker_url="amqp://x")
    mapping = mapping_of(tmp_path, OF_VISITORS)
    asked = Asked(meaning_of(mapping, SETTINGS), "m.toml", 2)
    job = Job(str(tmp_path / "f.csv"), mapping, settings, asked, Console(file=io.StringIO()))
    with pytest.raises(SetupError, match="HAILWHALE_MESSAGE_VERSION"):
        import_file(job, False)


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    rows = b"ann,US,NA,,,NA,01.07.2026 12:00,\nann,NA,LA,phone,1,,01.07.2026 12:00,NA\n"
    at = 1_782_900_000_000
    assert hits_of(tmp_path, HEADER.encode() + rows)[0] == [
        [["shop", "ann"], {"place": {"US": {}}}, {"hits": 1}, at],
        [["shop", "ann"], {"device": {"phone": {}}}, {"hits": 1, "revenue": 1_000_000}, at],
    ]


def test_a_bad_row_is_named_and_takes_no_neighbour_along(tmp_path: Path) -> None:
    rows = [
        "ann,US,,,1,,01.07.2026 12:00,",
        'ann,US,,,"12,50",,01.07.2026 12:00,',
        "NA,US,,,1,,01.07.2026 12:00,",
        "ann,US,,,1,,yesterday,",
        "ann,US",
        f"ann,{'x' * 201},,,1,,01.07.2026 12:00,",
        "ann,US,,,1e10,,01.07.2026 12:00,",
        "ann,US,,,1,1.5,01.07.2026 12:00,",
        "ann,US,,,1,,01.07.2126 12:00,",
        "",
        "ann,US,,,2,,01.07.2026 12:00,",
    ]
    found, said = hits_of(tmp_path, (HEADER + "\n".join(rows) + "\n").encode())
    assert [hit[2]["revenue"] for hit in found] == [1_000_000, 2_000_000]
    assert said == [
        "F:3: bad_metrics: metrics.revenue: expected a number, got '12,50'",
        "F:4: bad_pk: pk: expected a name in column 'who', got 'NA'",
        "F:5: bad_time: at: expected %d.%m.%Y %H:%M, got 'yesterday'",
        "F:6: bad_row: expected 8 values, got 2",
        f"F:7: name_too_long: dimensions.'place': expected at most 200 bytes, got 201: '{'x' * 56}...",
        "F:8: number_out_of_range: metrics.revenue: expected a number between -9.0e9 and 9.0e9, got 10000000000.0",
        "F:9: bad_metrics: metrics.hits: expected a whole number, got 1.5",
        "F:10: bad_time: at: expected 1900 to a year from now, got '01.07.2126 12:00'",
    ]


ND = 'pk = [{column="who"}]\nat = "at.ms"\n[dimensions]\nplace = "geo.country"\n[metrics]\nmoney = "money"\n'


def test_ndjson_has_nested_keys_and_its_own_types(tmp_path: Path) -> None:
    lines = [
        '{"who": true, "geo": {"country": "US"}, "money": 1.5, "at.ms": "2026-07-01"}',
        '{"who": 5, "geo": {"country": null}, "money": null, "at": {"ms": "2026-07-01T02:00:00+02:00"}}',
        "",
        "[1]",
        '{"who": ["a"], "at": {"ms": "2026-07-01"}}',
        '{"who": "\\u0000{}|", "money": true, "at.ms": "2026-07-01"}',
        '{"who": "\\u0000{}|", "at.ms": "2026-07-01"}',
    ]
    found, said = hits_of(tmp_path, "\n".join(lines).encode(), "f.ndjson", ND)
    at = 1_782_864_000_000
    assert found == [
        [["true"], {"place": {"US": {}}}, {"hits": 1, "money": 1_500_000}, at],
        [["5"], {}, {"hits": 1}, at],
        [["\0{}|"], {}, {"hits": 1}, at],
    ]
    assert [line.split(": ")[:2] for line in said] == [["F:4", "bad_json"], ["F:5", "bad_row"], ["F:6", "bad_metrics"]]


@pytest.mark.parametrize(
    ("form", "text", "ms"),
    [
        ("iso", "2026-07-01T12:00:00.250Z", 1_782_907_200_250),
        ("iso", "2026-07-01T12:00", 1_782_900_000_000),
        ("epoch", "1782900000.5", 1_782_900_000_500),
        ("epoch_ms", "1782900000500", 1_782_900_000_500),
        ("%Y%m%d", "20260701", 1_782_856_800_000),
    ],
)
def test_times_are_read_in_many_forms(tmp_path: Path, form: str, text: str, ms: int) -> None:
    mapping = mapping_of(tmp_path, f'pk = "p"\n[at]\ncolumn = "t"\nformat = "{form}"\nzone = "Europe/Berlin"\n')
    assert json.loads(HitMaker(mapping, ["t"], SETTINGS, NOW).wire([text]))[3] == ms


texts = st.one_of(
    st.none(), st.sampled_from(["", "NA", "1", "-2.5", ".5", "1e3", "nan", "1_0", "٣", "9" * 400]), st.text()
)


@given(st.tuples(texts, texts, texts, texts, texts))
def test_every_row_equals_what_hail_makes_of_it(row: tuple[str | None, ...]) -> None:
    mapping = load_mapping(str(FLIGHTS), SETTINGS)
    carrier, origin, dest, plane, money = row
    columns = ["carrier", "origin", "dest", "tailnum", "distance", "dep_delay", "arr_delay", "time_hour"]
    values = [carrier, origin, dest, plane, money, "3", "", "2013-01-01T10:00:00Z"]
    gone = (None, "", "NA")
    dimensions: dict[str, Any] = {}
    if origin not in gone:
        dimensions["origin"] = [origin] if dest in gone else [origin, dest]
    if plane not in gone:
        dimensions["plane"] = plane
    metrics: dict[str, Any] = {"dep_delay": 3}
    try:
        if carrier in gone:
            raise ValueError("pk")
        if money not in gone:
            assert money is not None
            if "_" in money or not money.isascii() or money != money.strip():
                raise ValueError(money)
            metrics["distance"] = float(money)
        at = "2013-01-01T10:00:00Z"
        hit = {"pk": ["flights", carrier], "dimensions": dimensions, "metrics": metrics, "at": at}
        expected = json.loads(encode_hit(parse_hit(hit, SETTINGS, NOW)))
    except (HitError, ValueError):
        with pytest.raises(HitError):
            HitMaker(mapping, columns, SETTINGS, NOW).wire(values)
        return
    assert json.loads(HitMaker(mapping, columns, SETTINGS, NOW).wire(values)) == expected


def test_columns_are_of_the_kinds_that_are_declared(tmp_path: Path) -> None:
    settings = SETTINGS.replace(kinds={"money": "quantile", "who": "distinct"})
    text = 'pk = "p"\n[metrics]\nmoney = "m"\nwho = "w"\nplain = "n"\n[at]\ncolumn = "t"\n'
    (tmp_path / "k.toml").write_text(text)
    mapping = load_mapping(str(tmp_path / "k.toml"), settings)
    row = json.loads(HitMaker(mapping, ["m", "w", "n", "t"], settings, NOW).wire(["2.5", "ann", "3", "2020-01-01"]))
    others = {"money": ["quantile", 2_500_000], "who": ["distinct", "ann"]}
    assert row[2:] == [{"hits": 1, "plain": 3_000_000}, 1_577_836_800_000, None, None, None, others]


def packed(kind: str, data: bytes) -> bytes:
    if kind == "gz":
        return gzip.compress(data, mtime=0)
    if kind != "zip":
        return data
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.csv", data)
        archive.writestr("__MACOSX/._inside.csv", b"x")
    return buffer.getvalue()


def test_an_import_has_the_same_name_however_its_file_is_packed(tmp_path: Path) -> None:
    data = HEADER.encode() + b"ann,US,,,1,,01.07.2026 12:00,\n" * 5
    mapping, names = mapping_of(tmp_path), set()
    for kind, name in (("csv", "a.csv"), ("gz", "b.csv.gz"), ("zip", "c.zip")):
        path = tmp_path / name
        path.write_bytes(packed(kind, data))
        content = scan(str(path), mapping)
        assert (content.size, content.form) == (len(data), "csv")
        found = blocks_of(path, content, mapping, 2, Refused(print))
        messages = [decode_message(body) for block in found for body in block.bodies]
        assert [(m.seq, m.total, len(m.hits), m.lasting) for m in messages] == [
            (0, 2, 2, True),
            (1, 4, 2, True),
            (2, 5, 1, True),
        ]
        names |= {message.publisher for message in messages}
    assert names == {publisher_of(content, mapping, 2)}
    assert publisher_of(content, mapping, 3) not in names
    assert publisher_of(content, mapping_of(tmp_path, SHOP + "# said\n"), 2) in names
    assert publisher_of(content, mapping_of(tmp_path, SHOP.replace("Berlin", "Paris")), 2) not in names


def test_a_block_keeps_its_name_when_rows_before_it_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    good, bad = "ann,US,,,1,,01.07.2026 12:00,\n", "ann\n"
    path.write_text(HEADER + bad * 2 + bad + good + good)
    mapping = mapping_of(tmp_path)
    found = blocks_of(path, scan(str(path), mapping), mapping, 2, Refused(lambda _: None))
    messages = [(block.rows, [decode_message(body) for body in block.bodies]) for block in found]
    assert [(rows, [(message.seq, message.total) for message in some]) for rows, some in messages] == [
        (2, []),
        (2, [(1, 1)]),
        (1, [(2, 2)]),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("missing =", "mising ="), "mising is not a key of a mapping: did you mean missing?"),
        (("zone =", "zon ="), "at.zon is not a key of a mapping: did you mean at.zone?"),
        (('{ column = "who" }', '{ colum = "who" }'), "pk[1].colum is not a key of a mapping"),
        (('pk = ["shop", { column = "who" }]', ""), "pk: expected a name or a list"),
        (('device = "device"', "device = 5"), "dimensions.device: expected text, got 5"),
        (('revenue = "money"', "revenue = []"), "metrics.revenue: expected text, got []"),
        (("%d.%m.%Y %H:%M", "european"), "at.format: expected iso, epoch, epoch_ms or a format such as"),
        (("Europe/Berlin", "Europe/Berln"), "at.zone: expected an IANA zone such as Europe/Berlin, got 'Europe/Berln'"),
        (('column = "when"', ""), "at.column: expected text, got nothing"),
        (('["", "NA"]', '"NA"'), "missing: expected a list of texts"),
        (('id = "order"', 'delimiter = ";;"'), "delimiter: expected one character, got ';;'"),
        (('id = "order"', 'encoding = "utf-9"'), "encoding: expected the name of one"),
        (('id = "order"', 'format = "xml"'), "format: expected csv or ndjson, got 'xml'"),
        (("missing", "= missing"), "expected TOML as in examples/flights.toml"),
        (('["country", "city"]', str(["a"] * 8)), "expected at most 8 levels"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_one_sentence(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(SetupError) as error:
        mapping_of(tmp_path, SHOP.replace(*change))
    assert said in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'm.toml'}: ")


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def encrypted(archive: bytes) -> bytes:
    """Its first file says that it is."""
    central = archive.index(b"PK\x01\x02")
    return archive[:6] + b"\x01" + archive[7 : central + 8] + b"\x01" + archive[central + 9 :]


FILES: list[tuple[str, bytes, str]] = [
    ("f.csv", b"", "is empty"),
    ("f.csv", b"\n \n", "is empty"),
    ("f.csv.gz", packed("gz", b""), "is empty"),
    ("f.csv", b"who,when\na,b\n", "no column 'country', which dimensions.place of M asks for, in: who, when"),
    ("f.csv", (HEADER[:-1] + ",who\n").encode(), "2 columns 'who', which pk[1] of M asks for"),
    ("f.csv", HEADER.encode() + "ä\n".encode("latin-1"), "line 2 is not utf-8: name the file's encoding in M"),
    ("f.csv", b"\x89PNG\r\n\x1a\n\xff", "line 1 is not utf-8"),
    ("f.csv", b'"', "expected CSV, with a header in line 1"),
    ("f.csv.gz", packed("gz", HEADER.encode() * 100)[:-9], "cannot be unpacked, it is damaged"),
    ("f.csv.gz", b"not gzip", "cannot be unpacked, it is damaged or of another kind: Not a gzipped file"),
    ("f.zip", b"not zip", "cannot be unpacked, it is damaged or of another kind: File is not a zip file"),
    ("f.zip", flipped(packed("zip", HEADER.encode() * 100), 60), "cannot be unpacked, it is damaged"),
    ("f.zip", encrypted(packed("zip", HEADER.encode())), "is encrypted, password required"),
    ("f.csv", HEADER.encode("utf-16"), 'is utf-16: name the file\'s encoding in M: encoding = "utf-16"'),
    ("f.csv", HEADER.encode("utf-16-le"), 'is utf-16-le: name the file\'s encoding in M: encoding = "utf-16-le"'),
    ("f.ndjson", HEADER.encode("utf-16-be"), "is utf-16-be"),
    ("f.json", b'[{"who": 1}, {"who": 2}]', "is one JSON array: write each of its values on a line of its own, as `jq"),
    ("f.txt", b'\xef\xbb\xbf [\n {"who": 1}]', "is one JSON array"),
    ("f.json", b'{\n "who": 1\n}\n', "no line is a JSON object: write one object a line, as `jq -c .` does"),
    ("f.csv", b"who," * 300_000, "line 1: expected at most 1,000,000 bytes in a row (HAILWHALE_IMPORT_LINE"),
    ("f.csv", b"who,\x1b[31mred\n1,2\n", "no column 'country', which dimensions.place of M asks for"),
    ("f.ndjson", b'{"who": 1}\n', "no row has 'country', which dimensions.place of M asks for"),
]


@pytest.mark.parametrize(("name", "data", "said"), FILES)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    path, mapping = tmp_path / name, mapping_of(tmp_path)
    path.write_bytes(data)
    asked = Asked(meaning_of(mapping, SETTINGS), "m.toml", 2)
    with pytest.raises(SetupError) as error:
        import_file(Job(str(path), mapping, SETTINGS, asked, Console(file=io.StringIO())), dry_run=True)
    assert said in str(error.value).replace(str(tmp_path / "m.toml"), "M")
    assert str(error.value).startswith(f"{path}: ")


def test_a_folder_or_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder.zip").mkdir()
    pipe, folder = "expected a file, which is read more than once", "is a folder; give a file"
    for path, said in ((tmp_path / "pipe", pipe), (tmp_path, folder), (tmp_path / "folder.zip", folder)):
        with pytest.raises(SetupError, match=said):
            scan(str(path), mapping_of(tmp_path))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{"geo": 1}', "bad_pk: pk: expected a name in column 'who', got nothing"),
        ('{"who": "a"}', "bad_time: at: expected a time in column 'at.ms', got nothing"),
        (
            '{"who": "a", "at": {"ms": "2126-01-01"}}',
            "bad_time: at: expected 1900 to a year from now, got '2126-01-01'",
        ),
    ],
)
def test_a_value_is_told_as_it_stands_in_its_row(tmp_path: Path, data: str, said: str) -> None:
    assert hits_of(tmp_path, data.encode() + b"\n", "f.ndjson", ND)[1] == [f"F:1: {said}"]


def test_a_mapping_without_a_time_got_nothing(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="at: expected .* the time of a row, got nothing"):
        mapping_of(tmp_path, 'pk = "shop"\n')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, encoding: str) -> None:
    row = "ann,US,LA,phone,1,,01.07.2026 12:00,\n"
    text = SHOP if encoding == "utf-8-sig" else f'encoding = "{encoding}"\n' + SHOP
    assert len(hits_of(tmp_path, (HEADER + row).encode(encoding), text=text)[0]) == 1
    assert len(hits_of(tmp_path, (HEADER + row).encode(encoding), text=f"\ufeff{text}")[0]) == 1


def test_a_line_that_is_too_long_takes_no_neighbour_along(tmp_path: Path) -> None:
    row, most = "ann,US,,,1,,01.07.2026 12:00,\n", SETTINGS.import_line_bytes
    many = '"a\nb",' * 200_000
    data = HEADER + row + "x" * (3 * most + 7) + "\r\n" + row + many + "\n" + row + "é" * most + "\n" + row
    found, said = hits_of(tmp_path, data.encode())
    assert len(found) == 4
    too_long = "bad_row: expected at most 1,000,000 bytes in a row (HAILWHALE_IMPORT_LINE_BYTES)"
    assert said[0] == f"F:3: {too_long}"
    assert f"F:{data[: -len(row)].count(chr(10))}: {too_long}" in said


def test_a_line_of_a_hundred_megabytes_takes_no_such_memory(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(SHOP)
    with gzip.open(tmp_path / "f.csv.gz", "wb", 1) as file:
        file.write(HEADER.encode())
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\nann,US,,,1,,01.07.2026 12:00,\n")
    program = (
        "import re, sys; from click.testing import CliRunner; from whale.commands.importer import main;"
        "done = CliRunner().invoke(main, sys.argv[1:]);"
        "print(done.stderr, int(re.search(r'VmHWM:\\s*([0-9]+)', open('/proc/self/status').read())[1]) // 1024)"
    )
    words = [str(tmp_path / "f.csv.gz"), "--mapping", str(tmp_path / "m.toml"), "--dry-run"]
    said = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60).stdout
    assert "1 of 2 rows would be counted, refused: 1 bad_row" in said
    assert int(said.split()[-1]) < 200


def test_what_a_mapping_remembers_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whale.commands.mapping.MOST_REMEMBERED_BYTES", 5000)
    maker = HitMaker(mapping_of(tmp_path, 'pk = "p"\nat = "t"\n[metrics]\nm = "m"\n'), ["m", "t"], SETTINGS, NOW)
    for number in range(1000):
        hit = json.loads(maker.wire([str(number), "2020-01-01"]))
        assert hit[2:] == [{"hits": 1, "m": number * 1_000_000}, 1_577_836_800_000]
    assert len(maker._metrics[0][2]) < 20


def test_rows_that_are_dated_ahead_are_named(tmp_path: Path) -> None:
    mapping_of(tmp_path)
    soon = datetime.fromtimestamp(time.time() + 90 * 86_400).strftime("%d.%m.%Y")
    days = ["01.07.2016", soon, "01.07.2016", soon]
    (tmp_path / "f.csv").write_text(HEADER + "".join(f"ann,US,,,1,,{day} 12:00,\n" for day in days))
    said = CliRunner().invoke(main, [str(tmp_path / "f.csv"), "--mapping", str(tmp_path / "m.toml"), "--dry-run"])
    assert said.exit_code == 0
    assert "import: 2 rows have a time in the future and count at 20" in said.stderr
    assert "; the first is line 3\n" in said.stderr


def test_no_name_in_a_file_reaches_the_terminal_raw(tmp_path: Path) -> None:
    mapping_of(tmp_path)
    (tmp_path / "f.csv").write_text(HEADER.replace("who", "\x1b[2Jwho"))
    words = ["import", str(tmp_path / "f.csv"), "--mapping", str(tmp_path / "m.toml"), "--dry-run"]
    said = CliRunner().invoke(cli.main, words)
    assert (said.exit_code, "\x1b" in said.stderr, "in: \\x1b[2Jwho, country" in said.stderr) == (2, False, True)
    odd = tmp_path / "\x1b[2Jf.csv"
    odd.write_text(HEADER + "ann\n")
    said = CliRunner().invoke(cli.main, ["import", str(odd), *words[2:]])
    assert (said.exit_code, "\x1b" in said.stderr, "\\x1b[2Jf.csv:2: bad_row" in said.stderr) == (1, False, True)


def test_a_zip_holds_one_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.writestr("a.csv", "a")
        archive.writestr("b.csv", "b")
    with pytest.raises(SetupError, match="expected a zip with one file in it, got 2"):
        scan(str(tmp_path / "f.zip"), mapping_of(tmp_path))


def test_a_key_that_is_rare_is_found(tmp_path: Path) -> None:
    path, mapping = tmp_path / "f.ndjson", mapping_of(tmp_path, ND)
    path.write_text('{"who": 1, "money": 2, "at.ms": 3}\n' * 5000 + '{"geo": {"country": 1}}\n')
    check_columns(str(path), scan(str(path), mapping), mapping, SETTINGS)


def test_a_dry_run_counts_nothing_and_says_what_it_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAILWHALE_DATA_DIR", str(tmp_path / "nothing"))
    mapping_of(tmp_path)
    good = "ann,US,,,1,,01.07.2016 12:00,\n"
    (tmp_path / "f.csv").write_text(HEADER + good * 3)
    words = [str(tmp_path / "f.csv"), "--mapping", str(tmp_path / "m.toml")]
    said = CliRunner().invoke(main, [*words, "--dry-run"])
    assert (said.exit_code, "3 of 3 rows would be counted, refused: none" in said.stderr) == (0, True)
    assert "import: earlier imports are not known, so all rows are treated as new: no HailWhale runs on" in said.stderr
    (tmp_path / "f.csv").write_text(HEADER + good * 3 + "ann\n" * 30)
    said = CliRunner().invoke(main, [*words, "--dry-run"])
    assert said.exit_code == 1
    assert "3 of 33 rows would be counted, refused: 30 bad_row" in said.stderr
    assert said.stderr.count(": bad_row: ") == 20
    said = CliRunner().invoke(main, words)
    assert isinstance(said.exception, SetupError)
    assert "start it with `hailwhale up`" in str(said.exception)
