"""Files under keys, where directories come and go."""

import os
from pathlib import Path

import pytest

from service.domain.model import now
from service.local.disk import Disk
from service.local.files import LocalObjectStore
from service.local.links import LinkSigner


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjectStore:
    disk = Disk(tmp_path, 0)
    disk.prepare()
    return LocalObjectStore(disk, LinkSigner(b"secret", now))


def test_a_directory_that_went_and_came_again_meanwhile_is_no_failure(
    objects: LocalObjectStore, tmp_path: Path
) -> None:
    source, path, tries = tmp_path / "source", objects.path("uploads/one"), []
    source.write_bytes(b"bytes")

    def give(source: Path, path: Path) -> None:
        tries.append(path)
        if len(tries) == 1:  # one delete has removed the directory, and another upload has made it again
            raise FileNotFoundError
        source.replace(path)

    objects._give(give, source, path)
    assert (len(tries), path.read_bytes()) == (2, b"bytes")


def test_a_source_that_is_gone_is_a_failure(objects: LocalObjectStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        objects._give(os.link, tmp_path / "nothing", objects.path("images/one/nonce/original"))
