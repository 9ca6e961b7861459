"""`pixdepot ls|get|edit|rm|sign`: what is there is found, fetched, changed, deleted and linked to."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pixdepot import Image
from tests.pictures import picture, sha256_of
from tests.process.servers import Server
from tests.process.typist import Typist, documents
from tests.servers.relay import relayed


async def uploaded(server: Server, pixdepot: Typist, **details: Any) -> str:
    """Upload a picture, and return its image's id."""
    return str((await server.api.uploaded(user_id=pixdepot.user, **details))["image_id"])


# ---------------------------------------------------------------- ls


@pytest.mark.parametrize(
    ("filters", "titles"),
    [
        ("", ["Mountain", "Lake", "Sea"]),
        ("--tags water", ["Lake", "Sea"]),
        ("--tags 'water, cold'", ["Lake"]),
        ("--tags cold,salt --any-tag", ["Mountain", "Lake", "Sea"]),
        ("--title LAK", ["Lake"]),
        ("--limit 2", ["Mountain", "Lake"]),
        ("--from 2020-01-01 --to 2020-12-31", []),
        ("--from 2020-01-01 --to 2100-01-01 --limit 1", ["Mountain"]),
    ],
)
async def test_a_list_takes_every_filter(server: Server, pixdepot: Typist, filters: str, titles: list[str]) -> None:
    for title, tags in {"Sea": ["water", "salt"], "Lake": ["water", "cold"], "Mountain": ["cold"]}.items():
        await uploaded(server, pixdepot, title=title, tags=tags)
    printed = await pixdepot.told(f"ls --user ME {filters}")
    assert [each["title"] for each in printed] == titles


async def test_a_list_has_all_pages_and_all_that_is_known(server: Server, pixdepot: Typist) -> None:
    ids = [await uploaded(server, pixdepot, title=f"Photo {number}") for number in range(103)]
    printed = await pixdepot.told("ls --user ME")
    assert [each["image_id"] for each in printed] == ids[::-1]
    shown = (await server.api.get(f"/images/{ids[-1]}", params={"metadata_only": "true"})).json
    assert {name: printed[0][name] for name in shown["metadata"]} == shown["metadata"]
    assert printed[0]["url"] == shown["url"]
    assert printed[0]["url_expires_at"] == shown["url_expires_at"]


async def test_people_see_a_line_for_each_image(server: Server, pixdepot: Typist) -> None:
    image_id = await uploaded(server, pixdepot, title="At the lake", tags=["sea", "sun"])
    finished = await pixdepot("ls --user ME")
    assert finished.out.startswith(image_id)
    assert finished.out.endswith(f"{pixdepot.user}  At the lake  [sea, sun]\n")


# ---------------------------------------------------------------- get


async def test_an_image_goes_into_a_directory_under_its_name(server: Server, pixdepot: Typist) -> None:
    data = picture(size=(300, 200), noise=True)
    image_id = await uploaded(server, pixdepot, data=data, filename="my photo.jpg")
    for outcome in ("saved", "there"):
        printed = await pixdepot.told(f"get {image_id}")
        assert printed == [{"image_id": image_id, "outcome": outcome, "path": "my photo.jpg", "error": None}]
    assert (pixdepot.directory / "my photo.jpg").read_bytes() == data


async def test_an_image_goes_to_the_file_that_is_named(server: Server, pixdepot: Typist) -> None:
    data = picture(seed=1)
    image_id = await uploaded(server, pixdepot, data=data)
    (pixdepot.directory / "copy.jpg").write_text("something else")
    finished = await pixdepot(f"get {image_id} --to copy.jpg")
    assert (finished.code, finished.out) == (0, f"saved   {image_id}  copy.jpg\n")
    assert (pixdepot.directory / "copy.jpg").read_bytes() == data


async def test_a_file_is_saved_with_the_extension_of_what_it_is(server: Server, pixdepot: Typist) -> None:
    (pixdepot.directory / "IMG.HEIC").write_bytes(picture())
    (sent,) = await pixdepot.told("upload IMG.HEIC")
    (pixdepot.directory / "IMG.HEIC").unlink()
    for outcome in ("saved", "there"):
        (printed,) = await pixdepot.told(f"get {sent['image_id']}")
        assert (printed["outcome"], printed["path"]) == (outcome, "IMG.jpg")


