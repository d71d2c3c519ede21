"""The trigger that watches for new documents, for `AssetWatcher` on Airflow 3."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, fields
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from airflow_provider_convertapi.airflow_names import AirflowOptionalProviderFeatureException

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Hashable,
        Iterator,
        Sequence,
    )

    from airflow.triggers.base import BaseEventTrigger, TriggerEvent
    from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

    from airflow_provider_convertapi.batch.arrivals import Listing, Seen
    from airflow_provider_convertapi.conversions.arguments import PathArgument, Seconds
else:
    # Imported at once, since Airflow loads it anyway to check the trigger of an `AssetWatcher`.
    from airflow.triggers.base import BaseTrigger, TriggerEvent

    try:
        from airflow_provider_convertapi.airflow_names import BaseEventTrigger
    except ImportError:  # Airflow 2
        BaseEventTrigger = BaseTrigger
    try:
        from airflow_provider_convertapi.airflow_names import SharedStreamProducer
    except ImportError:  # Airflow before 3.3
        SharedStreamProducer = object

__all__ = ["NewDocumentsTrigger"]

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 600.0
"""The longest time in seconds between two attempts to list a source that cannot be listed, and
between two log lines about the same error."""

_SLOW = 10
"""Poll intervals, or `_LONGEST_PAUSE` if that is less, after which the log warns that a listing may
never end."""

_LONGEST_HOLD = 10.0
"""The longest time in seconds for which a listing disables the garbage collector."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(kw_only=True, eq=False, repr=False)
class NewDocumentsTrigger(BaseEventTrigger):
    """Fire when documents arrive in a directory, a glob or a bucket prefix, or change there.

    It is the trigger of an `AssetWatcher`, for Airflow 3.  It fires once for each new state of the
    source, whatever the number of new files, but not if nothing changed or files were only removed.
    The files stay where they are.  They are listed by the rules of `ConvertApiBatchOperator`:
    hidden files and ``_convertapi/`` are left out.

    From Airflow 3.3 on, the known files are kept in the asset's state store, and watchers of one
    source with one `poll_interval` share their listings.  Before 3.3, or if one trigger watches
    several assets, they are kept in memory: a triggerer that restarts fires once more, and a batch
    then finds the files in its manifest and pays nothing.

    The event's payload holds `source`, `files` (their number), `new` (how many of them are new or
    changed) and `state`, a digest.

    An error of a listing is logged, and the listing is repeated after growing pauses of up to ten
    minutes.  `ParameterError` for wrong arguments; `AirflowOptionalProviderFeatureException` on
    Airflow 2, which has no asset watchers.

    :param source: a directory, a glob, a bucket prefix, or a list of those. It is not templated.
    :param poll_interval: seconds between two listings.
    :param min_age: leave out files that were written less than this many seconds ago, because they
        may still be incomplete.
    """

    source: PathArgument | Sequence[PathArgument]
    poll_interval: Seconds = 60
    min_age: Seconds = 0

    def __post_init__(self) -> None:
        if not hasattr(BaseEventTrigger, "hash"):
            raise AirflowOptionalProviderFeatureException(
                "NewDocumentsTrigger needs Airflow 3, which has asset watchers. On Airflow 2 give "
                "the DAG a schedule: a batch converts only what is new."
            )
        from airflow_provider_convertapi.batch.arrivals import check_watched
        from airflow_provider_convertapi.conversions.values import seconds

        super().__init__()  # type: ignore[no-untyped-call] # Airflow's own has no types
        # An error here would end a triggerer with all its triggers: Airflow catches only TypeErrors
        # (`create_triggers` in `airflow/jobs/triggerer_job_runner.py`). If an upgrade has removed
        # the package of a scheme, `check_watched` must not raise, and the log reports it later.
        self.source = check_watched(self.source, has_airflow=not _is_in_event_loop())
        self.poll_interval = seconds("poll_interval", self.poll_interval)
        self.min_age = seconds("min_age", self.min_age, 0)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments as JSON values."""
        cls = type(self)
        arguments = {item.name: getattr(self, item.name) for item in fields(self)}
        return f"{cls.__module__}.{cls.__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each new state; Airflow before 3.3 calls it."""
        arguments = self.serialize()[1]
        async with aclosing(self.open_shared_stream(arguments)) as looks:
            async for event in self.filter_shared_stream(looks):
                yield event

    def shared_stream_key(self) -> Hashable | None:
        """Return a key that is equal for watchers that share their listings."""
        # Without `min_age`, which each watcher applies itself to the shared listing.
        return (self.serialize()[0], str(self.source), self.poll_interval)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[Any, None]:
        """Yield listings for ever; when one was processed, let the watchers store its state."""
        async for look in _looks(kwargs["source"], kwargs["poll_interval"]):
            yield look
            await look.keep()

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return the same for a triggerer that reports when the events of a listing are stored."""
        return _Looks(kwargs["source"], kwargs["poll_interval"])

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Any]
    ) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each listing that shows something new to this watcher."""
        from airflow_provider_convertapi.batch.arrivals import compare

        memory, least = _Memory(self), cast("float", self.min_age)
        trouble = _Trouble(f"The watcher of {self._place} does not work")
        async for look in shared_stream:
            try:
                known = await memory.recall()
                seen, new = await _in_thread(compare, look.listing, least, known)
            except Exception as error:  # noqa: BLE001 - it would end the watcher
                trouble.log(error)
                continue
            trouble.end()
            if new:
                yield TriggerEvent(
                    {"source": self._place, "files": seen.files, "new": new, "state": seen.digest}
                )
            # Only after the event: a triggerer that is killed before it fires again.
            memory.known = seen
            look.keepers.append(partial(memory.keep, seen))

    @property
    def _place(self) -> str:
        return _shown(self.source)


