"""yt-dlp with a guard at its door to the network: public addresses alone, http(s) alone."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from reelscope.crawl.addresses import public_addresses, require_public_literal, split_url
from reelscope.errors import CrawlFailed
from reelscope.settings import Crawl

if TYPE_CHECKING:
    from yt_dlp import YoutubeDL


def guarded(options: dict[str, Any], crawl: Crawl) -> YoutubeDL:
    """A `YoutubeDL` that asks public addresses alone and loads no plugins.

    Its own HTTP handler asks before each redirect. The one for the package requests is left
    out; the one for curl_cffi, if that is installed, stays, because TikTok knows a browser by
    its handshake: it follows redirects itself, and what it ends at is looked at then.
    """
    import yt_dlp
    from yt_dlp.globals import plugin_dirs
    from yt_dlp.networking._urllib import UrllibRH
    from yt_dlp.networking.exceptions import RequestError

    plugin_dirs.value = []

    def check(url: str) -> None:
        try:
            require_allowed(url, crawl)
        except CrawlFailed as fault:
            raise RequestError(str(fault), cause=fault) from fault

    class Guard(urllib.request.BaseHandler):
        handler_order = 100  # before the handler that follows

        def http_error_302(self, request: Any, *answer: Any) -> None:  # fp, code, msg, headers
            there = answer[3].get("Location") or answer[3].get("URI")
            if there:
                check(urljoin(request.full_url, there))

        http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    handler = type("UrllibRH", (UrllibRH,), {"_create_instance": _with(UrllibRH, Guard)})

    class Loader(yt_dlp.YoutubeDL):  # type: ignore[misc]
        def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:
            kept = [each for each in handlers if each.RH_KEY != "Requests"]
            ours = [handler if each is UrllibRH else each for each in kept]
            return super().build_request_director(ours, preferences)

        def urlopen(self, req: Any) -> Any:
            check(req if isinstance(req, str) else _address(req))
            response = super().urlopen(req)
            if isinstance(response.url, str):
                check(response.url)
            return response

    return Loader(options)


def require_allowed(url: str, crawl: Crawl) -> None:
    """Raises CrawlFailed unless the address is one that may be asked."""
    parts = split_url(url)
    host = parts.hostname or ""
    if crawl.proxy:
        require_public_literal(host, loopback=crawl.loopback)
    else:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        public_addresses(host, port, loopback=crawl.loopback)


def _address(request: Any) -> str:
    """Of yt-dlp's own kind of request, or of urllib's."""
    return str(getattr(request, "full_url", None) or request.url)


def _with(base: type, guard: type[urllib.request.BaseHandler]) -> Any:
    def _create_instance(self: Any, *args: Any, **named: Any) -> Any:
        opener = base._create_instance(self, *args, **named)  # type: ignore[attr-defined]
        opener.add_handler(guard())
        return opener

    return _create_instance
