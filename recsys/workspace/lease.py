"""A lease: one holder at a time, over every machine that opens the workspace.

On one machine it is a file lock, which ends with its process. In an object store that compares and swaps it
is, besides, the record ``pointers/lease-<name>.json``:

    {"holder", "id", "token", "renewals", "lease_s"}

``token`` counts holders. A holder renews the record in the background; who waits for it takes it over, with
the next token, once he has seen it unchanged for ``lease_s`` on his own clock: no two machines' clocks are
compared. A holder that was paused for longer, or cut off from the store, has lost it then, and is refused by
:meth:`Lease.check` right before each step that others see.
"""

import itertools
import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from filelock import BaseFileLock, Timeout

from recsys.errors import LeaseLostError, RecsysError, TransientError
from recsys.workspace.compare_and_swap import SharedRecord

logger = logging.getLogger(__name__)

_RENEWALS = 4
"""In the time after which a lease is lost: so many may fail but one."""
_LOOKS = 20
"""At another's lease in that time."""
_LONGEST_PAUSE_S = 5.0

T = TypeVar("T")


class Lease:
    """The right to do what ``name`` says, as a context manager; use it once."""

    def __init__(
        self, name: str, lock: BaseFileLock, record: SharedRecord | None, *, timeout_s: float, lease_s: float
    ) -> None:
        """Prepare; without a ``record`` only ``lock`` is taken, and it cannot be lost."""
        self._name, self._lock, self._record = name, lock, record
        self._lease_s = lease_s
        self._timeout_s = timeout_s if timeout_s >= 0 else math.inf
        who = f"{socket.gethostname()} (process {os.getpid()})"
        self._value: dict[str, Any] = {"holder": who, "id": uuid.uuid4().hex, "lease_s": lease_s}
        self._tag: str | None = None
        self._renewed_at = math.inf
        self._renewing = threading.Lock()
        self._released = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"lease {name}", daemon=True)

    def __enter__(self) -> Self:
        """Wait for it; raises :class:`TransientError`, which says who holds it, after the timeout."""
        deadline = time.monotonic() + self._timeout_s
        try:
            self._lock.acquire()
        except Timeout:
            raise self._not_had("Another process of this machine") from None
        try:
            if self._record is not None:
                self._take(self._record, deadline)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back; where that fails, who waits sees that it is renewed no more.

        An exception of one that had lost it is a :class:`LeaseLostError`: the next holder may be its cause.
        """
        self._released.set()
        try:
            is_lost = self._record is not None and not self._give_back(self._record)
            if is_lost and isinstance(error, RecsysError) and not isinstance(error, LeaseLostError):
                raise self._lost() from error
        finally:
            self._lock.release()

    def check(self, *, for_s: float = 0.0) -> None:
        """See that this is still the holder, and renew: for ``lease_s`` from now on nobody else can be.

        ``for_s`` is how long a step may take during which no thread runs that could renew it. Raises
        :class:`LeaseLostError`.
        """
        if self._record is None:
            return
        with self._renewing:
            started = time.monotonic()
            value = {**self._value, "renewals": self._value["renewals"] + 1}
            value["lease_s"] = max(self._lease_s, for_s)
            tag = self._record.swap(value, self._tag)
            if tag is None:
                self._renewed_at = -math.inf
                raise self._lost()
            self._value, self._tag, self._renewed_at = value, tag, started

    def check_if_due(self) -> None:
        """:meth:`check` where the last renewal is ``lease_s`` old, or was refused."""
        if time.monotonic() - self._renewed_at >= self._value["lease_s"]:
            self.check()

    def guard(self, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items``, each after :meth:`check_if_due`."""
        for item in items:
            self.check_if_due()
            yield item

    def _take(self, record: SharedRecord, deadline: float) -> None:
        seen, seen_at = "", 0.0
        for look in itertools.count():
            looked_at = time.monotonic()
            found, tag = record.read()
            if tag != seen:
                seen, seen_at = tag or "", time.monotonic()
            if found is None or not found["holder"] or looked_at - seen_at >= found["lease_s"]:
                value = {**self._value, "token": found["token"] + 1 if found else 1, "renewals": 0}
                self._tag = record.swap(value, tag)
                if self._tag is not None:
                    self._value, self._renewed_at = value, looked_at
                    self._keeper.start()
                    return
            elif looked_at >= deadline:
                raise self._not_had(found["holder"])
            else:
                if look == 0:
                    logger.info("waiting for the lease %s, which %s has", self._name, found["holder"])
                time.sleep(min(found["lease_s"] / _LOOKS, _LONGEST_PAUSE_S))

    def _keep(self) -> None:
        while not self._released.wait(self._lease_s / _RENEWALS):
            try:
                self.check()
            except LeaseLostError as error:
                logger.warning("%s", error)
                return
            except Exception as error:  # noqa: BLE001 (whatever the store's client raises; the next may succeed)
                logger.warning("the lease %s could not be renewed: %s", self._name, error)

    def _give_back(self, record: SharedRecord) -> bool:
        self._keeper.join()
        try:
            return record.swap({**self._value, "holder": ""}, self._tag) is not None
        except Exception as error:  # noqa: BLE001 (whatever the store's client raises)
            logger.warning("the lease %s could not be given back: %s", self._name, error)
            return True

    def _not_had(self, holder: str) -> TransientError:
        return TransientError(
            f"{holder} has the lease {self._name!r}: it was not to be had for {self._timeout_s:.0f} s.",
            fix="Try again when it is done.",
        )

    def _lost(self) -> LeaseLostError:
        found = self._record.read()[0] if self._record else None
        holder, token = (found["holder"] or "nobody", found["token"]) if found else ("nobody", 0)
        return LeaseLostError(
            f"The lease {self._name!r} was lost: {self._value['holder']} had token {self._value['token']} "
            f"and did not renew it for {self._value['lease_s']:g} s; {holder} has it, with token {token}.",
            fix="Run it again: it goes on from what is there now.",
        )
