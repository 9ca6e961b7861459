"""The benchmarks of reads run, and their rivals answer what the service does; how fast is not for a test to judge.

Links are compared by where they lead and what they ask for: each side signs its own.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from benchmarks import lists_floor, lists_rivals, metadata, mixed, presigning
from benchmarks.figures import Figure
from benchmarks.servers import Server, running
from benchmarks.stub import PAGE, images, running_stub

# What differs from one signing to the next, or is called otherwise where the store is another.
SIGNED = ("X-Amz-", "signature", "expires")


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Server]]:
    """Return ours and the rivals of lists, over the same stub."""
    place = tmp_path_factory.mktemp("rivals")
    async with running_stub(place) as environment, running(place, lists_rivals.SERVERS, environment) as opened:
        yield opened


@pytest.mark.parametrize("rival", [name for name in lists_rivals.SERVERS if name != "ours"])
@pytest.mark.parametrize(("user", "links"), lists_rivals.LINKS.items())
async def test_a_rival_lists_the_same_images_with_links_to_the_same_objects(
    servers: dict[str, Server], rival: str, user: str, links: int
) -> None:
    ours, theirs = [json.loads(await servers[name].get(f"/images?user_id={user}")) for name in ("ours", rival)]
    assert [each["image_id"] for each in ours["images"]] == [each.image_id for each in images(user)]
    assert ours["count"] == theirs["count"] == PAGE
    assert len([url for each in ours["images"] for url in lists_floor.links_of(each)]) == links
    for one, other in zip(ours["images"], theirs["images"], strict=True):
        # Visibility and the links' end are ours alone.
        assert plain(other) == {name: value for name, value in plain(one).items() if name in other}
        assert {"title", "tags", "file_size", "created_at", "sha256", "url", "variants"} <= other.keys()


async def test_a_view_and_an_upload_of_the_rival_tell_the_same(servers: dict[str, Server]) -> None:
    ours, theirs = servers["ours"], servers["FastAPI and boto3"]
    one, other = [json.loads(await mixed.ask(each, "view")) for each in (ours, theirs)]
    assert plain(other["metadata"]) == {name: one["metadata"][name] for name in other["metadata"]}
    assert plain(other["variants"]) == plain(one["variants"])
    document = mixed.upload()
    made = [json.loads(await each.post("/images", document))["metadata"] for each in (ours, theirs)]
    facts = ("title", "filename", "content_type", "file_size", "sha256", "width", "height")
    assert {name: made[0][name] for name in facts} == {name: made[1][name] for name in facts}


async def test_fastapi_s_view_without_a_backend_is_ours(tmp_path: Path) -> None:
    commands = {"ours": metadata.OURS, "fastapi": metadata.FASTAPI}
    async with running(tmp_path, commands, {}) as started:
        one, other = [json.loads(await metadata.view(each)) for each in started.values()]
    assert one.keys() == other.keys()
    assert one["metadata"].keys() == other["metadata"].keys()
    for name in one["metadata"].keys() - {"created_at", "updated_at"}:
        assert one["metadata"][name] == other["metadata"][name]
    assert plain(one["variants"]) == plain(other["variants"])


async def test_aiobotocore_presigns_the_same_requests() -> None:
    wanted = presigning.page()[:5]
    async with presigning.opened() as (store, sdk):
        ours = presigning.links(await presigning.presigned(store), wanted)
        theirs = [await presigning.by_aiobotocore(sdk, each) for each in wanted]
    for one, other in zip(ours, theirs, strict=True):
        assert link(one) == link(other)
        assert names(one) == names(other)


async def test_every_benchmark_of_reads_has_a_figure_for_each_rival() -> None:
    figures: list[Figure] = [
        *await lists_floor.measure(rounds=1, times=8),
        *await lists_rivals.measure(rounds=1, times=8),
        *await metadata.measure(rounds=1, times=8),
        *await mixed.measure(rounds=1, seconds=1.0, clients=8),
        *await presigning.measure(rounds=2),
    ]
    assert len(figures) == len({each.name for each in figures}) == 1 + 4 + 2 + 2 + 2
    assert all(each.ours > 0 < each.rival for each in figures)


def plain(document: Any) -> Any:
    """Return a document with each link as where it leads and what it asks for."""
    if isinstance(document, dict):
        told = {name: plain(value) for name, value in document.items()}
        return {**told, "url": link(document["url"])} if "url" in document else told
    return [plain(each) for each in document] if isinstance(document, list) else document


def link(url: str) -> tuple[str, dict[str, str]]:
    """Return a link's path, and what of its query is not its signature; a disposition without the file's name."""
    parts = urlsplit(url)
    query = {name: value for name, value in parse_qsl(parts.query) if not name.startswith(SIGNED)}
    return parts.path, {name: value.partition(";")[0] for name, value in query.items()}


def names(url: str) -> set[str]:
    """Return what a link's query has."""
    return {name for name, _ in parse_qsl(urlsplit(url).query)}
