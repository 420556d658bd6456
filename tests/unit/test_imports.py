"""An import is what the account remembers of it: the same rows count once, new ones count, others are declined; and back."""

import gzip
import io
import os
import re
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hail.hit import parse_hit
from hail.message import ACCOUNT
from hail.settings import Settings, load
from tests.laws import law
from whale import cli
from whale.client import Whale
from whale.commands.importer import Importing, Job, Rehearsed, ToNobody, ToStore, publisher_of
from whale.commands.imports import Asked, Declined, Record, record_of
from whale.commands.mapping import load_mapping, meaning_of
from whale.commands.rows import scan
from whale.count.direct import Direct
from whale.errors import SetupError
from whale.health.audit import Found, close
from whale.store.contract.definitions import Defined
from whale.store.memory import MemoryStore

SETTINGS = load({}).replace(apply_max_hits=4)
MAPPING = 'pk = "shop"\nat = "t"\n[metrics]\nsold = "sold"\n'
ROW = "2016-01-0{},{}\n"


class Killed(BaseException):
    pass


class Shop:
    """A file, a mapping, a store in memory, and the command. kill_at: the event before which it dies, from 1."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS, mapping: str = MAPPING):
        self.settings, self.store = settings, MemoryStore(settings)
        self.file, self.mapping = folder / "f.csv", folder / "m.toml"
        self.write(1, 2, 3)
        self.mapping.write_text(mapping)
        self.said, self.kill_at, self.events = "", 0, 0
        self._keep = self.store.keep_import
        self.store.keep_import = self._keeps

    def write(self, *sold: Any, header: str = "t,sold\n", end: str = "\n") -> None:
        text = header + "".join(ROW.format(1 + i % 9, each) for i, each in enumerate(sold))
        self.file.write_text(text[:-1] + end)

    def run(
        self,
        name: str | None = None,
        again: bool = False,
        undo: bool = False,
        block_hits: int = 2,
        dry_run: bool = False,
    ) -> int:
        """The exit code; said: what it said."""
        mapping, output = load_mapping(str(self.mapping), self.settings), io.StringIO()
        asked = Asked(meaning_of(mapping, self.settings), "m.toml", block_hits, name, again, undo)
        job = Job(str(self.file), mapping, self.settings, asked, Console(file=output))
        store: Any = Rehearsed(self.store, self.settings) if dry_run else self.store
        to: Any = ToNobody(self.store) if dry_run else Dying(self)
        try:
            return Importing(job, store, to).run(scan(job.path, mapping))
        except Declined as error:
            output.write(str(error))
            return 1
        finally:
            self.said = re.sub(
                r"\d+\.\d s, [\d,]+ rows/s|on 2\d{3}-\d\d-\d\d at [\d:]+ UTC|[0-9a-f]{8}\)", "…", output.getvalue()
            )

    def killed(self, at: int, **words: Any) -> bool:
        self.kill_at, self.events = at, 0
        try:
            self.run(**words)
            return False
        except Killed:
            return True
        finally:
            self.kill_at = 0

    def event(self) -> None:
        self.events += 1
        if self.events == self.kill_at:
            raise Killed

    def reset(self, *pk: str, dimension: str | None = None) -> None:
        self.store.reset(ACCOUNT, pk or ("shop",), (dimension,) if dimension else None, time.time() + 0.002)

    def sold(self, pk: Any = "shop", metric: str = "sold", **more: Any) -> float:
        whale = Whale(self.store, self.settings)
        return float(whale.total(pk, metric, period="2015-01-01..2030-01-01", **more) or 0)

    def closes(self) -> bool:
        return close(self.store, ACCOUNT, Found()).closes and not self.store.faults(ACCOUNT)

    def _keeps(self, account: str, name: str, seen: int, new: Defined) -> Defined | None:
        self.event()
        try:
            return self._keep(account, name, seen, new)
        finally:
            self.event()


class Dying(ToStore):
    def __init__(self, shop: Shop):
        super().__init__(shop.store, shop.settings)
        self._shop = shop

    def put(self, bodies: Sequence[bytes], now: float) -> None:
        self._shop.event()
        super().put(bodies, now)
        self._shop.event()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_the_same_rows_count_once_and_it_says_so(shop: Shop) -> None:
    assert (shop.run(), shop.sold()) == (0, 6)
    assert shop.said == "import: 3 of 3 rows counted, refused: none; …\n"
    for end in ("\n", "", "\n\n\r\n"):
        shop.write(1, 2, 3, end=end)
        assert (shop.run(block_hits=5), shop.sold()) == (0, 6)
        assert shop.said == "import: f.csv: nothing to count: all 3 rows were counted … under m.toml (…\n"
    assert shop.closes()


def test_of_a_file_that_has_grown_the_new_rows_count(shop: Shop) -> None:
    shop.run()
    shop.write(1, 2, 3, "x", 5)
    assert (shop.run(), shop.sold()) == (1, 11)
    assert "import: 3 rows were imported before; 1 of 2 new rows counted, refused: 1 bad_metrics; …\n" in shop.said
    assert f"{shop.file}:5: bad_metrics" in shop.said
    shop.write(1, 2, 3, "x", 5, 6, end="")
    assert (shop.run(), shop.sold()) == (0, 17)
    assert (shop.run(), shop.sold()) == (0, 17)
    assert "nothing to count: 5 of 6 rows were counted and 1 refused, …" in shop.said
    assert shop.closes()


@pytest.mark.parametrize("end", ['"two\n', '"two'])
def test_a_row_that_was_cut_off_inside_quotes_counts_when_it_is_whole(shop: Shop, end: str) -> None:
    """Its first line ended, so the file begins with what was counted."""
    rows = [("2016-01-01", 1, "a"), ("2016-01-02", 20, "two\nlines"), ("2016-01-03", 300, "b\n")]
    whole = "t,sold,note\n" + "".join(f'{t},{sold},"{note}"\n' for t, sold, note in rows)
    shop.file.write_text(whole[: whole.index(end) + len(end)])
    assert shop.run() == 1
    assert "1 bad_row" in shop.said
    assert shop.run() == 0
    assert (shop.sold(), shop.said) == (
        1,
        "import: f.csv: nothing to count: all 1 rows were counted … under m.toml (…\n",
    )
    shop.file.write_text(whole)
    assert shop.run() == 0
    assert (shop.sold(), shop.sold(metric="hits")) == (321, 3)
    assert "1 row was imported before; 2 of 2 new rows counted, refused: none" in shop.said
    assert shop.run(undo=True) == 0
    assert (shop.sold(), shop.closes()) == (0, True)


def test_a_row_that_was_cut_off_inside_quotes_hinders_no_undo(shop: Shop) -> None:
    shop.file.write_text('t,sold,note\n2016-01-01,1,a\n2016-01-02,20,"two\n')
    assert shop.run() == 1
    assert shop.run(undo=True) == 0
    assert (shop.sold(), shop.closes()) == (0, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda shop: shop.write(1, 2, 4), "and the rows differ now"),
        (lambda shop: shop.write(1, 2), "and the rows differ now"),
        (lambda shop: shop.write(1, 2, 34), "and the rows differ now"),
        (lambda shop: shop.write(1, 2, 3, header="t,sold,x\n"), "and the rows differ now"),
        (
            lambda shop: shop.mapping.write_text(MAPPING + '[dimensions]\nday = "t"\n'),
            "and the mapping, HAILWHALE_KINDS or HAILWHALE_BANDS changed since",
        ),
        (
            lambda shop: (shop.write(4), shop.mapping.write_text(MAPPING + '[dimensions]\nday = "t"\n')),
            "and rows and mapping differ now",
        ),
    ],
)
def test_anything_else_is_declined_and_named(shop: Shop, change: Callable[[Shop], Any], said: str) -> None:
    shop.run()
    change(shop)
    assert (shop.run(), shop.sold()) == (1, 6)
    assert shop.said.startswith(f"f.csv: 3 rows of f.csv were counted … under m.toml (…, {said}")
    assert "to count all rows of this file anyway, use --again" in shop.said


@pytest.mark.parametrize(
    ("before", "words", "code", "said"),
    [
        (lambda shop: None, {}, 0, "3 of 3 rows counted, refused: none"),
        (lambda shop: shop.run(), {}, 0, "nothing to count: all 3 rows were counted"),
        (
            lambda shop: (shop.run(), shop.write(1, 2, 3, "x", 5)),
            {},
            1,
            "3 rows were imported before; 1 of 2 new rows counted",
        ),
        (lambda shop: (shop.run(), shop.write(1, 2, 4)), {}, 1, "and the rows differ now"),
        (
            lambda shop: (shop.run(), shop.mapping.write_text(MAPPING + '[dimensions]\nday = "t"\n')),
            {},
            1,
            "and the mapping, HAILWHALE_KINDS or HAILWHALE_BANDS changed since",
        ),
        (
            lambda shop: (shop.run(), shop.write(1, 2, 3, 4), shop.reset()),
            {},
            0,
            "3 rows were imported before; 1 of 1 new rows counted",
        ),
        (lambda shop: shop.killed(4), {}, 0, "3 of 3 rows counted (3 of them before)"),
        (lambda shop: shop.run(name="two"), {"name": "two"}, 0, "two: nothing to count"),
        (lambda shop: (shop.run(), shop.killed(2, undo=True)), {}, 1, "an undo is unfinished"),
    ],
)
def test_a_dry_run_says_what_the_real_one_does_with_the_same_exit_code_and_changes_nothing(
    shop: Shop, before: Callable[[Shop], Any], words: dict[str, Any], code: int, said: str
) -> None:
    before(shop)
    kept, sold = shop.store.imports(ACCOUNT), shop.sold()
    for _ in range(2):
        assert shop.run(**words, dry_run=True) == code
        dry = shop.said
    assert (shop.store.imports(ACCOUNT), shop.sold()) == (kept, sold)
    assert shop.run(**words) == code
    assert shop.said == dry.replace("would be counted", "counted")
    assert said in shop.said


def test_a_dry_run_knows_the_limit_of_imports(shop: Shop) -> None:
    shop.settings = SETTINGS.replace(max_imports=1)
    shop.store._settings = shop.settings
    shop.run(name="one")
    for dry_run in (True, False):
        with pytest.raises(SetupError, match="raise HAILWHALE_MAX_IMPORTS"):
            shop.run(name="two", dry_run=dry_run)


def test_again_and_another_name_count_on(shop: Shop) -> None:
    shop.run()
    assert (shop.run(again=True), shop.sold()) == (0, 12)
    assert (shop.run(), shop.sold()) == (0, 12)
    assert (shop.run(name="two"), shop.sold()) == (0, 18)
    assert (shop.run(name="two"), shop.sold()) == (0, 18)
    shop.write(7, 8)
    assert (shop.run(), shop.sold()) == (1, 18)
    assert (shop.run(again=True), shop.sold()) == (0, 33)
    assert (shop.run(), shop.sold()) == (0, 33)
    shop.write(1, 2, 3, 4)
    assert (shop.run(), shop.sold()) == (0, 37)
    assert shop.closes()


def test_a_copy_of_the_file_counts_nothing(shop: Shop, tmp_path: Path) -> None:
    shop.run()
    shop.file = tmp_path / "copy.csv"
    shop.write(1, 2, 3)
    assert (shop.run(), shop.sold()) == (0, 6)
    assert "f.csv: nothing to count" in shop.said
    shop.write(1, 2, 3, 4)
    assert (shop.run(), shop.sold()) == (1, 6)
    assert "they are the first rows of this file" in shop.said
    assert shop.said.endswith("; --name f.csv goes on after them")
    assert (shop.run(name="f.csv"), shop.sold()) == (0, 10)
    shop.write(5)
    assert (shop.run(), shop.sold()) == (0, 15)


def test_undo_takes_back_what_was_counted_and_then_it_counts_anew(shop: Shop) -> None:
    assert shop.run(undo=True) == 1
    assert shop.said == "f.csv: there is nothing to undo: nothing of it counts"
    shop.run()
    shop.write(1, 2, "x", 4)
    assert shop.run(undo=True) == 1
    shop.write(1, 2, 3, "x", 5)
    shop.run()
    assert (shop.run(undo=True), shop.sold(), shop.sold(metric="hits")) == (0, 0, 0)
    assert "import: 4 of 5 rows taken back, refused: 1 bad_metrics; …\n" in shop.said
    assert shop.run(undo=True) == 1
    for _ in range(2):
        assert (shop.run() in (0, 1), shop.sold(), shop.sold(metric="hits")) == (True, 11, 4)
    assert (shop.run(again=True), shop.sold()) == (1, 22)
    assert (shop.run(undo=True), shop.sold()) == (0, 11)
    assert (shop.run(undo=True), shop.sold()) == (0, 0)
    assert shop.closes()


def test_undo_says_which_of_several_imports_it_takes_back_and_what_still_counts(shop: Shop) -> None:
    def undone() -> list[str]:
        shop.run(undo=True)
        return [line for line in shop.said.splitlines() if "taken back" not in line]

    rows = "{} rows of f.csv that were counted … under m.toml (…"
    shop.run()
    shop.run(again=True)
    shop.write(7, 8)
    shop.run(again=True)
    shop.write(1, 2, 3)
    assert undone() == [
        f"import: f.csv: takes back import 2 of 3: {rows.format(3)}",
        f"import: f.csv: 2 imports still count, the last: {rows.format(2)}",
    ]
    assert undone() == [
        f"import: f.csv: takes back import 1 of 2: {rows.format(3)}",
        f"import: f.csv: still counts: {rows.format(2)}",
    ]
    shop.write(7, 8)
    assert undone() == [f"import: f.csv: takes back import 1 of 1: {rows.format(2)}"]
    shop.killed(3)
    begun = "rows of f.csv that were counted … under m.toml (…"
    assert undone() == [f"import: f.csv: takes back the unfinished import: {begun}"]


def test_rows_that_were_dated_ahead_are_taken_back_where_they_landed(shop: Shop) -> None:
    ahead = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 9 * 86_400))
    shop.file.write_text(f"t,sold\n2016-01-01,1\n{ahead},2\n")
    assert shop.run() == 0
    assert "1 rows have a time in the future and count at 20" in shop.said
    assert shop.sold() == 3
    shop.file.write_text(shop.file.read_text() + "2016-01-02,4\n")
    assert (shop.run(), shop.sold()) == (0, 7)
    time.sleep(0.01)
    assert (shop.run(undo=True), shop.sold()) == (0, 0)
    assert not any(shop.store._cells.values())


def test_what_was_logged_of_visitors_is_not_taken_back(tmp_path: Path) -> None:
    shop = Shop(tmp_path, mapping='visitor = "t"\nevent = { name = "order" }\n' + MAPPING)
    shop.run()
    assert shop.run(undo=True) == 1
    assert shop.said == "its rows may be logged as events of visitors: only counts can be taken back"
    shop.settings = SETTINGS.replace(visitor_log=False)
    assert (shop.run(undo=True), shop.sold()) == (0, 0)


def test_undo_is_refused_by_the_name_of_a_metric_that_is_no_sum(tmp_path: Path) -> None:
    shop = Shop(tmp_path, SETTINGS.replace(kinds={"sold": "max"}))
    shop.run()
    assert shop.run(undo=True) == 1
    assert shop.said == "metric sold is of kind max: only sums can be taken back"
    shop.settings = SETTINGS
    assert shop.run() == 1
    assert "HAILWHALE_KINDS" in shop.said


def test_undo_is_refused_where_other_rows_would_be_refused_now(tmp_path: Path) -> None:
    text = MAPPING + '[dimensions]\nsold = "sold"\n'
    shop = Shop(tmp_path, SETTINGS.replace(max_name_bytes=5), text)
    shop.write(1, 2, 1000000)
    assert (shop.run(), shop.sold()) == (1, 3)
    shop.settings = SETTINGS
    assert (shop.run(undo=True), shop.sold()) == (1, 3)
    assert "1 of its rows were refused, but the present limits refuse 0" in shop.said


def test_after_a_reset_of_all_of_it_it_counts_again(shop: Shop) -> None:
    shop.run()
    shop.write(1, 2, 3, 4)
    shop.reset()
    assert (shop.run(), shop.sold()) == (0, 10)
    assert "import: 3 of 3 rows counted" in shop.said
    assert "import: 3 rows were imported before; 1 of 1 new rows counted" in shop.said
    assert (shop.run(), shop.sold()) == (0, 10)
    shop.reset()
    assert (shop.run(undo=True), shop.sold()) == (0, 0)
    assert "nothing to undo: all its counts were reset" in shop.said
    assert (shop.run(), shop.sold()) == (0, 10)
    assert shop.closes()


def test_a_reset_is_remembered_for_longer_than_a_month(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.run()
    shop.reset()
    later = time.time() + 90 * 86_400
    shop.store.reset(ACCOUNT, ("other",), None, later)  # forgets what is older
    assert len(shop.store.resets(ACCOUNT)) == 1
    assert (shop.run(), shop.sold()) == (0, 6)


NESTED = 'pk = ["shop", { column = "t" }]\nat = "t"\n[metrics]\nsold = "sold"\n[dimensions]\nday = "t"\n'


def test_a_reset_of_a_part_is_named_and_nothing_counts(tmp_path: Path) -> None:
    shop = Shop(tmp_path, mapping=NESTED)
    shop.run()
    shop.reset("shop", "2016-01-01")
    assert (shop.run(), shop.sold(), shop.sold(["shop", "2016-01-01"])) == (0, 6, 0)
    assert (
        '; ["shop", "2016-01-01"] was reset …, which removed a part of them: after a reset of "shop" they count again'
        in shop.said
    )
    shop.reset(dimension="day")
    assert shop.run() == 0
    assert '; ["shop", ["day"]] was reset …, which removed a part of them' in shop.said
    shop.reset(dimension="other")
    shop.reset("shops")
    assert shop.run() == 0
    assert '["shop", ["day"]] was reset' in shop.said
    assert (shop.run(undo=True), shop.sold(), shop.sold(["shop", "2016-01-01"])) == (0, 0, 0)
    assert not any(shop.store._cells.values())
    shop.run()
    shop.reset()
    assert (shop.run(), shop.sold(), shop.sold(["shop", "2016-01-01"])) == (0, 6, 1)
    assert shop.closes()


def test_where_a_column_is_the_pk_all_of_them_are_to_be_reset(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path,
        mapping='pk = { column = "t" }\nat = "t"\n[metrics]\nsold = "sold"\n'.replace("{ column", "[{ column").replace(
            " }", " }]"
        ),
    )
    shop.write(1, 2, 3)
    shop.run()
    shop.reset("2016-01-01")
    shop.reset("2016-01-03")
    assert (shop.run(), shop.sold("2016-01-01"), shop.sold("2016-01-02")) == (0, 0, 2)
    assert "was reset …, which removed a part of them: after a reset of all their pks they count again" in shop.said
    shop.reset("2016-01-02")
    assert (shop.run(), shop.sold("2016-01-01"), shop.sold("2016-01-02")) == (0, 1, 2)
    assert shop.closes()


IDS = MAPPING.replace("at =", 'id = "id"\nat =')


def with_ids(shop: Shop, *ids: str) -> None:
    shop.file.write_text("t,sold,id\n" + "".join(f"2016-01-01,1,{each}\n" for each in ids))


def test_ids_keep_no_row_out_that_counts_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path, mapping=IDS)
    with_ids(shop, "a", "b", "c")
    assert (shop.run(), shop.sold()) == (0, 3)
    shop.reset()
    assert (shop.run(), shop.sold()) == (0, 3)
    assert (shop.run(undo=True), shop.sold()) == (0, 0)
    assert (shop.run(), shop.sold()) == (0, 3)
    with_ids(shop, "a", "b", "c", "d", "d")
    assert (shop.run(), shop.sold()) == (0, 4)
    assert (
        "import: 3 rows were imported before; 1 of 2 new rows counted, 1 dropped as duplicate, refused: none"
        in shop.said
    )
    assert (shop.run(undo=True), shop.sold()) == (1, 4)
    assert shop.said == "its rows have ids, and some did not count (1); HailWhale does not know which"
    assert shop.closes()


def test_rows_that_are_dropped_or_refused_are_not_told_as_counted(tmp_path: Path) -> None:
    shop = Shop(tmp_path, mapping=f'id = "id"\n{MAPPING}')
    with_ids(shop, "a", "b", "c")
    assert shop.run() == 0
    assert shop.run(again=True) == 0
    assert shop.said == "import: 0 of 3 rows counted, 3 dropped as duplicate, refused: none; …\n"
    assert shop.run() == 0
    assert "nothing to count: 0 of 3 rows were counted and 3 dropped, … under m.toml" in shop.said


def test_an_id_that_came_otherwise_is_no_second_one(tmp_path: Path) -> None:
    shop = Shop(tmp_path, mapping=IDS)
    Whale(shop.store, shop.settings).count_now("shop", metrics={"sold": 1}, at="2016-01-01", id="a")
    with_ids(shop, "a", "b")
    assert (shop.run(), shop.sold()) == (0, 2)
    assert "1 dropped as duplicate" in shop.said


def test_an_import_of_the_version_before_goes_on(shop: Shop) -> None:
    mapping = load_mapping(str(shop.mapping), shop.settings)
    publisher = publisher_of(scan(str(shop.file), mapping), mapping, 2)
    first = [parse_hit({"pk": "shop", "metrics": {"sold": n}, "at": f"2016-01-0{n}"}, SETTINGS, 2e9) for n in (1, 2)]
    applied = Dying(shop)._applier
    direct = Direct(lambda message: applied.apply([message], time.time()))
    direct._idle_of(ACCOUNT).append((publisher, 0, 0))
    direct.count(ACCOUNT, first, time.time())
    assert shop.sold() == 3
    assert (shop.run(), shop.sold()) == (0, 6)
    assert "3 of 3 rows counted (2 of them before)" in shop.said
    assert (shop.run(undo=True), shop.sold()) == (1, 6)
    assert "was imported by an older version that noted no time" in shop.said
    shop.reset()
    assert (shop.run(), shop.sold()) == (0, 6)
    assert (shop.run(undo=True), shop.sold()) == (0, 0)
    assert shop.closes()


def test_what_is_begun_comes_first(shop: Shop) -> None:
    assert shop.killed(3)
    shop.write(1, 2, 4)
    assert shop.run(again=True) == 1
    assert "an import of f.csv was started …" in shop.said
    shop.write(1, 2, 3, 4)
    assert (shop.run(block_hits=3), shop.sold()) == (0, 10)
    assert shop.killed(3, undo=True)
    assert shop.run() == 1
    assert shop.said == "f.csv: an undo is unfinished: run it again with --undo"
    assert (shop.run(undo=True), shop.sold()) == (0, 0)
    assert (shop.run(), shop.sold()) == (0, 10)
    assert shop.closes()


BEGUN_BY_A_VERSION_BEFORE = [
    pytest.param({"header": "t,amount\n"}, "no column 'sold'", id="column"),
    pytest.param({"header": 't,"sold"x\n'}, "expected CSV, with a header in line 1", id="header"),
]


@pytest.mark.parametrize(("change", "said"), BEGUN_BY_A_VERSION_BEFORE)
@pytest.mark.parametrize("pk", ['"shop"', '{ column = "t" }'])
@pytest.mark.parametrize("words", [{}, {"again": True}, {"undo": True}])
@pytest.mark.parametrize("is_reset", [False, True])
def test_a_mapping_that_cannot_read_a_file_begins_nothing_and_sets_its_name_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, said: str, pk: str, words: Any, is_reset: bool
) -> None:
    shop = Shop(tmp_path, mapping=MAPPING.replace('"shop"', pk, 1))
    shop.write(1, 2, 3, **change)
    with pytest.raises(SetupError, match=said):
        shop.run()
    assert shop.store.imports(ACCOUNT) == {}
    with monkeypatch.context() as before:
        before.setattr(Importing, "_check_columns", lambda *_: None)
        with pytest.raises(SetupError, match=said):
            shop.run()
    assert record_of(shop.store.imports(ACCOUNT)["f.csv"].text).begun
    if is_reset:
        shop.reset("2016-01-01")
        shop.reset()
    with pytest.raises(
        SetupError, match=f"{said}.*; the import that was begun so has counted nothing and is forgotten"
    ):
        shop.run(**words)
    assert record_of(shop.store.imports(ACCOUNT)["f.csv"].text).begun is None
    shop.write(1, 2, 3)
    assert (shop.run(), shop.sold("shop" if "shop" in pk else "2016-01-03")) == (0, 6 if "shop" in pk else 3)
    assert shop.closes()


def test_what_was_counted_is_not_forgotten_where_the_settings_hinder_it(shop: Shop) -> None:
    assert shop.killed(4)
    begun = shop.store.imports(ACCOUNT)
    shop.settings = shop.settings.replace(import_line_bytes=3)
    with pytest.raises(SetupError, match="expected at most 3 bytes"):
        shop.run()
    assert shop.store.imports(ACCOUNT) == begun


@pytest.mark.parametrize("at", range(1, 9))
def test_an_import_that_was_killed_can_be_undone(shop: Shop, at: int) -> None:
    shop.killed(at)
    begun = record_of(shop.store.imports(ACCOUNT)["f.csv"].text).begun if at > 1 else None
    code = shop.run(undo=True)
    assert (code, shop.sold()) == (0 if at > 1 else 1, 0)
    assert begun is None or not begun.undo
    assert (shop.run(), shop.sold()) == (0, 6)
    assert shop.closes()


@pytest.mark.parametrize("at", range(1, 9))
def test_a_reset_while_it_lies_half_done_counts_all_of_it_again(shop: Shop, at: int) -> None:
    shop.killed(at)
    shop.reset()
    assert (shop.run(), shop.sold()) == (0, 6)
    assert shop.closes()


def test_two_at_once_count_each_row_once(shop: Shop) -> None:
    class Slow(Shop):
        def event(self) -> None:
            self.events += 1
            if self.events == 4:
                shop.said = ""
                assert shop.run() == 0

    slow = Slow(shop.file.parent)
    slow._keep, slow.store = shop._keep, shop.store
    shop.store.keep_import = slow._keeps
    assert (slow.run(), slow.sold()) == (0, 6)
    assert record_of(shop.store.imports(ACCOUNT)["f.csv"].text).begun is None
    assert shop.closes()


def test_a_file_that_grows_while_it_is_read_counts_as_it_was(shop: Shop) -> None:
    grow = shop.event

    def event() -> None:
        if shop.events == 1:
            shop.write(1, 2, 3, 4)
        grow()

    shop.event = event
    assert (shop.run(), shop.sold()) == (0, 6)
    assert (shop.run(), shop.sold()) == (0, 10)


def test_a_file_that_changes_while_it_is_read_is_not_finished(shop: Shop) -> None:
    change = shop.event

    def event() -> None:
        if shop.events == 1:
            shop.write(1, 2, 4)
        change()

    shop.event = event
    with pytest.raises(SetupError, match="changed while it was read: restore it"):
        shop.run()
    shop.event = change
    assert shop.run() == 1
    shop.write(1, 2, 3)
    assert shop.run() == 0


def test_many_parts_become_few(shop: Shop) -> None:
    for count in range(1, 9):
        shop.write(*range(count))
        shop.run()
    (counted,) = record_of(shop.store.imports(ACCOUNT)["f.csv"].text).counted
    assert (counted.rows, len(counted.parts)) == (8, 1)


def test_a_name_of_a_file_that_is_no_unicode_is_a_name(shop: Shop, tmp_path: Path) -> None:
    shop.file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b.csv"))
    shop.write(1, 2)
    assert (shop.run(), shop.run(), shop.sold()) == (0, 0, 3)
    assert list(shop.store.imports(ACCOUNT)) == ["\ufffd\x1b.csv"]
    assert "\x1b" not in shop.said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--again", "--undo"], "--again and --undo exclude each other"),
        (["--dry-run", "--undo"], "--dry-run only checks rows"),
        (["--name", ""], "--name: expected"),
        (["--name", "x" * 201], "--name: expected at most 200 bytes"),
    ],
)
def test_words_that_cannot_be_meant_are_set_up(shop: Shop, words: list[str], said: str) -> None:
    done = CliRunner().invoke(cli.main, ["import", str(shop.file), "--mapping", str(shop.mapping), *words])
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_a_file_is_the_same_however_it_is_packed(shop: Shop, tmp_path: Path) -> None:
    shop.run()
    shop.write(1, 2, 3, 4)
    plain = shop.file.read_bytes()
    shop.file = tmp_path / "f.csv.gz"
    shop.file.write_bytes(gzip.compress(plain[:20]) + gzip.compress(plain[20:]))
    assert (shop.run(), shop.sold()) == (0, 10)
    shop.file = tmp_path / "f.zip"
    with zipfile.ZipFile(shop.file, "w") as archive:
        archive.writestr("folder/f.csv", plain)
    assert (shop.run(), shop.sold()) == (0, 10)
    assert (shop.run(undo=True), shop.sold()) == (0, 0)


def test_imports_are_bounded(tmp_path: Path) -> None:
    shop = Shop(tmp_path, SETTINGS.replace(max_imports=1))
    shop.run()
    with pytest.raises(SetupError, match="the limit is 1 imports: raise HAILWHALE_MAX_IMPORTS"):
        shop.run(name="two")
    assert shop.sold() == 6


steps = st.tuples(
    st.sampled_from(["append", "import", "import", "again", "undo", "reset"]),
    st.lists(st.integers(1, 14), max_size=2),
)


@law(30)
@given(st.lists(steps, max_size=9))
def test_whatever_is_done_and_killed_the_sum_is_what_counts(
    tmp_path_factory: pytest.TempPathFactory, todo: list[tuple[str, list[int]]]
) -> None:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    rows, counted = 3, list[list[Any]]()  # of each entry: rows, and whether they are there
    for what, kills in todo:
        if what == "append":
            rows += 2
            shop.write(*range(1, rows + 1))
        elif what == "reset":
            shop.reset()
            time.sleep(0.003)
            counted = [[count, False] for count, _ in counted]
        else:
            before = record_in(shop)
            for at in (*kills, 0):  # what was done to its end must not be asked for twice
                is_asked = record_in(shop).steps == before.steps or record_in(shop).begun is not None
                if what == "import" or is_asked:
                    is_begun = record_in(shop).steps > before.steps
                    shop.killed(at, again=what == "again" and not is_begun, undo=what == "undo")
            if what == "undo":
                counted = counted[:-1]
            elif what == "again" or not counted:
                counted.append([rows, True])
            else:
                counted[-1] = [rows, True]
        assert shop.sold() == sum(count * (count + 1) // 2 for count, there in counted if there)
        assert shop.closes()


def record_in(shop: Shop) -> Record:
    kept = shop.store.imports(ACCOUNT).get("f.csv")
    return record_of(kept.text) if kept else Record()
