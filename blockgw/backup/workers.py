"""The same work on many things, by a few threads: reading, hashing, compressing and sending overlap."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

WORKERS = 4
_ItemT = TypeVar("_ItemT")
_ResultT = TypeVar("_ResultT")


def spread(
    work: Callable[[_ItemT], _ResultT], items: Iterable[_ItemT], workers: int = WORKERS
) -> Iterator[_ResultT]:
    """Yield what `work` returns, in the order in which that is done; `workers` at a time, and as many waiting.

    When `work` raises, nothing else is begun; what was is waited for and yielded, and then that is raised.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="backup") as pool:
        under_way: set[Future[_ResultT]] = set()
        try:
            for item in items:
                if len(under_way) >= 2 * workers:
                    under_way = yield from _done(under_way)
                under_way.add(pool.submit(work, item))
            while under_way:
                under_way = yield from _done(under_way)
        finally:
            for each in under_way:
                each.cancel()


def _done(under_way: set[Future[_ResultT]]) -> Generator[_ResultT, None, set[Future[_ResultT]]]:
    """Yield the results of what is done, at least one; return the others."""
    done, others = wait(under_way, return_when=FIRST_COMPLETED)
    failure = next((each.exception() for each in done if each.exception() is not None), None)
    if failure is not None:
        done |= wait([each for each in others if not each.cancel()]).done
    for each in done:
        if each.exception() is None:
            yield each.result()
    if failure is not None:
        raise failure
    return others
