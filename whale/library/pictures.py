"""Shares, pictures, and graphs in pages, from the library; a part of Whale, see client.py."""

import json
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode

from hail.access import is_locked
from hail.message import ACCOUNT
from whale.answer.asking import Period, period_text
from whale.answer.explain import iso
from whale.answer.pictured import look_of, pictured
from whale.answer.series import formulas_of
from whale.answer.shapes import times
from whale.dimension import path_text, pk_text
from whale.errors import CallerError, PeriodError
from whale.formatting import FORMATS, table
from whale.library.arguments import on_default, one
from whale.library.questions import Questions
from whale.period import Span
from whale.share import DEFAULT_DAYS, Share, expiry, frame_of, token_of

OPTIONS = (
    "period", "tz", "depth", "limit", "area", "title", "height", "theme", "interval", "autoupdate", "live", "compare", "colors",
    "width_factor", "threshold", "table", "parent_div", "stacked", "shares", "other", "nights",
)  # fmt: skip
"""Of a graph in a page, beside its names."""
_json = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


class Pictures(Questions):
    """Questions, and their answers in pages of other sites."""

    @on_default
    def share(
        self,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        period: Period = None,
        days: float = DEFAULT_DAYS,
        frame: Any = None,
        drill: Any = False,
        *,
        host: str = "",
        dimension: Any = None,
        metric: Any = None,
    ) -> dict[str, str]:
        """{"url", "expires"}: a link that answers these metrics of these paths over this period, and nothing else, until `days` are over.

        frame: origins of the sites whose pages may show its page in a frame.  drill: True answers the paths below too.
        host: of Whale, as https://counts.example; without it the link is a path.  Reads the answer once, so that each link has one.
        Raises CallerError, SettingsError without the setting SECRET.
        """
        if not isinstance(drill, bool):  # "no" is true to Python
            raise CallerError(f"expected true or false, got {ascii(drill)[:60]}", "drill")
        if isinstance(period, Span):
            raise PeriodError("expected a period as text, such as thirty or 2026-01-01..2026-02-01, got a Span")
        asking = self.asking.now()
        question = asking.question(pk, one(dimensions, dimension), one(metrics, metric), undefined="null")
        inquiry = asking.inquiry(question, asking.range_named(period))
        ends, sites = expiry(asking.clock(), days), frame_of(frame)
        names = tuple(question.paths), tuple(question.metrics)
        share = Share(question.pk, *names, period_text(period), ends, sites, drill)
        token = token_of(share, self.settings, self.account)
        inquiry.plotpoints()
        return {"url": f"{host.rstrip('/')}/s/{token}", "expires": iso(ends)}

    @on_default
    def plot_svg(
        self,
        pk: Any,
        dimensions: Any = None,
        metrics: Any = None,
        period: Period = None,
        depth: int = 0,
        limit: int = 5,
        *,
        size: str = "small",
        width: int | None = None,
        height: int | None = None,
        theme: str = "light",
        area: bool = False,
        title: str = "",
        tz: str | None = None,
        tzoffset: Any = None,
        dimension: Any = None,
        metric: Any = None,
    ) -> str:
        """A series as SVG text: `small`, a line of 240 x 48, or `full`, with axes and names, 720 x 300.

        theme: light or dark.  The same picture as GET /plot.svg.
        """
        look = look_of(limit, size, width, height, theme, area, title)
        asking = self.asking.now()
        names = one(dimensions, dimension), one(metrics, metric)
        question = asking.question(pk, *names, depth=depth, limit=limit, undefined="null")
        inquiry = asking.inquiry(question, asking.range_named(period, tz, tzoffset))
        return pictured(inquiry, inquiry.plotpoints(), look)

    @on_default
    def graph_tag(
        self,
        pk: Any,
        dimension: Any = None,
        metric: Any = None,
        extra: Any = None,
        host: str = "",
        *,
        days: float = DEFAULT_DAYS,
        dimensions: Any = None,
        metrics: Any = None,
    ) -> str:
        """The script tag that shows a graph where it stands in a page.

        extra: options of the graph, as {"period": "seven", "area": False}; by default the area is filled, and one level below is shown.
        host: of Whale, as https://counts.example.  Where keys are set the tag has a share, which ends after `days`, never a key.
        Raises CallerError, SettingsError.
        """
        if not isinstance(extra, dict | None):
            raise CallerError(f"expected an object of options, got {ascii(extra)[:60]}", "extra")
        given: dict[str, Any] = {"area": True, "depth": 1} | (extra or {})
        if unknown := [name for name in given if name not in OPTIONS]:
            expected = ", ".join(OPTIONS)
            raise CallerError(f"expected options of a graph ({expected}), got {ascii(unknown[0])[:60]}", "extra")
        base = host.rstrip("/") or f"http://{self.settings.whale_bind}"
        paths, names = one(dimensions, dimension), one(metrics, metric)
        if is_locked(self.settings) or self.account != ACCOUNT:  # without a key a page is answered about `default`
            if "compare" in given:
                raise CallerError("expected no compare: a share answers no period but its own", "extra")
            drills, period, zone = str(given["depth"]) != "0", given.pop("period", None), given.pop("tz", "")
            period = f"{period_text(period)}|{zone}" if zone else period
            link = self.share(pk, paths, names, period, days, drill=drills)["url"]
            asked = {"share": link.removeprefix("/s/")}
        else:
            question = self.asking.question(pk, paths, names)
            named = {"pk": question.pk, "dimensions": question.paths, "metrics": question.metrics}
            asked = {name: _json(value) for name, value in named.items()}
        options = {name: _json(value) if isinstance(value, bool) else value for name, value in given.items()}
        return f'<script src="{escape(f"{base}/graph.js?{urlencode(asked | options)}")}" async></script>'

    @on_default
    def render_hw_plotpoint_table(
        self,
        pk: Any,
        metric: Any = None,
        dimension: Any = None,
        period: Period = None,
        tzoffset: Any = None,
        format: str | None = None,
        hidden: bool = False,
        graph_color: str | None = None,
        *,
        tz: str | None = None,
    ) -> str:
        """A series as an HTML table, which graph_tables of the jQuery plugin draws.

        format: int, float, grouped, pct, cash or cents; by default pct of a ratio, else grouped.  graph_color: of its line.
        """
        asking = self.asking.now()
        question = asking.single(pk, dimension, "hits" if metric is None else metric, "metric", undefined="null")
        (formula,) = formulas_of(self.store, question, question.metrics)
        way = format or ("pct" if formula.quotient() else "grouped")
        if way not in FORMATS:
            raise CallerError(f"expected {', '.join(FORMATS)}, got {ascii(way)[:60]}", "format")
        inquiry = asking.inquiry(question, asking.range_named(period, tz, tzoffset))
        (plot,), (range_,) = self._rows(inquiry.plotpoints()), inquiry.ranges.values()
        (series,) = plot.series
        points = list(zip(times(range_, plot.starts), series.values[formula.text], strict=True))
        (path,) = question.paths
        named = {
            "pk": pk_text(question.pk),
            "name": path_text(path) if path else pk_text(question.pk),
            "dimension": path_text(path),
            "metric": formula.text,
            "color": graph_color or "",
        }
        return table(named, points, FORMATS[way], hidden)
