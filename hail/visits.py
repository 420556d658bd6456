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
from hail.cookies import Jar, Told, says_where, scheme_of, told
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

    def told_at_bucket(self, account: str, name: str, bucket: str, environ: Environ, named: str | None) -> Told:
        """The same at an address of HiiTrack, /NAME/BUCKET/…, which has a cookie of its own. named: who they say they are."""
        site, settings = self._site_of(account, bucket), self._settings
        jar = Jar(f"/{name}/{bucket}", site is not None and site.cross_site_cookie, settings.max_name_bytes)
        by_page = environ["REQUEST_METHOD"] == "GET" or says_where(environ)
        scheme = scheme_of(environ, settings.trusted_proxies)
        return told(environ, named, jar, scheme, self._draw, by_page and site is not None)
