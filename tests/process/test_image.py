"""The image, run alone: it serves the local backend, keeps its data in a volume, and is nobody's root."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.server import check_exposure
from service.settings import Settings, SettingsError
from tests.pictures import picture, sha256_of
from tests.process.servers import run
from tests.servers.images import ROOT, Image, Running, build, install, said

PHOTO = picture(size=(400, 300), noise=True)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Return the image."""
    for name in ("unshare", "nsenter", "setpriv"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    with TemporaryDirectory(prefix="pixdepot-image-") as place:
        Path(place).chmod(
            0o755
        )  # curl asks whether its user may read a file, in a way that no capability helps with
        yield build(Path(place))


async def api(container: Running, *arguments: str) -> str:
    """Return what a curl line inside prints."""
    code, out = await container.run("curl", "-sS", "-f", *arguments)
    assert code == 0, out
    return out


async def test_what_it_keeps_is_in_its_volume_and_there_for_the_next_container(
    image: Image,
) -> None:
    volume = image.place / "data"
    photo = image.place / "photo.jpg"
    photo.write_bytes(PHOTO)
    form = ("-F", "user_id=ada", "-F", "title=A photo", "-F", f"file=@{photo}")
    url = "http://127.0.0.1:8080/images"
    async with image.running() as container:
        await container.until_healthy()
        uploaded = json.loads(await api(container, url, *form))["metadata"]
    async with image.running() as container:
        await container.until_healthy()
        listed = json.loads(await api(container, f"{url}?user_id=ada"))
        assert [each["image_id"] for each in listed["images"]] == [uploaded["image_id"]]
        assert uploaded["sha256"] == sha256_of(PHOTO)
        owners = {each.stat().st_uid for each in (volume, *volume.rglob("*"))}
        status = Path(f"/proc/{container.pid}/status").read_text()
    assert owners == {int(said("USER").partition(":")[0])} != {0}
    assert f"Uid:\t{said('USER').partition(':')[0]}\t" in status


async def test_it_ends_cleanly_when_it_is_stopped(image: Image) -> None:
    async with image.running() as container:
        await container.until_healthy()
        container.process.terminate()
        assert await asyncio.wait_for(container.process.wait(), 10) == 0


async def test_it_says_who_may_do_what_with_open_auth_and_how_to_keep_others_out(image: Image) -> None:
    async with image.running() as container:
        await container.until_healthy()
    warned = [line for line in container.log.splitlines() if "WARNING" in line]
    assert "-p 127.0.0.1:8080:8080" in warned[-1]
    assert "PIXDEPOT_AUTH=jwt" in warned[-1]


async def test_it_is_unhealthy_while_it_cannot_use_its_data(image: Image) -> None:
    """A volume of somebody else's: what a bind mount of a directory of root's is."""
    other = image.place / "app" / "data"
    other.mkdir(mode=0o755, exist_ok=True)
    async with image.running(PIXDEPOT_DATA_DIR=str(other)) as container:
        assert await asyncio.wait_for(container.process.wait(), 30) == 1
    assert str(other) in container.log


def test_its_places_are_those_that_it_declares() -> None:
    environment = dict(each.split("=", 1) for each in said("ENV").split())
    assert said("VOLUME") == environment["PIXDEPOT_DATA_DIR"]
    settings = Settings.from_env({name: value for name, value in environment.items() if name != "HOME"})
    check_exposure(settings, "0.0.0.0")
    assert settings.backend == "local"


def test_open_auth_outside_says_what_to_do_in_a_container() -> None:
    with pytest.raises(SettingsError, match=r"container.*-p 127\.0\.0\.1:8080:8080.*PIXDEPOT_ALLOW_OPEN_AUTH=1"):
        check_exposure(Settings(), "0.0.0.0")


def test_its_user_is_a_number_that_is_not_root() -> None:
    """Kubernetes can tell of a number that it is not root (runAsNonRoot)."""
    user, _, group = said("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


async def test_hadolint_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    linted = await run(str(install()), str(ROOT / "Dockerfile"), directory=tmp_path)
    assert (linted.code, linted.out, linted.error) == (0, "", "")