async def test_no_file_of_another_picture_is_overwritten_in_a_directory(server: Server, pixdepot: Typist) -> None:
    pictures = {await uploaded(server, pixdepot, data=data): data for data in map(seeded, range(5))}
    (pixdepot.directory / "photo.jpg").write_text("something else")
    for outcome in ("saved", "there"):
        printed = await pixdepot.told(f"get {' '.join(pictures)}")
        assert {(each["path"], each["outcome"]) for each in printed} == {
            (f"{each}.jpg", outcome) for each in pictures
        }
    assert all((pixdepot.directory / f"{each}.jpg").read_bytes() == data for each, data in pictures.items())
    assert (pixdepot.directory / "photo.jpg").read_text() == "something else"


def seeded(seed: int) -> bytes:
    return picture(seed=seed)


async def test_a_download_goes_on_whenever_the_network_breaks_off(server: Server, pixdepot: Typist) -> None:
    data = picture("PNG", size=(500, 400), noise=True)
    image_id = await uploaded(server, pixdepot, data=data, filename="photo.png")
    async with relayed(server.port) as (relay, url):
        relay.cut_answers_after = len(data) // 3
        finished = await pixdepot(f"get {image_id}", PIXDEPOT_URL=url)
    assert finished.code == 0, finished
    assert (pixdepot.directory / "photo.png").read_bytes() == data
    assert [each.name for each in pixdepot.directory.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    ("filename", "name"), [("../../photo.jpg", "photo.jpg"), ("/etc/photo.jpg", "photo.jpg"), ("..", "an-id")]
)
async def test_no_name_leads_out_of_the_directory(tmp_path: Path, filename: str, name: str) -> None:
    """The service lets no such name in; whoever answers in its place may."""
    metadata = {
        **{each.name: "" for each in fields(Image)},
        "image_id": "an-id",
        "filename": filename,
        "file_size": 4,
        "width": 1,
        "height": 1,
        "tags": [],
        "sha256": sha256_of(b"data"),
        "created_at": "2025-01-01",
        "updated_at": "2025-01-01",
        "etag": None,
    }

    async def answer(request: web.Request) -> web.Response:
        if "download" in request.query:
            return web.Response(body=b"data")
        links = {"url": "/", "url_expires_at": "2025-01-01", "variants": {}}
        return web.json_response({"metadata": metadata, **links})

    app = web.Application()
    app.router.add_get("/images/an-id", answer)
    async with TestServer(app) as server:
        inside = tmp_path / "inside"
        inside.mkdir()
        (printed,) = await Typist(tmp_path, str(server.make_url("")), "").told("get an-id --to inside")
    assert printed["path"] == f"inside/{name}"
    assert (inside / name).read_bytes() == b"data"


@pytest.mark.parametrize("place", ["pipe.jpg", "/dev/full", "in"])
async def test_no_download_takes_the_place_of_what_is_no_file(server: Server, pixdepot: Typist, place: str) -> None:
    image_id = await uploaded(server, pixdepot)
    (pixdepot.directory / "in").mkdir()
    os.mkfifo(pixdepot.directory / "pipe.jpg")
    os.mkfifo(pixdepot.directory / "in/photo.jpg")
    finished = await pixdepot(f"get {image_id} --to {place} --json")
    (printed,) = documents(finished)
    if place == "in":
        assert (printed["outcome"], printed["path"]) == ("saved", f"in/{image_id}.jpg")
    else:
        assert (finished.code, printed["outcome"]) == (1, "failed")
        assert "not a file" in printed["error"]
    for each in (pixdepot.directory / "pipe.jpg", pixdepot.directory / "in/photo.jpg"):
        assert each.is_fifo()
    assert Path("/dev/full").is_char_device()


async def test_one_download_that_fails_stops_no_other(server: Server, pixdepot: Typist) -> None:
    image_id = await uploaded(server, pixdepot)
    nobodys = "01890a5d-ac96-774b-bcce-b302099a8057"
    finished = await pixdepot(f"get {nobodys} {image_id} --json")
    assert finished.code == 1
    printed = {each["image_id"]: each for each in documents(finished)}
    assert (printed[image_id]["outcome"], printed[nobodys]["outcome"]) == ("saved", "failed")
    assert "404 not_found" in printed[nobodys]["error"]


