"""What goes wrong on the way, on purpose: everything is done once, and told truly."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

import pixdepot
from pixdepot import Client
from tests.client.depot import Depot, depot
from tests.issuer import running_issuer
from tests.pictures import picture, sha256_of
from tests.servers.proxy import Fault

PHOTO = picture(size=(700, 500), noise=True)
QUICK = [fault for fault in Fault if fault.is_quick]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Depot]:
    async with depot(tmp_path / "depot") as made:
        yield made


async def titles(client: Client) -> list[str]:
    return [each.title async for each in client.images()]


# ---------------------------------------------------------------- uploading


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
@pytest.mark.parametrize("step", ["begin", "put", "complete"])
async def test_whatever_step_goes_wrong_twice_one_image_is_made(site: Depot, step: str, fault: Fault) -> None:
    site.spoil(step, fault, fault)
    async with site.client() as client:
        image = await client.upload(PHOTO, title="Once")
        assert image.sha256 == sha256_of(PHOTO)
        assert await titles(client) == ["Once"]
    assert site.spoilt == {step: []}


@pytest.mark.parametrize("step", ["begin", "put", "complete"])
async def test_what_is_never_answered_is_asked_again_in_time(site: Depot, step: str) -> None:
    site.spoil(step, Fault.HANGS, Fault.DONE_THEN_HANGS)
    large = picture("PNG", size=(1500, 1000), noise=True)  # more than buffers on the way hold
    async with site.client(timeout=0.4) as client:
        await client.upload(large, title="Once")
        assert await titles(client) == ["Once"]


async def test_a_link_that_expired_is_signed_anew(site: Depot) -> None:
    site.spoil("put", site.expiring, site.expiring)
    async with site.client() as client:
        await client.upload(PHOTO, title="Once")
        assert await titles(client) == ["Once"]
    assert [len(site.asked[step]) for step in ("begin", "put", "sign", "complete")] == [1, 3, 2, 1]


async def test_an_upload_that_expired_when_its_bytes_were_there_is_completed(site: Depot) -> None:
    site.spoil("complete", site.expiring)
    async with site.client() as client:
        await client.upload(PHOTO, title="Once")
        assert await titles(client) == ["Once"]
    assert [len(site.asked[step]) for step in ("put", "sign", "complete")] == [2, 1, 2]


async def test_an_upload_that_was_published_meanwhile_is_not_sent_again(site: Depot) -> None:
    """As where S3 tells a function of bytes that arrived, and their link expires before the client hears of it."""

    async def publish(request: web.Request) -> None:
        image_id = request.path.rpartition("/")[2]
        async with aiohttp.ClientSession() as other, other.post(f"{site.url}/uploads/{image_id}/complete") as done:
            assert done.status == 200
        await site.expiring(request)

    site.spoil("put", Fault.DONE_THEN_CUT, publish)
    async with site.client() as client:
        await client.upload(PHOTO, title="Once")
        assert await titles(client) == ["Once"]
    assert [len(site.asked[step]) for step in ("put", "sign", "complete")] == [2, 1, 1]


async def test_requests_are_repeated_so_often_and_no_more(site: Depot) -> None:
    site.spoil("begin", *[Fault.NOT_DONE] * 9)
    async with site.client(max_retries=2) as client:
        with pytest.raises(pixdepot.ServerError) as caught:
            await client.upload(PHOTO)
    assert caught.value.status == 500
    assert len(site.asked["begin"]) == 3


async def test_what_is_refused_for_good_is_not_repeated(site: Depot) -> None:
    async with site.client() as client:
        with pytest.raises(pixdepot.InvalidImage) as caught:
            await client.upload(PHOTO[:20_000])
        assert caught.value.code == "invalid_image"
    assert [len(site.asked[step]) for step in ("begin", "put", "complete")] == [1, 1, 1]


async def test_a_file_that_becomes_shorter_or_other_while_it_is_sent_is_told_of(
    site: Depot, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    async with site.client() as client:
        for change in (lambda: os.truncate(path, 1000), lambda: path.write_bytes(bytes(len(PHOTO)))):
            path.write_bytes(PHOTO)
            with pytest.raises(pixdepot.SourceChanged):
                await client.upload(path, on_progress=lambda done, size, change=change: change())
        assert await titles(client) == []


async def test_an_error_in_a_callback_is_raised_as_it_is(site: Depot) -> None:
    async with site.client() as client:
        with pytest.raises(ZeroDivisionError):
            await client.upload(PHOTO, on_progress=lambda done, size: done // 0)
    assert "complete" not in site.asked


async def test_who_leaves_the_loop_gives_up_what_is_under_way(site: Depot) -> None:
    taken: list[int] = []

    def pictures() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield picture(seed=number)

    site.spoil("complete", *[Fault.HANGS] * 3)
    async with site.client() as client:
        async with aclosing(client.upload_many(pictures(), concurrency=4)) as results:
            async for each in results:
                assert each.image
                break
        assert len(await titles(client)) <= len(taken) <= 8


# ---------------------------------------------------------------- changing


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
async def test_a_delete_whose_answer_is_lost_is_done(site: Depot, fault: Fault) -> None:
    async with site.client() as client:
        image_id = (await client.upload(PHOTO)).image_id
        site.spoil("delete", fault)
        await client.delete(image_id)
        assert await titles(client) == []


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
async def test_deletes_whose_answer_is_lost_are_done(site: Depot, fault: Fault) -> None:
    async with site.client() as client:
        image_ids = [(await client.upload(picture(seed=number))).image_id for number in range(3)]
        site.spoil("delete_many", fault)
        assert await client.delete_many(image_ids) == [pixdepot.Deleted(each) for each in image_ids]
        assert await titles(client) == []


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
async def test_a_conditional_change_whose_answer_is_lost_is_made_once(site: Depot, fault: Fault) -> None:
    async with site.client() as client:
        seen = await client.get((await client.upload(PHOTO)).image_id)
        site.spoil("edit", fault)
        changed = await client.update(seen.image_id, title="After", tags=["a"], if_match=seen.etag)
        assert (changed.title, changed.tags) == ("After", ("a",))
        assert await titles(client) == ["After"]


async def test_a_conditional_change_that_somebody_overtook_is_told_of(site: Depot) -> None:
    async with site.client() as client:
        seen = await client.get((await client.upload(PHOTO)).image_id)

        async def overtake(_: web.Request) -> None:
            async with aiohttp.ClientSession() as other:
                body = {"user_id": "ada", "title": "Somebody's"}
                async with other.patch(f"{site.url}/images/{seen.image_id}", json=body) as done:
                    assert done.status == 200

        site.spoil("edit", Fault.CUT, overtake)
        with pytest.raises(pixdepot.PreconditionFailed):
            await client.update(seen.image_id, title="Mine", if_match=seen.etag)
        assert await titles(client) == ["Somebody's"]


# ---------------------------------------------------------------- who learns what


async def test_the_token_goes_to_the_service_and_never_to_storage(tmp_path: Path) -> None:
    async with running_issuer() as issuer, depot(tmp_path / "depot", **issuer.settings) as site:
        token = issuer.token("grace")
        async with site.client(user_id=None, token=token) as client:
            image = await client.upload(PHOTO)
            assert image.user_id == "grace"
            await client.update(image.image_id, title="Mine")
            await client.download(image, tmp_path)
            assert await titles(client) == ["Mine"]
            await client.delete(image.image_id)
            assert token not in repr(client)
    sent = {step: {each.get("Authorization") for each in fields} for step, fields in site.asked.items()}
    assert sent.pop("put") == {None}
    assert sent.keys() == {"begin", "complete", "edit", "download", "list", "delete"}
    assert set.union(*sent.values()) == {f"Bearer {token}"}


async def test_nobody_without_a_token_is_let_in(tmp_path: Path) -> None:
    async with (
        running_issuer() as issuer,
        depot(tmp_path / "depot", **issuer.settings) as site,
        site.client() as client,
    ):
        with pytest.raises(pixdepot.Unauthorized):
            await client.upload(PHOTO)


async def test_neither_messages_nor_the_log_have_links_in_them(
    site: Depot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pixdepot")
    async with site.client(max_retries=1) as client:
        for faults in ([Fault.CUT, Fault.CUT], [Fault.NOT_DONE, Fault.NOT_DONE], [Fault.THROTTLED, Fault.CUT]):
            site.spoil("put", *faults)
            with pytest.raises(pixdepot.PixdepotError) as caught:
                await client.upload(PHOTO)
            assert "storage/" not in f"{caught.value} {caught.value!r}"
        image = await client.get((await client.upload(PHOTO)).image_id)
    assert "storage/" in image.url
    assert "storage/" not in repr(image)
    told = [each.getMessage() for each in caplog.records if each.name == "pixdepot"]
    assert len(told) == 3
    assert not [each for each in told if "storage/" in each]
