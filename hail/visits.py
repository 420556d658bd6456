"""Whose a hit is that says an event or properties and names no visitor: whom the cookie `v` names, else somebody new.

    the pk is a site of the account ── hail/cookies.py ──> a visitor, and maybe a cookie
            └ no: the hit stays as it came

The cookie is one for all sites of a host, since addresses of hits have the site in their query: a browser sends it back to each image,
script and text. Its value is drawn, and no hit that names its visitor changes it.

Promise: nobody is made up where no visitor is logged: for a pk that is no site, or without a directory.
"""

from collections.abc import Callable

from hail.access import Environ
from hail.callers import SiteOf
from hail.cookies import Jar, Told, scheme_of, told
from hail.settings import Settings

EVERYWHERE = "/"


class Visits:
    """For many threads. draw: random bytes."""

    def __init__(self, settings: Settings, site_of: SiteOf, draw: Callable[[int], bytes]):
        self._settings, self._site_of, self._draw = settings, site_of, draw

    def told(self, account: str, pk: str, environ: Environ) -> Told:
        """Who the visitor of a request is. pk: the first level."""
        site = self._site_of(account, pk)
        if site is None:
            return Told(None)
        settings = self._settings
        jar = Jar(EVERYWHERE, site.cross_site_cookie, settings.max_name_bytes)
        return told(environ, None, jar, scheme_of(environ, settings.trusted_proxies), self._draw)
