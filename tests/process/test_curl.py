"""Everything a user does with nothing but curl: the lines of the original's manual, and direct uploads."""

import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.api.client import ApiClient
from tests.pictures import base64_of, picture, sha256_of
from tests.process.curls import Printed, Terminal
from tests.process.servers import Server

AS_JSON = '-H "Content-Type: application/json"'
PHOTO = picture(size=(400, 300), noise=True, quality=95)  # some 100 KB
LARGE = picture(size=(1200, 1000), noise=True, quality=95, seed=1)  # over 1 MiB: curl asks before it sends


@pytest.fixture
def terminal(server: Server, tmp_path: Path) -> Terminal:
    """Return a shell in a directory with a photo."""
    return terminal_at(server.url, tmp_path)


@pytest.fixture(params=["server", "on_lambda", "on_localstack"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Terminal:
    """Return the same, at the server, at the API on an emulator's Lambda, or on LocalStack, as the original was."""
    at = request.getfixturevalue(request.param)
    return terminal_at(at.base_url if isinstance(at, ApiClient) else at.url, tmp_path)


def terminal_at(url: str, directory: Path) -> Terminal:
    (directory / "photo.jpg").write_bytes(PHOTO)
    return Terminal(directory, url)


async def uploaded(terminal: Terminal, data: bytes = PHOTO, **details: Any) -> dict[str, Any]:
    """Upload a photo with the original's line, and return its metadata."""
    payload = {"user_id": "user123", "title": "Sunset photo", "description": "At the sea", "filename": "photo.jpg"}
    document = {**payload, "tags": ["sunset", "nature"], "image_data": base64_of(data), **details}
    (terminal.directory / "payload.json").write_text(json.dumps(document))
    printed = await terminal(f'curl -X POST "$API/images" {AS_JSON} -d @payload.json')
    assert printed.status == 201, printed.body
    assert printed.json["message"] == "Image uploaded successfully"
    metadata: dict[str, Any] = printed.json["metadata"]
    return metadata


# ---------------------------------------------------------------- the original's lines


@pytest.mark.parametrize("data", [PHOTO, LARGE], ids=["photo", "large"])
async def test_what_is_uploaded_as_base64_is_downloaded_byte_for_byte(either: Terminal, data: bytes) -> None:
    metadata = await uploaded(either, data)
    image_id = metadata["image_id"]
    assert metadata["sha256"] == sha256_of(data)
    line = f'curl "$API/images/{image_id}?download=true" --output downloaded.jpg'
    downloaded = await either(line)
    if downloaded.status == 302:  # LocalStack decodes no bytes for curl's Accept
        assert (await either(f"{line} -H 'Accept: image/*'")).status == 200
        assert (either.directory / "downloaded.jpg").read_bytes() == data
        downloaded = await either(f"{line} -L")
    assert downloaded.status == 200
    assert (either.directory / "downloaded.jpg").read_bytes() == data


async def test_one_image_comes_with_or_without_its_picture(either: Terminal) -> None:
    metadata = await uploaded(either)
    whole = await either(f'curl "$API/images/{metadata["image_id"]}"')
    assert whole.json["image_data"] == base64_of(PHOTO)
    assert whole.json["metadata"] == metadata
    without = await either(f'curl "$API/images/{metadata["image_id"]}?metadata_only=true"')
    assert without.json == {name: value for name, value in whole.json.items() if name != "image_data"}


async def test_the_url_of_an_image_is_good_for_curl_as_it_is(either: Terminal) -> None:
    metadata = await uploaded(either)
    url = (await either(f'curl "$API/images/{metadata["image_id"]}?metadata_only=true"')).json["url"]
    await either(f"curl {shlex.quote(url)} --output linked.jpg")
    assert (either.directory / "linked.jpg").read_bytes() == PHOTO


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"sunset", "forest", "city"}),
        ("?user_id={me}", {"sunset", "forest"}),
        ("?tags=sunset,nature", {"sunset"}),
        ("?title=PHOTO {me}", {"sunset"}),
        ("?date_from={today}&date_to={tomorrow}", {"sunset", "forest", "city"}),
        ("?date_from=2025-09-01&date_to=2025-09-30", set()),
        ("?user_id={me}&tags=nature&title=forest", {"forest"}),
    ],
)
async def test_lists_are_filtered_as_in_the_original(either: Terminal, query: str, found: set[str]) -> None:
    me = uuid4().hex  # the server is shared
    today = datetime.now(UTC).date()
    images = {
        "sunset": {"user_id": me, "title": f"A photo {me}", "tags": ["sunset", "nature"]},
        "forest": {"user_id": me, "title": "The forest", "tags": ["nature"]},
        "city": {"user_id": f"not-{me}", "title": "The city", "tags": ["Sunset"]},
    }
    ids = {name: (await uploaded(either, **details))["image_id"] for name, details in images.items()}
    asked = query.format(me=me, today=today, tomorrow=today + timedelta(days=1)).replace(" ", "%20")
    listed = await either(f'curl "$API/images{asked}"')
    assert listed.status == 200
    assert listed.json["count"] == len(listed.json["images"])
    shown = {each["image_id"] for each in listed.json["images"]}
    assert {name for name, image_id in ids.items() if image_id in shown} == found


