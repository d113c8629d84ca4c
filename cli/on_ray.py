"""Runs a function over many recordings on a Ray cluster; see `batch` for the same in processes.

Ray reports usage to its maker unless it is told not to: it is told so before it is imported. A cluster that
runs already decides for itself.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ..contracts.errors import UserError, one_line
from .batch import Function, Result, attempt
from .recordings import Item

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

try:
    import ray
except ImportError:
    raise UserError("--engine ray needs Ray: pip install 'enrapt[ray]'") from None

RETRIES: Final = 3  # of a recording whose worker is lost
_LOOK: Final = 0.2  # s between two looks at whether to stop
_PATIENCE: Final = 5.0  # s; for a cluster's address to answer
_QUEUED: Final = 1000  # tasks that the cluster knows of, so that its memory does not grow with the corpus


def run_on_ray(
    function: Function,
    items: Sequence[Item],
    jobs: int | None,
    address: str | None,
    stop: threading.Event,
    progress: Callable[[Item, float], None],
) -> Iterator[Result]:
    """The result of each recording, as they come. Every node must see the files under the same paths.

    Args:
        function: gives the row of a recording; see `batch`.
        jobs: recordings at the same time; None: as many as the cluster has processors.
        address: of a cluster, or `auto` for the one of this machine; None starts one, which ends with this.
        stop: when it is set the iteration ends soon; what is running is lost.
        progress: is not called: what a task has done is known at its end.

    Raises:
        UserError: there is no cluster at that address.
    """
    _connect(address, jobs)
    try:
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(_attempt)
        shared = ray.put(function)
        left = list(reversed(items))
        running: dict[Any, Item] = {}
        while (left or running) and not stop.is_set():
            while left and len(running) < (jobs or _QUEUED):
                item = left.pop()
                running[task.remote(shared, item)] = item
            done, _ = ray.wait(list(running), timeout=_LOOK)
            for reference in done:
                item = running.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayError as error:  # of Ray itself: the function's are in the result
                    yield Result(item, None, f"{type(error).__name__}: {_first_line(error)}")
        for reference in running:
            ray.cancel(reference, force=True)
    finally:
        ray.shutdown()


def _attempt(function: Function, item: Item) -> Result:
    return attempt(function, item, lambda share: None)


def _connect(address: str | None, jobs: int | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(address="local", num_cpus=jobs, include_dashboard=False, **quiet)
        else:
            _look_for(address)
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OverflowError, OSError) as error:
        where = "a cluster could not be started" if address is None else f"no cluster at {address}"
        raise UserError(f"--engine ray: {where} ({_first_line(error)})") from None


def _look_for(address: str) -> None:
    """Connect to it once: Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


def _first_line(error: Exception) -> str:
    return one_line(str(error).strip().partition("\n")[0])
