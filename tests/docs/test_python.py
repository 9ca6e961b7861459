"""The Python of the page on it, word for word."""

import ast
import sys
from pathlib import Path

from tests.docs.pages import runs
from tests.pictures import picture
from tests.process.servers import run, serving

_THEN = """

async def then() -> None:
    async with pixdepot.Client(user_id="ada") as client:
        await upload_each_way(client)
        assert len(await back_up(client, Path("photos"))) == 2
        await look_around(client)
        await careful(client)
        (newest,) = (await anext(client.images(page_size=1).pages())).images
        await tidy_up(client, newest.image_id)
        print([each.title async for each in client.images()])


asyncio.run(then())
"""


@runs("docs/python.md", language="python")
async def test_what_the_page_on_python_says_uploads_finds_and_deletes(script: str, tmp_path: Path) -> None:
    photo = picture(size=(800, 600), noise=True)
    (tmp_path / "photos").mkdir()
    for path in ("photo.jpg", "photos/a.jpg", "photos/b.jpg"):
        (tmp_path / path).write_bytes(photo)
    (tmp_path / "away").mkdir()
    async with serving(tmp_path / "away") as server:
        (tmp_path / "page.py").write_text(script.replace("http://localhost:8080", server.url) + _THEN)
        told = await run(sys.executable, "-W", "error", "page.py", directory=tmp_path, PIXDEPOT_URL=server.url)
    assert told.code == 0, told
    assert told.error == ""
    assert "400 invalid_request {'title': " in told.out
    assert told.out.count("not_found") == 1
    last, *titles = ast.literal_eval(told.out.splitlines()[-1])
    assert last in {"a", "b"}  # sent together; the one published last was tidied up
    assert titles == ["From a camera", "From memory", "photo", "At the lake"]
    assert (tmp_path / "photo.jpg").read_bytes() == photo