async def test_several_images_need_a_directory(pixdepot: Typist) -> None:
    finished = await pixdepot("get one two --to copy.jpg")
    assert finished.code == 2
    assert "name an existing directory" in finished.error


async def test_a_download_on_a_terminal_draws_bars(server: Server, pixdepot: Typist) -> None:
    image_id = await uploaded(server, pixdepot)
    code, shown = await pixdepot.on_terminal(f"get {image_id}")
    assert code == 0
    assert "━" in shown
    assert f"saved   {image_id}  photo.jpg" in shown


# ---------------------------------------------------------------- edit


async def test_what_is_said_about_an_image_is_changed(server: Server, pixdepot: Typist) -> None:
    image_id = await uploaded(server, pixdepot, title="Before", description="Kept", tags=["sea"])
    (printed,) = await pixdepot.told(f"edit {image_id} --user ME --title After --visibility public")
    assert printed == (await server.api.get(f"/images/{image_id}")).json["metadata"]
    said = ("title", "description", "tags", "visibility")
    assert [printed[name] for name in said] == ["After", "Kept", ["sea"], "public"]
    (printed,) = await pixdepot.told(f"edit {image_id} --user ME --tags '' --description ''")
    assert [printed[name] for name in said] == ["After", "", [], "public"]


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("edit {} --user ME", 2, "Nothing to change"),
        ("edit {} --user nobody --title Theirs", 1, "403 forbidden"),
        ("edit {} --user ME --title ' '", 1, "400 invalid_request"),
        ("edit nothing --user ME --title New", 1, "404 not_found"),
    ],
)
async def test_what_cannot_be_changed_is_told(
    server: Server, pixdepot: Typist, line: str, code: int, told: str
) -> None:
    finished = await pixdepot(line.format(await uploaded(server, pixdepot)))
    assert finished.code == code
    assert told in finished.error


# ---------------------------------------------------------------- rm


async def test_several_are_deleted_and_told_of_one_by_one(server: Server, pixdepot: Typist) -> None:
    ids = [await uploaded(server, pixdepot) for _ in range(3)]
    theirs = str((await server.api.uploaded(user_id="somebody else"))["image_id"])
    finished = await pixdepot(f"rm {' '.join(ids)} {theirs} --user ME --json")
    assert finished.code == 1
    printed = {each["image_id"]: each for each in documents(finished)}
    assert [printed[each]["outcome"] for each in (*ids, theirs)] == ["deleted"] * 3 + ["failed"]
    assert "403 forbidden" in printed[theirs]["error"]
    assert await pixdepot.told("ls --user ME") == []
    assert (await pixdepot(f"rm {ids[0]} --user ME")).code == 1


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 1), ("", 1, 1), ("y", 0, 0)])
async def test_on_a_terminal_it_asks_first(
    server: Server, pixdepot: Typist, answer: str, code: int, left: int
) -> None:
    image_id = await uploaded(server, pixdepot)
    ended, shown = await pixdepot.on_terminal(f"rm {image_id} --user ME", answer or "\n")
    assert f"Permanently delete {image_id}? [y/N]" in shown
    assert ended == code
    assert len(await pixdepot.told("ls --user ME")) == left


async def test_on_a_terminal_yes_spares_the_question(server: Server, pixdepot: Typist) -> None:
    ended, shown = await pixdepot.on_terminal(f"rm {await uploaded(server, pixdepot)} --user ME --yes")
    assert ended == 0
    assert "[y/N]" not in shown


# ---------------------------------------------------------------- sign


@pytest.mark.parametrize(("variant", "kind"), [("original", "image/jpeg"), ("thumb", "image/webp")])
async def test_a_link_leads_to_the_picture(server: Server, pixdepot: Typist, variant: str, kind: str) -> None:
    image_id = await uploaded(server, pixdepot)
    printed = (await pixdepot(f"sign {image_id} --variant {variant}")).out
    answer = await server.api.fetch(printed.strip())
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    (told,) = await pixdepot.told(f"sign {image_id} --variant {variant}")
    assert told["url"] == printed.strip()
    assert told.keys() == {"image_id", "variant", "url", "expires_at"}
