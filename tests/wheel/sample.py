# pyright: strict
# ruff: noqa: T201
"""A script that a user of the client might write: it backs a directory up, and shows what is there."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

import pixdepot
from pixdepot import Client, Image, LinkedImage, NewImage


def told(done: int, size: int) -> None:
    print(f"{done:,} of {size:,} bytes", file=sys.stderr)


async def generated() -> AsyncIterator[bytes]:
    yield b"GIF89a"
    raise EOFError("the generator broke off")


async def back_up(client: Client, directory: Path) -> list[Image]:
    images: list[Image] = []
    pictures = [NewImage(each, tags=("backup",)) for each in sorted(directory.glob("*.jpg"))]
    async for result in client.upload_many([*pictures, generated()], concurrency=4):
        if result.image is not None:
            images.append(result.image)
        else:
            print(f"failed: {result.error}")
    return images


async def look_at(client: Client, image_id: str, directory: Path) -> LinkedImage | None:
    try:
        image = await client.get(image_id)
        await client.update(image_id, title=image.title.upper(), tags=[*image.tags, "seen"], if_match=image.etag)
        path = await client.download(image, directory, on_progress=told)
    except pixdepot.NotFound:
        return None
    except pixdepot.APIError as error:
        print(error.status, error.code, error.request_id, error.errors.get("title", ()))
        raise
    print(f"{path.name}: {image.width} x {image.height}, {sorted(image.variants)}")
    return image


async def main(base_url: str, directory: Path) -> None:
    async with aiohttp.ClientSession() as session, Client(base_url, user_id="ada", session=session) as client:
        uploaded = await back_up(client, directory)
        again = await client.upload(
            directory / "lake.jpg", title="Once more", visibility="public", on_progress=told
        )
        mine = client.images(user_id="ada", tags=["backup"], page_size=10)
        print(f"{len(uploaded)} uploaded, {len([each async for each in mine])} there")
        async for page in mine.pages():
            for image in page.images:
                await look_at(client, image.image_id, directory / "copies")
        link = await client.link(again.image_id, "thumb")
        print(f"a link until {link.expires_at:%H:%M}")
        gone = await client.delete_many([each.image_id for each in uploaded])
        await client.delete(again.image_id)
        print(f"{sum(each.error is None for each in gone)} deleted")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
