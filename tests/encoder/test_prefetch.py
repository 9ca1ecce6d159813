import threading
from collections.abc import Iterator

import pytest

from recsys.encoder.stream import prefetch


def test_items_come_in_order() -> None:
    assert list(prefetch(iter(range(50)), depth=3)) == list(range(50))


def test_it_runs_ahead_but_not_further_than_its_depth() -> None:
    produced, enough = [], threading.Event()

    def source() -> Iterator[int]:
        for i in range(100):
            produced.append(i)
            if i == 3:
                enough.set()
            yield i

    ahead = prefetch(source(), depth=3)
    assert enough.wait(10)  # without anybody reading
    assert next(ahead) == 0
    ahead.close()
    assert len(produced) <= 6


def test_an_error_comes_where_its_item_would_have() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    ahead = prefetch(source(), depth=4)
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="broken"):
        next(ahead)
    with pytest.raises(StopIteration):
        next(ahead)


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    ahead = prefetch(iter(range(10**9)), depth=2)
    next(ahead)
    ahead.close()
    assert threading.active_count() == before
    assert list(ahead) == []
