"""The proxy that the environment names for a URL.

aiohttp's own `trust_env` also sends what ~/.netrc has for a host: storage refuses a signed link with a second
authorization.
"""

from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from .errors import PixdepotError


def proxy_for(url: URL) -> URL | None:
    """Return the proxy for a URL, None to connect directly, as always to this machine itself.

    Read are HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (domains, addresses, CIDR blocks, "*"), the names
    in lower case first. Raises PixdepotError for a proxy that is neither http:// nor https://.
    """
    proxies = getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    if not named or _is_direct(url, proxies.get("no", "")):
        return None
    with suppress(ValueError):
        proxy = URL(named if "://" in named else f"http://{named}")
        if proxy.scheme in {"http", "https"} and proxy.host:
            return proxy
    raise PixdepotError(
        f"{url.scheme.upper()}_PROXY is invalid: set it to a URL such as http://proxy.example:3128."
    )


def _is_direct(url: URL, excepted: str) -> bool:
    host = url.host or ""
    if f".{host}".endswith(".localhost") or proxy_bypass(host) or proxy_bypass(f"{host}:{url.port}"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or any(_has(each.strip(), host) for each in excepted.split(","))


def _has(block: str, host: str) -> bool:
    """Return whether a CIDR block such as 10.0.0.0/8 has an address."""
    try:
        return ip_address(host) in ip_network(block, strict=False)
    except ValueError:
        return False
