"""The emulator's process: ministack, with at most two execution environments for each function.

ministack's own Python runs this file as a script (bootstrap/emulator.py). By itself ministack starts one more
environment for every concurrent invocation, keeps each for minutes, and unpacks the zip for each: 92 MB in 2,000
files, which it removes again on the event loop.
"""

import threading
from typing import Any

from ministack.app import main
from ministack.core import lambda_runtime
from ministack.services import lambda_svc

ENVIRONMENTS = 2  # for each function: four for a deployment, which has two
_LOOK_AGAIN = 1.0  # seconds: a change of a function removes its environments without a release

_released = threading.Condition()
_remove_directory = lambda_runtime.Worker._discard_tmpdir  # noqa: SLF001 - ministack has no option for it


def acquire(*arguments: Any, **options: Any) -> tuple[Any, str]:
    """Lease an environment; wait for one where ministack would start one more.

    ministack has a thread for each invocation, so a wait delays no other request. Only a function that waits for an
    invocation of itself could wait for ever.
    """
    options["max_concurrency"] = ENVIRONMENTS
    with _released:
        while True:
            worker, reason = lambda_runtime.acquire_worker(*arguments, **options)
            if worker is not None:
                return worker, reason
            _released.wait(_LOOK_AGAIN)


def release(worker: Any) -> None:
    """Give an environment back, and wake those who wait for one."""
    lambda_runtime.release_worker(worker)
    with _released:
        _released.notify_all()


def remove_directory(worker: Any) -> None:
    """Remove what an environment was unpacked to, off the event loop."""
    threading.Thread(target=_remove_directory, args=(worker,), daemon=True).start()


if __name__ == "__main__":
    lambda_svc.acquire_worker, lambda_svc.release_worker = acquire, release
    lambda_runtime.Worker._discard_tmpdir = remove_directory  # noqa: SLF001
    main()
