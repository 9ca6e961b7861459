"""What the failures of files mean: the one place where the local backend turns an OSError into our own errors."""

import asyncio
import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from service.domain.errors import InsufficientStorage, Unavailable

T = TypeVar("T")

logger = logging.getLogger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# What an operator can do something about. No cause names a path: clients read it.
_CAUSES = {
    errno.ENOSPC: "The disk is full: free space, or delete images.",
    errno.EDQUOT: "The disk quota is exceeded: raise it, or delete images.",
    errno.EMFILE: "The server has too many files open: raise its limit (ulimit -n).",
    errno.ENFILE: "The machine has too many files open.",
    errno.EACCES: "The server has no permission to use its data directory.",
    errno.EPERM: "The data directory's file system does not permit this, or does not support hard links.",
    errno.EOPNOTSUPP: "The file system of the data directory does not support hard links.",
    errno.EXDEV: "objects/ and tmp/ in the data directory are on different file systems: put them on one.",
    errno.EROFS: "The data directory is read-only.",
    errno.EIO: "The disk reports an I/O error.",
    errno.ESTALE: "The network file system has lost a file of the data directory.",
    errno.EFBIG: "The file system, or a limit of the process, does not permit files of this size.",
    errno.ENOMEM: "The machine is out of memory.",
}


def cause(error: OSError) -> str:
    """Return why an operation failed, and what can be done about it."""
    return _CAUSES.get(error.errno or 0, "The data directory is unusable.")


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Turn an OSError of the block into Unavailable, or InsufficientStorage where the disk is full; log its errno.

    What is an answer rather than a failure, such as a missing file, is for the block itself to tell.
    """
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        logger.warning("the data directory failed to %s: %s (%s)", operation, name, error.strerror)
        raise (InsufficientStorage if error.errno in FULL else Unavailable)(cause(error)) from error


async def in_thread(operation: str, work: Callable[..., T], *arguments: object) -> T:
    """Return what `work` returns, called in another thread. Raises as `translated` does."""
    with translated(operation):
        return await asyncio.to_thread(work, *arguments)
