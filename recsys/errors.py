"""The one error tree. Every error says what was found, what was expected and what to do next.

    RecsysError
    ├── ConfigError      a setting is wrong; nothing ran
    ├── InputError       something a person gave us (a feed, a file, an id, an image) is wrong
    │   └── NotFoundError   nothing has the id that was asked for
    ├── GuardError       a guard stopped the run before harm; the message says how to override it
    ├── ArtifactError    an artifact is missing, incomplete or not what its manifest says
    │   └── DamagedError    its bytes, or a pointer's, are not those that were written
    ├── AuditError       a built collection failed its audit; the alias was left where it was
    ├── UnusualError     a figure of the night is unusual; the night's work is done
    └── TransientError   the outside world failed in a way that a retry can help (network, locks)
        └── LeaseLostError  another machine has taken over what this one was doing

Stages raise these; entry points (the CLI, DAGs, the HTTP service) decide how to show them.
"""

import functools
from collections.abc import Callable


class RecsysError(Exception):
    """Base of all our errors.

    ``message`` says what was found and what was expected, ``fix`` what to do next. ``retryable`` tells
    the scheduler whether the same call can succeed later without anybody changing anything.
    """

    retryable = False

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  to fix: {self.fix}"

    def __reduce__(self) -> tuple[Callable[..., "RecsysError"], tuple[str]]:
        """Let it pass between processes."""
        return functools.partial(type(self), fix=self.fix), (self.message,)


class ConfigError(RecsysError):
    """A setting is wrong; nothing ran."""


class InputError(RecsysError):
    """Something a person gave us (a feed, a file, an id, an image) is wrong."""


class NotFoundError(InputError):
    """Nothing has the id that was asked for."""


class GuardError(RecsysError):
    """A guard stopped the run before harm; ``fix`` says how to override it."""


class ArtifactError(RecsysError):
    """An artifact is missing, incomplete or not what its manifest says."""


class DamagedError(ArtifactError):
    """The bytes of an artifact or a pointer are not those that were written."""


class AuditError(RecsysError):
    """A built collection failed its audit; the alias was left where it was."""


class UnusualError(RecsysError):
    """A figure of the night is unusual: an alarm, after the night's work is done."""


class TransientError(RecsysError):
    """The outside world failed in a way that a retry can help."""

    retryable = True


class LeaseLostError(TransientError):
    """Another machine has taken over what this one was doing."""
