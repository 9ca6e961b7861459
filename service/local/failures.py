"""The only place where the local backend converts an OSError into an error of the service."""

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
# Errors that an operator can fix. The texts contain no paths, because clients can read them.
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
    """Return the cause of a failed operation, and the remedy."""
    return _CAUSES.get(error.errno or 0, "The data directory is unusable.")


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Convert an OSError of the block into Unavailable, or InsufficientStorage if the disk is full. Log its errno.

    The block itself must handle an OSError that is an expected result, like a missing file.
    """
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        logger.warning("the data directory failed to %s: %s (%s)", operation, name, error.strerror)
        raise (InsufficientStorage if error.errno in FULL else Unavailable)(cause(error)) from error


async def in_thread(operation: str, work: Callable[..., T], *arguments: object) -> T:
    """Run `work` in another thread and return its result. Raises the errors of `translated`."""
    with translated(operation):
        return await asyncio.to_thread(work, *arguments)