@dataclass(eq=False)
class _Look:
    """A listing, with a callback of each watcher for when its event can no longer be lost."""

    listing: Listing
    keepers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def keep(self) -> None:
        for keeper in self.keepers:
            await keeper()


async def _looks(source: Any, poll_interval: float) -> AsyncGenerator[_Look, None]:
    """List a source for ever; errors are logged, and the listing is repeated."""
    from airflow_provider_convertapi.batch.arrivals import list_place

    _spare_what_is_loaded("before the first listing")
    trouble = _Trouble(f"{_shown(source)} cannot be listed, and is tried again")
    patience = min(_SLOW * poll_interval, _LONGEST_PAUSE)
    pause = poll_interval
    while True:
        try:
            with _collecting_nothing():
                listing = _in_thread(list_place, source)
                look = _Look(await _warning_of_delay(listing, _shown(source), patience))
        except Exception as error:  # noqa: BLE001 - it would end the watcher
            trouble.log(error)
            await asyncio.sleep(pause)
            pause = max(poll_interval, min(2 * pause, _LONGEST_PAUSE))
        else:
            _spare_what_is_loaded("after it")  # it has loaded the store's library
            trouble.end()
            pause = poll_interval
            yield look
            await asyncio.sleep(pause)


async def _warning_of_delay(listing: Awaitable[Listing], place: str, patience: float) -> Listing:
    """Wait for a listing without a limit: a second one beside it would only make matters worse.

    :param patience: seconds after which a warning is logged, repeatedly.
    """
    trouble = _Trouble(f"The listing of {place} does not end, and no other one is begun")
    waits = asyncio.ensure_future(listing)
    try:
        while not (await asyncio.wait({waits}, timeout=patience))[0]:
            trouble.log(TimeoutError("the store may hang; a triggerer that restarts begins anew"))
    finally:
        waits.cancel()  # no effect on a listing that has ended
    trouble.end()
    return waits.result()


class _Looks(SharedStreamProducer):
    """Listings for all watchers of a source.

    Airflow calls `advance` when the events of a listing are in the database.
    """

    def __init__(self, source: Any, poll_interval: float) -> None:
        self._looks = partial(_looks, source, poll_interval)

    async def open_stream(self) -> AsyncIterator[tuple[_Look, _Look]]:
        async for look in self._looks():
            yield look, look

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        # An error here would end all watchers of the source (`airflow/triggers/shared_stream.py`),
        # so `_Memory.keep` raises none.
        for item in batch:
            if not item.outcome.failed:  # after a failure a watcher's event may have been lost
                await item.broker_payload.keep()


