"""The chart of the overview: its axes, and each of its options beside the numbers that the API answers."""

import re

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Site

THIN = "\u202f"
TICKS = """([values, metric]) => import(document.querySelector('script[type=module]').src.replace('main.js', 'format.js'))
  .then(({ ticks }) => ticks(values, metric))"""


@pytest.mark.parametrize(
    ("values", "metric", "shown"),
    [
        ([0, 5000, 10_000], {"unit": "count"}, "0, 5 k, 10 k"),
        ([0, 5e5, 1e6, 1.5e6], {"unit": "count"}, "0.0, 0.5 M, 1.0 M, 1.5 M"),
        ([-500, 0, 500, 1000], {"unit": "count"}, "−500, 0, 500, 1 000"),
        ([998.5, 999, 999.5, 1000], {"unit": "number"}, "998.5, 999.0, 999.5, 1 000.0"),
        ([0, 50, 100, 150], {"unit": "money", "currency": "USD"}, "$0, $50, $100, $150"),
        ([0, 0.5, 1, 1.5], {"unit": "money", "currency": "EUR"}, "€0.00, €0.50, €1.00, €1.50"),
        ([0, 2500, 5000, 7500, 10_000], {"unit": "money"}, "0.0, 2.5 k, 5.0 k, 7.5 k, 10.0 k"),
        ([0, 0.5, 1, 1.5], {"unit": "seconds"}, "0.0 s, 0.5 s, 1.0 s, 1.5 s"),
        ([0, 30, 60, 90], {"unit": "seconds"}, "0 s, 30 s, 1 min, 1 min 30 s"),
        ([0, 7200, 86_400], {"unit": "seconds"}, "0 s, 2 h, 1 d"),
        ([0, 5e5, 1e6, 1.5e6], {"unit": "bytes"}, "0.0 MB, 0.5 MB, 1.0 MB, 1.5 MB"),
        ([0.02, 0.025, 0.03], {"unit": "share"}, "2.0 %, 2.5 %, 3.0 %"),
        ([0, 0.2, 0.4, 0.6000000000000001], {"unit": "times"}, "0.0 ×, 0.2 ×, 0.4 ×, 0.6 ×"),
    ],
)
def test_ticks_of_one_axis_have_the_same_number_of_decimals(
    page: Page, embedded: Site, values: list[float], metric: dict[str, str], shown: str
) -> None:
    page.goto(embedded.whale)
    ticks = page.evaluate(TICKS, [values, metric])
    assert ", ".join(ticks).replace(THIN, " ") == shown
    assert len({len((re.findall(r"\.(\d+)", text) or [""])[0]) for text in ticks}) == 1