async def test_limit_cuts_a_list_into_pages(either: Terminal) -> None:
    newest_last = [(await uploaded(either, user_id="pager"))["image_id"] for _ in range(3)]
    first = await either('curl "$API/images?user_id=pager&limit=2"')
    cursor = first.json["next_cursor"]
    rest = await either(f'curl "$API/images?user_id=pager&limit=2&cursor={cursor}"')
    pages = [[each["image_id"] for each in page.json["images"]] for page in (first, rest)]
    assert pages == [newest_last[:0:-1], newest_last[:1]]
    assert rest.json["next_cursor"] is None


async def test_only_the_owner_deletes_an_image(either: Terminal) -> None:
    image_id = (await uploaded(either))["image_id"]

    async def delete(user_id: str) -> Printed:
        body = shlex.quote(json.dumps({"user_id": user_id}))
        return await either(f'curl -X DELETE "$API/images/{image_id}" {AS_JSON} -d {body}')

    assert (await delete("somebody-else")).outcome == (403, "forbidden")
    deleted = await delete("user123")
    assert (deleted.status, deleted.json["message"]) == (200, "Image deleted successfully")
    assert (await delete("user123")).outcome == (404, "not_found")
    assert (await either(f'curl "$API/images/{image_id}"')).outcome == (404, "not_found")


async def test_a_form_uploads_a_file_as_it_is(either: Terminal) -> None:
    (either.directory / "photo.jpg").write_bytes(LARGE)
    fields = '-F file=@photo.jpg -F user_id=user123 -F title="Sunset photo" -F tags=sunset,nature'
    printed = await either(f'curl "$API/images" {fields}')
    assert printed.status == 201, printed.body
    assert printed.json["metadata"]["sha256"] == sha256_of(LARGE)
    assert printed.json["metadata"]["tags"] == ["sunset", "nature"]
    assert printed.json["metadata"]["filename"] == "photo.jpg"


# ---------------------------------------------------------------- direct uploads


async def begun(terminal: Terminal, **declared: Any) -> dict[str, Any]:
    """Ask for a direct upload of the photo, and return the answer."""
    details = {"user_id": "user123", "title": "Sunset photo", "filename": "photo.jpg", "content_type": "image/jpeg"}
    document = shlex.quote(json.dumps({**details, **declared}))
    printed = await terminal(f'curl -X POST "$API/uploads" {AS_JSON} -d {document}')
    assert printed.status == 201, printed.body
    answer: dict[str, Any] = printed.json
    return answer


def put(upload: Mapping[str, Any], how: str = "-T photo.jpg", **headers: str) -> str:
    """Return the line that sends the photo through a PUT link, with the headers the answer asks for."""
    sent = {**upload["headers"], **{name.replace("_", "-"): value for name, value in headers.items()}}
    return f"curl {how} {_each('-H', ': ', sent)} {shlex.quote(upload['url'])}"


