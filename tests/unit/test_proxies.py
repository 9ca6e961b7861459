"""Which proxy the environment means for a URL."""

import pytest
from yarl import URL

from pixdepot import PixdepotError
from pixdepot.proxies import proxy_for

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("variable", "url", "used"),
    [
        ("HTTPS_PROXY", "https://pics.example/images", True),
        ("https_proxy", "https://pics.example/images", True),
        ("HTTPS_PROXY", "http://pics.example/images", False),
        ("HTTP_PROXY", "http://pics.example:8080", True),
        ("HTTP_PROXY", "https://pics.example", False),
        ("ALL_PROXY", "https://pics.example", True),
        ("ALL_PROXY", "http://127.0.0.1:8080", False),
        ("ALL_PROXY", "http://127.8.8.8:8080", False),
        ("ALL_PROXY", "http://[::1]:8080", False),
        ("ALL_PROXY", "http://localhost:8080", False),
        ("ALL_PROXY", "http://depot.localhost:8080", False),
        ("ALL_PROXY", "http://notlocalhost:8080", True),
    ],
)
def test_a_proxy_is_for_its_scheme_and_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str, used: bool
) -> None:
    monkeypatch.setenv(variable, PROXY)
    assert proxy_for(URL(url)) == (URL(PROXY) if used else None)


@pytest.mark.parametrize(
    ("excepted", "url", "used"),
    [
        ("pics.example", "https://pics.example", False),
        ("example", "https://pics.example", False),
        (".example", "https://pics.example", False),
        ("pics.example:8443", "https://pics.example:8443", False),
        ("pics.example:8443", "https://pics.example", True),
        ("other.example, pics.example", "https://pics.example", False),
        ("ics.example", "https://pics.example", True),
        ("10.1.2.3", "https://10.1.2.3", False),
        ("10.0.0.0/8", "https://10.1.2.3", False),
        ("10.0.0.0/16", "https://10.1.2.3", True),
        ("fd00::/8", "https://[fd00::1]", False),
        ("*", "https://pics.example", False),
    ],
)
def test_no_proxy_takes_names_domains_addresses_and_blocks(
    monkeypatch: pytest.MonkeyPatch, excepted: str, url: str, used: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", excepted)
    assert proxy_for(URL(url)) == (URL(PROXY) if used else None)


@pytest.mark.parametrize("named", ["proxy.example:3128", PROXY, f"{PROXY}/"])
def test_a_proxy_may_be_named_without_its_scheme(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)
    proxy = proxy_for(URL("https://pics.example"))
    assert proxy
    assert (proxy.scheme, proxy.host, proxy.port) == ("http", "proxy.example", 3128)


@pytest.mark.parametrize(
    "named", ["socks5://proxy.example:1080", "http://", "http://[::1", "http://proxy.example:x"]
)
def test_what_is_no_proxy_for_http_is_refused(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)
    with pytest.raises(PixdepotError, match="HTTPS_PROXY"):
        proxy_for(URL("https://pics.example"))
