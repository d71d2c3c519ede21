"""A watcher fires once for a new state, knows it after a restart, and never ends by itself."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import re
import shutil
import socket
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.airflow_names import AirflowOptionalProviderFeatureException
from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.triggers.documents import NewDocumentsTrigger
from dev.s3 import airflow_connection
from tests.arrivals.conftest import LIMIT, OldStateStore, StateStore, watching
from tests.tries import reborn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.storage.conftest import S3Store

    Write = Callable[..., None]

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")

on_airflow_3 = pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 has no asset watchers")


@pytest.mark.skipif(not IS_AIRFLOW_2, reason="on Airflow 3 it works")
def test_airflow_2_says_what_it_needs() -> None:
    """The module is imported, and the DAG has an error that tells what to do instead."""
    with pytest.raises(AirflowOptionalProviderFeatureException, match=r"Airflow 3.*schedule"):
        NewDocumentsTrigger(source="/in/")


async def until(ready: Callable[[], Any]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(LIMIT):
        while not ready():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)


# --- arguments -----------------------------------------------------------------------------------


@on_airflow_3
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"source": ""}, "source is empty"),
        ({"source": "s4://bucket/in/"}, "s4://bucket/in/ has a scheme that this Airflow does not"),
        ({"source": "wasb://c@in/"}, "Azure's scheme is abfs://"),
        ({"poll_interval": 0}, "poll_interval is 0; it must be a number of seconds above 0"),
        ({"poll_interval": timedelta(0)}, "poll_interval is datetime.timedelta(0)"),
        ({"poll_interval": float("nan")}, "poll_interval is nan"),
        ({"poll_interval": "often"}, "poll_interval is 'often'"),
        ({"poll_interval": True}, "poll_interval is True"),
        ({"min_age": -1}, "min_age is -1; it must be a number of seconds of at least 0"),
    ],
    ids=str,
)
def test_wrong_argument_is_an_error_of_the_dag(arguments: Any, expected: str) -> None:
    """What is wrong is named when the DAG file is parsed."""
    with pytest.raises(ParameterError, match=re.escape(expected)):
        NewDocumentsTrigger(**{"source": "/in/", **arguments})


@on_airflow_3
@pytest.mark.long
def test_scheme_that_is_gone_does_not_end_the_triggerer(caplog: pytest.LogCaptureFixture) -> None:
    """A triggerer makes watchers in its event loop, where an error would end it with all others."""
    trigger = NewDocumentsTrigger(source="/in/")
    trigger.source = "s4://bucket/in/"  # as one whose package was removed since

    async def watch() -> None:
        async with watching(trigger) as watcher:
            assert "s4://bucket/in/" == watcher.trigger.source
            await until(lambda: "a scheme that this Airflow does not know" in caplog.text)

    asyncio.run(watch())


@on_airflow_3
def test_arguments_survive_the_database(place: Path) -> None:
    """The triggerer makes the same watcher from them; Airflow compares them by their JSON."""
    trigger = NewDocumentsTrigger(
        source=[place, "s3://c@bucket/in/*.docx"], poll_interval=timedelta(minutes=5), min_age=30
    )

    name, arguments = trigger.serialize()

    assert "airflow_provider_convertapi.triggers.documents.NewDocumentsTrigger" == name
    expected = {
        "source": [str(place), "s3://c@bucket/in/*.docx"],
        "poll_interval": 300.0,
        "min_age": 30.0,
    }
    assert expected == arguments == json.loads(json.dumps(arguments))
    assert trigger.serialize() == reborn(trigger).serialize()


@on_airflow_3
def test_asset_watcher_takes_it(place: Path) -> None:
    """Airflow accepts it as the trigger of a watcher."""
    from airflow.sdk import Asset, AssetWatcher

    watcher = AssetWatcher(name="arrivals", trigger=NewDocumentsTrigger(source=place))

    assert [watcher] == Asset("documents", watchers=[watcher]).watchers


# --- events --------------------------------------------------------------------------------------


@on_airflow_3
def test_one_event_for_a_new_state(place: Path, write: Write) -> None:
    """An empty place is none, several files are one, and a removal is none."""

    async def watch() -> None:
        async with watching(place) as watcher:
            assert [] == await watcher.look()
            write("a.docx")
            [first] = await watcher.look()
            write("b.docx", "c.docx")
            seen = await watcher.look()
            assert 3 == sum(event["new"] for event in seen)
            assert 3 == seen[-1]["files"]
            (place / "a.docx").unlink()
            assert len(seen) == len(await watcher.look())
            assert {"source": str(place), "files": 1, "new": 1, "state": first["state"]} == first

    asyncio.run(watch())
    assert {"b.docx", "c.docx"} == {file.name for file in place.iterdir()}


@on_airflow_3
def test_payload_is_small_and_shows_no_secret(write: Write, place: Path) -> None:
    """It is stored unencrypted: no names of files, no password."""
    write(*(f"{number}.docx" for number in range(300)))

    async def watch() -> Any:
        async with watching(f"local://me:sesame@{place}") as watcher:
            [event] = await watcher.look()
            return event

    event = asyncio.run(watch())
    text = json.dumps(event)
    assert len(text) < 600
    assert "sesame" not in text
    assert ".docx" not in text
    assert 300 == event["files"] == event["new"]


@on_airflow_3
def test_run_yields_the_same_events(place: Path, write: Write) -> None:
    """Before Airflow 3.3 the triggerer calls `run`."""
    write("a.docx")
    trigger = reborn(NewDocumentsTrigger(source=place, poll_interval=0.02))

    async def watch() -> None:
        events = trigger.run()
        async with asyncio.timeout(LIMIT):
            assert 1 == (await anext(events)).payload["new"]
            write("b.docx")
            assert 1 == (await anext(events)).payload["new"]
        await events.aclose()  # type: ignore[attr-defined]

    asyncio.run(watch())


# --- restarts ------------------------------------------------------------------------------------


@on_airflow_3
@pytest.mark.parametrize("make_store", [StateStore, OldStateStore], ids=["3.3.2", "3.3.0"])
def test_restart_knows_what_it_saw(place: Path, write: Write, make_store: Any) -> None:
    """What happened meanwhile is found; what did not change starts nothing."""
    store = make_store()
    write("a.docx")

    async def watch() -> list[Any]:
        async with watching(place, store) as watcher:
            return await watcher.look()

    assert 1 == len(asyncio.run(watch()))
    assert [] == asyncio.run(watch())
    write("b.docx")
    (place / "a.docx").unlink()
    [event] = asyncio.run(watch())
    assert (1, 1) == (event["files"], event["new"])
    (place / "b.docx").unlink()
    assert [] == asyncio.run(watch())


@on_airflow_3
def test_unchanged_state_is_not_stored_again(place: Path, write: Write) -> None:
    """A look at an unchanged place does not write to Airflow's database."""
    store = StateStore()
    write("a.docx")

    async def watch() -> None:
        async with watching(place, store) as watcher:
            await watcher.look(5)

    asyncio.run(watch())
    asyncio.run(watch())
    assert 1 == store.writes


