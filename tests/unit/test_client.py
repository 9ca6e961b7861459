"""The parts of the client that need no service."""

import asyncio
from contextlib import suppress
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pixdepot
from bootstrap.processes import free_port
from pixdepot import errors
from pixdepot.formats import sniffed
from pixdepot.retries import Attempts, retry_after
from service import media
from tests.pictures import picture

KINDS = ["JPEG", "PNG", "GIF", "WEBP", "AVIF"]


@given(
    st.binary(max_size=64)
    | st.builds(
        lambda size, brands, rest: size.to_bytes(4, "big") + b"ftyp" + b"".join(brands) + rest,
        st.integers(0, 80),
        st.lists(st.sampled_from([b"avif", b"avis", b"mif1", b"heic", b"\0\0\0\0"]), max_size=10),
        st.binary(max_size=8),
    )
)
def test_the_client_takes_bytes_for_what_the_service_takes_them_for(head: bytes) -> None:
    assert sniffed(head[:64]) == media.sniff(head[:64])


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_known_by_its_first_bytes(kind: str) -> None:
    assert sniffed(picture(kind)[:64]) == f"image/{kind.lower()}"


async def waits(error: pixdepot.PixdepotError, retries: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long one waits between attempts that all fail so."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    attempts = Attempts(retries)
    with suppress(type(error)):
        while True:
            await attempts.again(error)
    return waited


async def test_waits_are_random_below_a_bound_that_doubles_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [await waits(pixdepot.TimedOut("late"), 8, monkeypatch) for _ in range(200)]
    bounds = [0.25, 0.5, 1, 2, 4, 8, 8, 8]
    for each, bound in zip(zip(*many, strict=True), bounds, strict=True):
        assert 0 <= min(each) < bound / 10
        assert bound * 0.9 < max(each) <= bound


@pytest.mark.parametrize(("asked", "repeated"), [(2.0, True), (60.0, True), (61.0, False)])
async def test_what_the_service_asks_for_is_waited_where_that_is_bearable(
    asked: float, repeated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = pixdepot.TooManyRequests(429, "too_many_requests", retry_after=asked)
    waited = await waits(error, 3, monkeypatch)
    assert len(waited) == (3 if repeated else 0)
    assert all(asked <= each <= asked + 1 for each in waited)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("0", 0.0), (None, None), ("", None), ("-1", None), ("1.5", None), ("٣", None)],
)
def test_retry_after_is_read_in_seconds(text: str | None, seconds: float | None) -> None:
    assert retry_after(text) == seconds


def test_every_error_is_drawn_in_the_tree_at_its_place() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in drawn:
        depth = (len(line) - len(line.lstrip()) - 4) // 2
        path[depth:] = [line.split()[0]]
        parents[path[-1]] = path[depth - 1] if depth else "Exception"
    defined = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    }
    assert parents == {name: kind.__bases__[0].__name__ for name, kind in defined.items()}
    assert all(getattr(pixdepot, name) is kind for name, kind in defined.items())


def test_everything_that_is_promised_is_there() -> None:
    assert all(getattr(pixdepot, name) for name in pixdepot.__all__)
    with pytest.raises(AttributeError):
        pixdepot.nothing  # noqa: B018


def test_results_cannot_be_changed() -> None:
    link = pixdepot.Link("https://example.com/", expires_at=None)  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        link.url = "other"  # type: ignore[misc]


def test_a_client_finds_its_service_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pixdepot.Client().base_url == "http://127.0.0.1:8080"
    monkeypatch.setenv("PIXDEPOT_URL", "https://images.example/dev/")
    monkeypatch.setenv("PIXDEPOT_TOKEN", "secret")
    assert repr(pixdepot.Client()) == "Client('https://images.example/dev')"
    assert pixdepot.Client("http://localhost:1").base_url == "http://localhost:1"


@pytest.mark.parametrize("url", ["images.example", "ftp://images.example", "http://", "/images"])
def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        pixdepot.Client(url)


async def test_a_client_works_only_while_it_is_open() -> None:
    client = pixdepot.Client("http://127.0.0.1:9")
    with pytest.raises(RuntimeError, match="async with"):
        await client.get("anything")


async def test_what_is_said_of_a_picture_is_said_in_one_place() -> None:
    async with pixdepot.Client() as client:
        with pytest.raises(TypeError, match="pass no others with it"):
            await client.upload(pixdepot.NewImage("a.jpg"), title="Other")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="colour"):
            await client.upload("a.jpg", colour="red")  # type: ignore[call-overload]


async def test_a_service_that_is_not_there_cannot_be_reached() -> None:
    async with pixdepot.Client(f"http://127.0.0.1:{free_port()}", max_retries=1) as client:
        with pytest.raises(pixdepot.ConnectionFailed, match=r"127\.0\.0\.1 cannot be reached") as caught:
            await client.get("anything")
    assert not caught.value.sent