def post(upload: Mapping[str, Any], file: str = "photo.jpg", **fields: str) -> str:
    """Return the line that sends the photo through a POST link, with the fields the answer asks for."""
    sent = {**upload["fields"], **{name.replace("_", "-"): value for name, value in fields.items()}}
    return f"curl {_each('-F', '=', sent)} -F file=@{file} {shlex.quote(upload['url'])}"


def _each(option: str, between: str, values: Mapping[str, str]) -> str:
    return " ".join(f"{option} {shlex.quote(name + between + value)}" for name, value in values.items())


async def completed(terminal: Terminal, answer: Mapping[str, Any]) -> Printed:
    """Complete an upload."""
    return await terminal(f"curl -X POST {shlex.quote(answer['complete_url'])}")


@pytest.mark.parametrize("how", ["-T photo.jpg", "-X PUT --data-binary @photo.jpg"])
@pytest.mark.parametrize("data", [PHOTO, LARGE], ids=["photo", "large"])
async def test_a_put_link_takes_a_file_from_curl(terminal: Terminal, how: str, data: bytes) -> None:
    (terminal.directory / "photo.jpg").write_bytes(data)
    answer = await begun(terminal, file_size=len(data), sha256=sha256_of(data))
    assert (await terminal(put(answer["upload"], how))).status == 200
    published = await completed(terminal, answer)
    assert published.status == 200
    assert published.json["metadata"]["sha256"] == sha256_of(data)
    await terminal(f'curl "$API/images/{answer["image_id"]}?download=true" --output downloaded.jpg')
    assert (terminal.directory / "downloaded.jpg").read_bytes() == data


@pytest.mark.parametrize("data", [PHOTO, LARGE], ids=["photo", "large"])
async def test_a_post_link_takes_a_form_from_curl(terminal: Terminal, data: bytes) -> None:
    (terminal.directory / "photo.jpg").write_bytes(data)
    answer = await begun(terminal, method="POST")
    assert (await terminal(post(answer["upload"]))).status == 204
    published = await completed(terminal, answer)
    assert published.status == 200
    assert published.json["metadata"]["sha256"] == sha256_of(data)


async def test_a_put_link_itself_refuses_what_was_not_signed(terminal: Terminal) -> None:
    (terminal.directory / "longer.jpg").write_bytes(PHOTO + b"!")
    answer = await begun(terminal, file_size=len(PHOTO))
    upload = answer["upload"]
    assert (await terminal(put(upload, "-T longer.jpg"))).outcome == (403, "forbidden")
    assert (await terminal(put(upload, "-T - < photo.jpg"))).outcome == (403, "forbidden")  # chunked: no length
    assert (await terminal(put(upload, Content_Type="image/png"))).outcome == (403, "forbidden")
    assert (await terminal(put({**upload, "url": upload["url"] + "0"}))).outcome == (403, "forbidden")
    assert (await completed(terminal, answer)).outcome == (409, "upload_missing")


async def test_a_post_link_itself_refuses_what_was_not_signed(terminal: Terminal) -> None:
    (terminal.directory / "longer.jpg").write_bytes(PHOTO + b"!")
    answer = await begun(terminal, method="POST", file_size=len(PHOTO))
    upload = answer["upload"]
    assert (await terminal(post(upload, "longer.jpg"))).outcome == (413, "too_large")
    assert (await terminal(post(upload, Content_Type="image/png"))).outcome == (403, "forbidden")
    assert (await terminal(post(upload, key="uploads/another"))).outcome == (403, "forbidden")
    assert (await completed(terminal, answer)).outcome == (409, "upload_missing")


async def test_a_link_takes_one_picture_only(terminal: Terminal) -> None:
    other = picture(size=(400, 300), noise=True, quality=95, seed=2)
    (terminal.directory / "other.jpg").write_bytes(other)
    for line, method in ((put, "PUT"), (post, "POST")):
        declared = {"file_size": len(PHOTO)} if method == "PUT" else {}
        answer = await begun(terminal, method=method, **declared)
        await terminal(line(answer["upload"]))
        assert (await terminal(line(answer["upload"]))).outcome == (412, "precondition_failed")
        assert (await completed(terminal, answer)).json["metadata"]["sha256"] == sha256_of(PHOTO)