class _Memory:
    """The files that a watcher knows, in memory and in the asset's state store, if any."""

    def __init__(self, trigger: NewDocumentsTrigger) -> None:
        self.known: Seen | None = None
        self._kept: Seen | None = None
        self._was_read = False
        self._store: Any = getattr(trigger, "asset_state_store", None)  # from Airflow 3.3 on
        self._key = f"convertapi-{hashlib.sha256(str(trigger.source).encode()).hexdigest()[:16]}"
        self._trouble = _Trouble(f"What the watcher of {_shown(trigger.source)} knows is not kept")

    async def recall(self) -> Seen | None:
        """Return the known files; they are read from the store once."""
        if self._store is not None and not self._was_read:
            from airflow_provider_convertapi.batch.arrivals import Seen

            try:
                kept = await self._ask("get", self._key)
            except ValueError as error:  # the trigger watches several assets, so no store is chosen
                _log.info("What is known of the files is kept in memory only: %s", error)
                self._store = kept = None
            self.known = self._kept = Seen.from_json(kept)
        self._was_read = True
        return self.known

    async def keep(self, seen: Seen) -> None:
        """Store the known files, if they changed; a failure only causes an extra event later."""
        is_kept = self._kept is not None and self._kept.digest == seen.digest
        if self._store is None or is_kept:
            return
        try:
            await self._ask("set", self._key, seen.as_json())
        except Exception as error:  # noqa: BLE001 - it would end the watcher
            self._trouble.log(error)
        else:
            self._kept = seen
            self._trouble.end()

    async def _ask(self, method: str, *arguments: Any) -> Any:
        """Call the store; Airflow 3.3.0 has no asynchronous methods."""
        if hasattr(self._store, f"a{method}"):
            return await getattr(self._store, f"a{method}")(*arguments)
        return await _in_thread(getattr(self._store, method), *arguments)


class _Trouble:
    """Log recurring errors, each kind at most once in ten minutes.

    :param what: what does not work.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._kind: type[Exception] | None = None
        self._logged = 0.0
        self._is_known = False

    def log(self, error: Exception) -> None:
        """Log an error, unless the same kind was logged recently."""
        from airflow_provider_convertapi.api.redaction import shown
        from airflow_provider_convertapi.surroundings import surroundings

        now = surroundings().clock.monotonic()
        if type(error) is self._kind and now < self._logged + _LONGEST_PAUSE:
            return
        self._kind, self._logged, self._is_known = type(error), now, True
        reason = shown(str(error).partition("\n")[0])
        _log.warning("%s: %s: %s", self._what, type(error).__name__, reason)

    def end(self) -> None:
        """Log that the trouble is over, if its beginning was logged."""
        if self._is_known:
            _log.info("No longer: %s.", self._what)
        self._is_known = False


async def _in_thread(function: Callable[_P, _R], /, *arguments: _P.args, **named: _P.kwargs) -> _R:
    """Run a blocking function in a separate thread, so that a store that hangs delays nothing else.

    With asgiref, its requests to Airflow, such as for a connection, are answered by this event
    loop.
    """
    from asgiref.sync import sync_to_async

    pool = ThreadPoolExecutor(1, "convertapi-watcher")
    try:
        in_pool = sync_to_async(function, thread_sensitive=False, executor=pool)
        return await in_pool(*arguments, **named)
    finally:
        pool.shutdown(wait=False)


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Disable Python's garbage collector while a listing is read, but not for long.

    The objects of a listing are freed without it.  The collector would keep a page's objects for
    long-lived ones, and after enough pages scan all objects of the process, which blocks the event
    loop: for 0.11 s in a triggerer with a million objects (measured).
    """
    if not gc.isenabled():  # another listing, or the user, has disabled it
        yield
        return
    gc.disable()
    end = asyncio.get_running_loop().call_later(_LONGEST_HOLD, gc.enable)
    try:
        yield
    finally:
        end.cancel()
        gc.enable()


@cache
def _spare_what_is_loaded(moment: str) -> None:  # noqa: ARG001 - at each moment once in a process
    """Make Python's garbage collector skip all objects that are loaded, as Airflow's executors do.

    A listing of thousands of files makes it scan all objects of the process, which blocks the event
    loop for 0.14 s, and without the loaded ones for 0.04 s at most (measured).
    """
    gc.freeze()


def _is_in_event_loop() -> bool:
    """Tell whether a triggerer creates the trigger, in its event loop, and not a DAG file."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _shown(source: Any) -> str:
    """Return a source without secrets, with a limited length."""
    from airflow_provider_convertapi.storage import shown

    first, *others = [source] if isinstance(source, str) else source
    return shown(first)[:500] + (f" and {len(others)} more" if others else "")
