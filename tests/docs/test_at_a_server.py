"""What pages let a reader type, word for word, at a server that runs on this machine."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, typed, unclaimed
from tests.pictures import picture
from tests.process.servers import serving


@pytest.mark.parametrize("page", [page for page in PAGES if unclaimed(page)])
async def test_all_that_a_page_says_works(page: str, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(picture(size=(800, 600), noise=True))
    (tmp_path / ".curlrc").write_text("fail\n")  # a curl that prints an error must not pass
    async with serving(tmp_path) as server:
        script = unclaimed(page).replace("8080", str(server.port))
        await typed(script, tmp_path, PIXDEPOT_DATA_DIR="data", PIXDEPOT_URL=server.url)