@on_airflow_3
def test_without_a_store_a_restart_fires_again(place: Path, write: Write) -> None:
    """Nothing is lost: the run that is one too many is free by the manifest."""
    write("a.docx")

    async def watch() -> list[Any]:
        async with watching(place) as watcher:
            return await watcher.look()

    assert [1, 1] == [len(asyncio.run(watch())) for _ in range(2)]


@on_airflow_3
def test_two_sources_of_one_asset_are_kept_apart(tmp_path: Path) -> None:
    """Two watchers of an asset do not overwrite what the other one knows."""
    store = StateStore()
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.docx").write_text(name)

    async def watch() -> list[int]:
        async with (
            watching(tmp_path / "north", store) as one,
            watching(tmp_path / "south", store) as two,
        ):
            return [len(await one.look()), len(await two.look())]

    assert [1, 1] == asyncio.run(watch())
    assert [0, 0] == asyncio.run(watch())


@on_airflow_3
def test_several_assets_are_watched_from_memory(
    place: Path, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow's own store raises where one trigger watches several assets."""
    context = pytest.importorskip("airflow.sdk.execution_time.context")
    if not hasattr(context, "AssetStateStoreAccessors"):
        pytest.skip("this Airflow has no state store")
    from airflow.sdk import Asset

    caplog.set_level(logging.INFO)
    store = context.AssetStateStoreAccessors([Asset("one"), Asset("two")])

    async def watch() -> list[Any]:
        async with watching(place, store) as watcher:
            write("a.docx")
            return await watcher.look(4)

    assert 1 == len(asyncio.run(watch()))
    assert 1 == caplog.text.count("kept in memory only")


# --- trouble -------------------------------------------------------------------------------------


@on_airflow_3
def test_missing_directory_is_tried_again(
    place: Path, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, and the watcher goes on when the directory is there."""
    caplog.set_level(logging.INFO)
    moved = place.with_name("moved")
    write("a.docx")

    async def watch() -> None:
        async with watching(place) as watcher:
            assert 1 == len(await watcher.look())
            shutil.move(place, moved)
            await until(lambda: "cannot be listed" in caplog.text)
            await asyncio.sleep(0.2)  # some more attempts
            assert 1 == len(watcher.events)
            shutil.move(moved, place)
            assert 1 == len(await watcher.look()), "the files are those that it knows"

    asyncio.run(watch())
    assert 1 == caplog.text.count("cannot be listed, and is tried again: InputNotFoundError")
    # A busy machine may also be told that a listing does not end, and that it did.
    assert 1 == caplog.text.count(f"No longer: {place} cannot be listed")
    assert "Traceback" not in caplog.text


@on_airflow_3
@pytest.mark.long
def test_listing_that_hangs_is_told_and_not_begun_twice(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes the request and never answers: the log says so, and the watcher waits."""
    with socket.create_server(("127.0.0.1", 0)) as store:
        url = f"http://127.0.0.1:{store.getsockname()[1]}"
        monkeypatch.setenv("AIRFLOW_CONN_HANGS", airflow_connection(url))
        store.setblocking(False)
        taken: list[socket.socket] = []

        async def take() -> None:
            while True:
                taken.append((await asyncio.get_running_loop().sock_accept(store))[0])

        async def watch() -> None:
            taking = asyncio.create_task(take())
            async with watching("s3://hangs@bucket/in/") as watcher:
                await until(lambda: "does not end" in caplog.text)
                await asyncio.sleep(0.5)  # more than two further limits
                assert not watcher.events
            taking.cancel()

        asyncio.run(watch())
        for connection in taken:
            connection.close()
    assert 1 == len(taken)
    assert 1 == caplog.text.count(
        "The listing of s3://hangs@bucket/in/ does not end, and no other one is begun: TimeoutError"
    )


@on_airflow_3
def test_state_that_cannot_be_read_or_kept(
    place: Path, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """An API server that does not answer for a while ends no watcher, and loses no file."""
    store = StateStore()
    write("a.docx")

    async def watch(broken: int) -> list[Any]:
        store.broken = broken
        async with watching(place, store) as watcher:
            return list(await watcher.look(broken + 2))

    assert 1 == len(asyncio.run(watch(3)))
    assert 1 == caplog.text.count("RuntimeError: the API server does not answer")
    assert [] == asyncio.run(watch(0))
    write("b.docx")

    async def break_while_it_keeps() -> None:
        async with watching(place, store) as watcher:
            assert 1 == len(await watcher.look())
            store.broken = 3
            write("c.docx")
            assert 2 == len(await watcher.look(6))

    asyncio.run(break_while_it_keeps())
    assert [] == asyncio.run(watch(0))


@on_airflow_3
@pytest.mark.long
def test_fixed_connection_is_used(
    s3_store: S3Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow keeps a file system while its process runs; a triggerer runs for weeks."""
    good = json.loads(os.environ["AIRFLOW_CONN_S3_TEST"])
    dead = {**good, "extra": {**good["extra"], "endpoint_url": "http://127.0.0.1:9"}}
    dead["extra"]["config_kwargs"] = {"retries": {"max_attempts": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_S3_FIXED", json.dumps(dead))
    s3_store.write("a.docx", b"a")
    source = s3_store.uri.replace("s3_test@", "s3_fixed@")

    async def watch() -> None:
        async with watching(source) as watcher:
            await until(lambda: "cannot be listed" in caplog.text)
            monkeypatch.setenv("AIRFLOW_CONN_S3_FIXED", json.dumps(good))
            assert 1 == len(await watcher.look(1))

    asyncio.run(watch())


# --- Airflow's own shared streams ----------------------------------------------------------------


class Triggerer:
    """What Airflow's triggerer does with watchers: its shared streams, without a database."""

    def __init__(self) -> None:
        from airflow.triggers.shared_stream import SharedStreamManager

        self.streams = SharedStreamManager()
        self.events: list[tuple[int, Any, int | None]] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def start(self, trigger_id: int, trigger: Any, store: Any = None) -> None:
        """Run a watcher."""
        trigger.asset_state_store = store
        self.tasks[trigger_id] = asyncio.create_task(self._run(trigger_id, trigger))

    async def _run(self, trigger_id: int, trigger: Any) -> None:
        key = trigger.shared_stream_key()
        stream = self.streams.subscribe(trigger_id=trigger_id, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(stream):
                seq = self.streams.bind_pending_event(trigger_id=trigger_id, key=key)
                self.events.append((trigger_id, event.payload, seq))
        finally:
            await self.streams.unsubscribe(trigger_id, key)

    def confirm(self) -> None:
        """Say that the database has all events."""
        self.streams.confirm_persisted([seq for *_, seq in self.events if seq is not None])

    async def kill(self) -> None:
        """End everything."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.wait(self.tasks.values())
        await self.streams.stop_all()


@pytest.fixture
def _shares() -> None:
    pytest.importorskip("airflow.triggers.shared_stream", reason="Airflow before 3.3")


@on_airflow_3
@pytest.mark.usefixtures("_shares")
def test_state_is_stored_once_airflow_has_the_event(place: Path, write: Write) -> None:
    """A triggerer that is killed between event and database fires again: no file is lost."""
    store = StateStore()
    write("a.docx")

    async def killed(*, is_confirmed: bool) -> list[Any]:
        triggerer = Triggerer()
        triggerer.start(1, NewDocumentsTrigger(source=place, poll_interval=0.02), store)
        await until(lambda: triggerer.events)
        if is_confirmed:
            triggerer.confirm()
            await until(lambda: store.writes)
        await triggerer.kill()
        return [payload["new"] for _, payload, _ in triggerer.events]

    assert [1] == asyncio.run(killed(is_confirmed=False))
    assert {} == store.values
    assert [1] == asyncio.run(killed(is_confirmed=True))
    assert 1 == store.writes
    write("b.docx")
    assert [1] == asyncio.run(killed(is_confirmed=True))


@on_airflow_3
@pytest.mark.usefixtures("_shares")
def test_watchers_of_one_place_share_a_listing(place: Path, write: Write) -> None:
    """One stream for both; each has its own `min_age`, its own state and its own events."""
    looks = 0

    class Counting(NewDocumentsTrigger):
        """Count the listings; Airflow asks the class for them."""

        @classmethod
        def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> Any:
            producer = super().create_shared_stream_producer(kwargs)
            opened = producer.open_stream

            async def counted() -> AsyncIterator[Any]:
                nonlocal looks
                async for item in opened():
                    looks += 1
                    yield item

            producer.open_stream = counted  # type: ignore[method-assign]
            return producer

    one = Counting(source=place, poll_interval=3600)
    two = Counting(source=place, poll_interval=3600, min_age=3600)
    stores = StateStore(), StateStore()
    write("a.docx")

    async def watch() -> list[int]:
        triggerer = Triggerer()
        for number, (trigger, store) in enumerate(zip((one, two), stores, strict=True)):
            triggerer.start(number, trigger, store)
        await until(lambda: triggerer.events)
        triggerer.confirm()
        await until(lambda: all(store.writes for store in stores))
        await triggerer.kill()
        return [number for number, *_ in triggerer.events]

    assert one.shared_stream_key() == two.shared_stream_key()
    assert [0] == asyncio.run(watch()), "the file is too young for the other one"
    assert 1 == looks


@on_airflow_3
def test_other_places_share_nothing(place: Path) -> None:
    """Another source or another interval is another listing."""
    keys = {
        NewDocumentsTrigger(source=source, poll_interval=interval).shared_stream_key()
        for source in (place, [place], f"{place}/*.docx")
        for interval in (1, 2)
    }

    assert 6 == len(keys)
    assert keys == pickle.loads(pickle.dumps(keys))
