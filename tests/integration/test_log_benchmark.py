"""The benchmarks of the visitor log and of its questions run through all their parts, and find what they put in."""

import json
from pathlib import Path

import pytest

from benchmarks import report, visitors, visitors_log

FEW = "--runs 1 --hits 1000 --sizes 500 --days 40 --visitors 3000 --events 4000 --distinct 6000"


def test_it_measures_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["visitors_log", *FEW.split()])
    visitors_log.main()
    figures = json.loads((tmp_path / "visitors_log.json").read_text())["figures"]
    values = {figure["what"].strip(): figure["values"] for figure in figures}
    assert {
        "500 hits a call, counted and logged",
        "a small site after 40 days",
        "a visitor of 3,000",
        "packed",
        "ids of one visitor with 3 aliases erased",
        "visitors of 30 days, of 6,000 events",
    } <= values.keys()
    assert all(value > 0 for of in values.values() for value in of)


def test_it_measures_all_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["visitors", "--runs", "1", "--events", "4000", "--live-s", "1"])
    visitors.main()
    figures = json.loads((tmp_path / "visitors.json").read_text())["figures"]
    values = {figure["what"].strip(): figure["values"] for figure in figures}
    assert {f"{name}, cold" for name in visitors.QUESTIONS} | {"p99", "memory of Whale"} <= values.keys()
    assert all(value > 0 for of in values.values() for value in of)
