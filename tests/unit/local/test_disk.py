"""The local store's disk: what its failures mean, what is left of failed writes, and what is tried at the start."""

import asyncio
import errno
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import InsufficientStorage, Unavailable
from service.domain.model import now
from service.local.disk import Disk
from service.local.failures import translated
from service.local.files import LocalObjectStore
from service.local.links import LinkSigner
from service.local.recent import Recent
from service.runtime import open_service
from service.settings import Settings, SettingsError

HOUR = timedelta(hours=1)
UNUSABLE = f"images/{'x' * 300}/original"  # longer than a file system lets a name be


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    made = Disk(tmp_path, 0)
    made.prepare()
    return made


@pytest.fixture
def objects(disk: Disk) -> LocalObjectStore:
    return LocalObjectStore(disk, LinkSigner(b"secret", now))


def temporary_files(directory: Path) -> list[Path]:
    return [*(directory / "tmp").iterdir()]


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


async def listed(objects: LocalObjectStore, prefix: str) -> None:
    async for _ in objects.list(prefix):
        pass


OPERATIONS: dict[str, Callable[[LocalObjectStore], Coroutine[Any, Any, object]]] = {
    "put": lambda objects: objects.put(UNUSABLE, b"bytes", "image/png"),
    "receive": lambda objects: objects.receive(UNUSABLE, chunks(b"bytes")),
    "copy": lambda objects: objects.copy(UNUSABLE, "images/two", "image/png"),
    "open": lambda objects: objects.open(UNUSABLE),
    "read": lambda objects: objects.read(UNUSABLE, 1),
    "size": lambda objects: objects.size(UNUSABLE),
    "delete": lambda objects: objects.delete(UNUSABLE),
    "list": lambda objects: listed(objects, UNUSABLE),
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_the_disk_fails_at_is_unavailable(
    operation: str, objects: LocalObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await objects.put("images/one", b"bytes", "image/png")
    with pytest.raises(Unavailable) as failure:
        await OPERATIONS[operation](objects)
    assert failure.value.headers["Retry-After"]
    assert str(tmp_path) not in failure.value.detail
    assert "ENAMETOOLONG" in caplog.text
    assert temporary_files(tmp_path) == []


async def test_a_disk_that_fails_in_the_middle_of_a_file_is_unavailable(
    objects: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await objects.put("images/one", bytes(10), "image/png")
    stream = await objects.open("images/one")
    await stream.__anext__()

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(asyncio, "to_thread", fail)
    with pytest.raises(Unavailable, match="I/O error"):
        await stream.__anext__()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_of_its_own(number: int) -> None:
    with pytest.raises(InsufficientStorage) as failure, translated("store an object"):
        raise OSError(number, os.strerror(number))
    assert (failure.value.status, failure.value.headers) == (507, {"Retry-After": "60"})


@pytest.mark.parametrize(
    "number",
    [errno.EXDEV, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EIO, errno.ESTALE, errno.EPERM],
)
def test_every_cause_that_an_operator_can_remove_is_named(number: int) -> None:
    with pytest.raises(Unavailable) as failure, translated("store an object"):
        raise OSError(number, os.strerror(number), "/a/path")
    assert failure.value.status == 503
    assert failure.value.detail != "The data directory is unusable."
    assert "/a/path" not in failure.value.detail


async def test_an_upload_that_is_cut_off_leaves_no_temporary_file(
    objects: LocalObjectStore, tmp_path: Path
) -> None:
    arrived = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield bytes(2**20)
        arrived.set()
        await asyncio.Event().wait()

    receiving = asyncio.create_task(objects.receive("uploads/one", half()))
    await arrived.wait()
    assert len(temporary_files(tmp_path)) == 1
    receiving.cancel()
    with suppress(asyncio.CancelledError):
        await receiving
    assert temporary_files(tmp_path) == []


@pytest.mark.parametrize("step", ["write", "synced"])
async def test_a_cut_while_a_thread_is_at_work_leaves_no_temporary_file(
    step: str, objects: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.local import files

    at_work, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    usual = getattr(files._Unnamed, step)

    def slowly(self: Any, *arguments: Any) -> Any:
        at_work.set()
        go_on.wait(10)
        try:
            return usual(self, *arguments)
        finally:
            ended.set()

    monkeypatch.setattr(files._Unnamed, step, slowly)
    receiving = asyncio.create_task(objects.receive("uploads/one", chunks(b"bytes")))
    await asyncio.to_thread(at_work.wait, 10)
    receiving.cancel()
    await asyncio.sleep(0)
    receiving.cancel()  # once more, while it tidies up
    go_on.set()
    with suppress(asyncio.CancelledError):
        await receiving
    await asyncio.to_thread(ended.wait, 10)
    async with asyncio.timeout(10):
        while temporary_files(tmp_path):  # noqa: ASYNC110 - a thread is about to remove it
            await asyncio.sleep(0.01)


def test_writes_stop_at_the_reserve(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    free = found.f_bavail * found.f_frsize
    Disk(tmp_path, free // 2).check_room(1)
    with pytest.raises(InsufficientStorage):
        Disk(tmp_path, free // 2).check_room(free)
    with pytest.raises(InsufficientStorage):
        Disk(tmp_path, free * 2).check_room()


def test_the_ballast_is_given_up_once_and_renewed_when_there_is_room(tmp_path: Path, disk: Disk) -> None:
    assert disk.release_ballast() is False
    disk.tidy(HOUR)
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 2**20
    assert [disk.release_ballast(), disk.release_ballast()] == [True, False]
    assert (tmp_path / "ballast").stat().st_size == 0
    disk.tidy(HOUR)
    assert (tmp_path / "ballast").stat().st_size == 2**20


async def test_sweep_clears_what_unfinished_writes_left_and_nothing_younger(tmp_path: Path) -> None:
    async with open_service(Settings(data_dir=tmp_path)) as runtime:
        old, young, probe = tmp_path / "tmp" / "old", tmp_path / "tmp" / "young", tmp_path / "objects" / ".probe"
        for each in (old, young, probe):
            each.write_bytes(b"half of an upload")
        for each in (old, probe):
            os.utime(each, times=(0, 0))
        assert (await runtime.sweeper.sweep()).failed == 0
        assert temporary_files(tmp_path) == [young]
        assert not probe.exists()


async def test_a_sweep_that_cannot_tidy_says_so(tmp_path: Path) -> None:
    async with open_service(Settings(data_dir=tmp_path)) as runtime:
        (tmp_path / "tmp").rmdir()
        assert (await runtime.sweeper.sweep()).failed == 1


async def test_sweeps_at_once_do_not_stumble_over_each_other(tmp_path: Path, disk: Disk) -> None:
    for number in range(500):
        left = tmp_path / "tmp" / str(number)
        left.touch()
        os.utime(left, times=(0, 0))
    await asyncio.gather(*(asyncio.to_thread(disk.tidy, HOUR) for _ in range(8)))
    assert temporary_files(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
async def test_a_file_system_without_hard_links_is_refused_at_the_start(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(SettingsError, match=f"{tmp_path} cannot be used for data.* not support.* hard links"):
        async with open_service(Settings(data_dir=tmp_path)):
            pass
    assert temporary_files(tmp_path) == []


async def test_a_delete_of_the_last_object_leaves_a_store_that_works(objects: LocalObjectStore) -> None:
    await objects.put("images/one/two/original", b"bytes", "image/png")
    await objects.delete("images/one/two/original")
    await objects.check()


async def test_a_database_that_takes_no_writes_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.operations.depot._CHECK_SECONDS", 0.3)
    async with open_service(Settings(data_dir=tmp_path)) as runtime:
        depot = runtime.api.services.depot
        with closing(sqlite3.connect(tmp_path / "pixdepot.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # anybody may still read
            assert await depot.states() == {"database": "unavailable", "storage": "ok"}
        await depot.records.check()
        assert await depot.states() == {"database": "ok", "storage": "ok"}


async def test_a_check_is_made_once_for_all_and_not_again_for_a_while() -> None:
    made = 0
    broken = False

    async def check() -> None:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        if broken:
            raise Unavailable("It does not work.")

    recent = Recent(check)
    await asyncio.gather(*(recent() for _ in range(10)))
    await recent()
    assert made == 1
    broken, recent = True, Recent(check)
    outcomes = await asyncio.gather(*(recent() for _ in range(10)), return_exceptions=True)
    assert [type(each) for each in outcomes] == [Unavailable] * 10
    with pytest.raises(Unavailable):  # a bad outcome does not last
        await recent()
    assert made == 3


async def test_a_check_goes_on_for_the_next_when_the_first_has_no_time() -> None:
    go_on, made = asyncio.Event(), 0

    async def check() -> None:
        nonlocal made
        made += 1
        await go_on.wait()

    recent = Recent(check)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(recent(), 0.01)
    go_on.set()
    await recent()
    assert made == 1
