"""Routes of shares: a link to one question is made, and everything below that link answers this question alone.

    POST /shares ── signs ──> /s/TOKEN ── opens ──> the page; /plotpoints and /plot.svg below it

The token says what is answered; nothing is looked up. No answer names what lies outside of it, such as a metric with a similar name.
"""

import json
from collections.abc import Callable
from typing import Any

import bottle
import msgspec

from hail import access
from hail.problem import HOST
from hail.settings import SettingsError
from whale.answer.pictured import LOOKS
from whale.dimension import read_paths
from whale.errors import CallerError, FormulaError, Gone, NotFound
from whale.formula import metrics_asked, parse_formula
from whale.routes.asked import (
    Part,
    PlotAsked,
    PlotpointsAsked,
    SharedMetric,
    SharedMetricsAsked,
    SharedPlotAsked,
    SharedPlotpointsAsked,
    ShareGiven,
    SharePageAsked,
)
from whale.routes.door import Door, OfCaller
from whale.routes.parameters import object_of, typed
from whale.routes.responses import json_answer, unavailable
from whale.routes.share_page import STYLE_HASH, ended, missing, render
from whale.share import UNKNOWN, Share, share_of

GIVEN = ShareGiven.__struct_fields__
OF_METRICS = SharedMetric.__struct_fields__
MOST_PATHS = 100
"""Below those of a share, in one answer: everybody may ask for it, as often as they like."""
BELOW = {
    "/s/": {
        access.ALLOW_ORIGIN: "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Referrer-Policy": "no-referrer",
    }
}
"""Headers of all that lies below a link, refusals too: a page must not tell others the link by which it came."""


class ShareRoutes(OfCaller):
    """For many threads. plotpoints, picture: what answers /plotpoints and /plot.svg."""

    def __init__(
        self,
        door: Door,
        plotpoints: Callable[[PlotpointsAsked], Any],
        picture: Callable[[PlotAsked], Any],
    ):
        super().__init__(door)
        self._plotpoints, self._picture = plotpoints, picture

    def add_to(self, app: bottle.Bottle) -> None:
        door = self._door
        door.add(app, "/shares", ["POST"], self.shares)
        door.add(app, "/s/<token>", ["GET"], self.share_page, SharePageAsked)
        door.add(app, "/s/<token>/plotpoints", ["GET"], self.shared_plotpoints, SharedPlotpointsAsked)
        door.add(app, "/s/<token>/plot.svg", ["GET"], self.shared_plot, SharedPlotAsked)
        door.add(app, "/s/<token>/metrics_of", ["GET"], self.shared_metrics, SharedMetricsAsked)
        for rule in (
            "/shares",
            "/s/<token>",
            *(f"/s/<token>/{name}" for name in ("plotpoints", "plot.svg", "metrics_of")),
        ):
            door.add_options(app, rule)

    def shares(self) -> Any:
        given = object_of(self._door.body(), "a share")
        for field in given.keys() - set(GIVEN):
            expected = ", ".join(GIVEN)
            raise CallerError(f"is not a field here: expected one of {expected}", ascii(field[:60])[1:-1])
        for plural, name in (("dimensions", "dimension"), ("metrics", "metric")):
            if plural in given and name in given:
                raise CallerError(f"came twice, as {plural} and as {name}", plural)
        environ = bottle.request.environ
        host = environ.get("HTTP_HOST", "")
        base = f"{self._door.proxied or environ['wsgi.url_scheme']}://{host if HOST.fullmatch(host) else self._door.settings.whale_bind}"
        try:
            made = self._whale.share(given.pop("pk", None), **given, host=base)
        except SettingsError as error:
            return unavailable(error).response()
        return json_answer(made, 201, {"Cache-Control": "no-store"})

    def share_page(self, asked: SharePageAsked, token: str) -> Any:
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex",
        }
        sites: tuple[str, ...] = ()
        try:
            share = self._share_of(token)
            sites = share.frame
            share.check(self._whale.clock())
            status, html = 200, render(share, f"/s/{token}", asked.theme)
        except NotFound:
            status, html = 404, missing()
        except Gone:
            status, html = 410, ended(share.expires)
        return bottle.HTTPResponse(html, status, {**headers, "Content-Security-Policy": _policy(sites)})

    def shared_plotpoints(self, asked: SharedPlotpointsAsked, token: str) -> Any:
        share = self._open(token)
        if not 1 <= asked.limit <= MOST_PATHS:
            raise CallerError(f"expected 1 to {MOST_PATHS}, got {asked.limit}", "limit")
        named = _part_of(share, asked)
        return self._answered(self._plotpoints, PlotpointsAsked(**named, limit=asked.limit, undefined="null"))

    def shared_plot(self, asked: SharedPlotAsked, token: str) -> Any:
        share = self._open(token)
        looks = {name: getattr(asked, name) for name in LOOKS}
        return self._answered(self._picture, PlotAsked(**_part_of(share, asked), **looks))

    def shared_metrics(self, asked: SharedMetricsAsked, token: str) -> Any:
        """Units of its metrics; nothing is said of the days on which they were counted."""
        share = self._open(token)
        names = {name for text in share.metrics for name in _names_in(text)}
        found = [each for each in self._whale.metrics_of(share.pk, True) if each.name in names]
        shown = [{name: getattr(each, name) for name in OF_METRICS} for each in found]
        return json_answer(shown)

    def _open(self, token: str) -> Share:
        """Raises NotFound, Gone."""
        share = self._share_of(token)
        share.check(self._whale.clock())
        return share

    def _share_of(self, token: str) -> Share:
        """From here on the request is about the account of the share. Raises NotFound, also where this account is gone."""
        account, share = share_of(token, self._door.settings, self._door.account)
        if not self._door.is_about(account):
            raise NotFound(UNKNOWN)
        return share

    def _answered(self, answer: Callable[[Any], Any], question: msgspec.Struct) -> Any:
        found = answer(question)
        found.headers.pop("X-Whale-Unknown", None)  # it names what is counted beside
        return found


def _names_in(formula: str) -> tuple[str, ...]:
    """Its metrics, or itself where a metric is named so."""
    try:
        return (formula, *parse_formula(formula).metrics)
    except FormulaError:
        return (formula,)


def _part_of(share: Share, asked: Part) -> dict[str, Any]:
    """The names of a question about a part of a share, as texts; raises CallerError for anything that is not of it."""
    paths, metrics = list(share.paths), list(share.metrics)
    if (given := typed("dimensions", asked.dimensions or asked.dimension)) is not None:
        paths = read_paths(given, "dimensions").paths
    if (given := typed("metrics", asked.metrics or asked.metric)) is not None:
        metrics = metrics_asked(given)
    if not all(map(share.covers, paths)):
        raise CallerError("expected paths of this share", "dimensions")
    if not set(metrics) <= set(share.metrics):
        raise CallerError("expected metrics of this share", "metrics")
    if asked.depth and not share.drill:
        raise CallerError("expected 0, because this share does not answer the paths below its own", "depth")
    named = {"pk": list(share.pk), "dimensions": [list(path) for path in paths], "metrics": metrics}
    texts = {name: json.dumps(value) for name, value in named.items()}
    return {**texts, "period": share.period, "depth": asked.depth}


def _policy(sites: tuple[str, ...]) -> str:
    """Of a share's page. sites: that may show it in a frame."""
    frames = " ".join(sites) or "'none'"
    return (
        f"default-src 'none'; script-src 'self'; style-src 'sha256-{STYLE_HASH}'; img-src 'self' data:; connect-src 'self'; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {frames}; require-trusted-types-for 'script'"
    )
