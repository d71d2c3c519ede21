"""What a batch converts, night after night, and what it does not pay for again."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_convertapi.errors import (
    BatchFailedError,
    BudgetExceededError,
    InputNotFoundError,
    ParameterError,
    TransientBatchFailedError,
)
from tests.batch.test_several import write_pages
from tests.tries import TaskInstance, execute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.batch.nights import Night


def test_second_night_pays_for_nothing(night: Night) -> None:
    """An unchanged folder costs nothing and makes no request."""
    night.write("a.txt", "sub/b.txt")
    first = night.run(TaskInstance(run_id="one"))
    asked = len(night.sandbox.requests)

    second = night.run(TaskInstance(run_id="two"))

    assert {"converted": 2, "reused": 0, "cost": 2}.items() <= first.items()
    assert {"converted": 0, "reused": 2, "cost": 0}.items() <= second.items()
    assert ["a.pdf", "sub/b.pdf"] == night.outputs()
    assert asked == len(night.sandbox.requests)
    assert 2 == night.sandbox.billed


@pytest.fixture
def touched() -> Iterator[list[tuple[str, str]]]:
    """Provide the files that this process lists and opens, as audit events: event and path."""
    seen: list[tuple[str, str]] = []
    listening = True

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event in {"open", "os.listdir", "os.scandir"}:
            seen.append((event, str(arguments[0]).rstrip("/")))

    sys.addaudithook(note)  # for the life of the process: afterwards it notes nothing
    yield seen
    listening = False


def test_second_night_lists_each_directory_once(
    night: Night, touched: list[tuple[str, str]]
) -> None:
    """An unchanged folder is listed once, directory by directory, and none of its files opened."""
    night.write("a.txt", "one/b.txt", "one/deep/c.txt", "two/d.txt", "two/e.txt")
    night.run(TaskInstance(run_id="one"))
    asked = len(night.sandbox.requests)
    touched.clear()

    night.run(TaskInstance(run_id="two"))

    below = [(event, path) for event, path in touched if path.startswith(str(night.source))]
    places = [night.source / name for name in ("", "one", "one/deep", "two")]
    assert [("os.scandir", str(place)) for place in places] == below
    assert asked == len(night.sandbox.requests)


def test_nothing_is_left_at_the_service(night: Night) -> None:
    """Documents and uploads are deleted once the manifest has their records."""
    night.write("a.txt")
    (night.source / "large.txt").write_bytes(bytes(1024 * 1024 + 1))

    night.run(to_format="zip")

    assert 1 == len(night.sandbox.requests.filter(method="POST", path="/upload"))
    assert {} == night.sandbox.files


def test_new_changed_and_missing_files_are_converted(night: Night) -> None:
    """The next night converts three files of four."""
    night.write("same.txt", "changed.txt", "missing.txt")
    night.run(TaskInstance(run_id="one"))
    night.write("new.txt")
    night.write("changed.txt", text="Hello again, and more of it.\n")
    (night.out / "missing.pdf").unlink()

    summary = night.run(TaskInstance(run_id="two"))

    assert {"converted": 3, "reused": 1}.items() <= summary.items()
    assert 6 == night.sandbox.billed


def test_output_that_was_moved_away_is_ignored(night: Night) -> None:
    """`on_missing_output="ignore"` is for outputs that are moved away."""
    night.write("a.txt")
    night.run(TaskInstance(run_id="one"))
    (night.out / "a.pdf").unlink()

    summary = night.run(TaskInstance(run_id="two"), on_missing_output="ignore")

    assert 1 == summary["reused"]
    assert [] == night.outputs()


def test_output_of_another_size_is_made_anew(night: Night) -> None:
    """A truncated output does not count as present, whatever the reason."""
    night.write("a.txt")
    night.run(TaskInstance(run_id="one"))
    whole = (night.out / "a.pdf").read_bytes()
    (night.out / "a.pdf").write_bytes(whole[:100])

    summary = night.run(TaskInstance(run_id="two"))

    assert 1 == summary["converted"]
    assert whole[:5] == (night.out / "a.pdf").read_bytes()[:5]
    assert 100 < (night.out / "a.pdf").stat().st_size


def test_file_that_nobody_of_ours_wrote_is_spared(night: Night) -> None:
    """A foreign file in the way fails only that file, before anything is paid.

    The message must not advise `overwrite`, which would pay for the whole folder again.
    """
    night.write("a.txt", "b.txt")
    night.out.mkdir()
    (night.out / "a.pdf").write_text("mine")

    with pytest.raises(BatchFailedError, match=r"a\.pdf exists and is not ours") as failed:
        night.run()

    assert "Move it away, and the next run converts the file" in str(failed.value)
    assert "or set overwrite" not in str(failed.value)
    assert "mine" == (night.out / "a.pdf").read_text()
    assert {"a.pdf": "failed", "b.pdf": "converted"} == night.outcomes()
    assert 1 == night.sandbox.billed


def test_overwrite_ignores_records_of_other_runs(night: Night) -> None:
    """`overwrite=True` with another key converts and pays everything again; a retry does not."""
    night.write("a.txt")
    night.run(TaskInstance(run_id="one"))

    summary = night.run(TaskInstance(run_id="two"), overwrite=True, conversion_key="2")
    again = night.run(TaskInstance(2, run_id="two"), overwrite=True, conversion_key="2")

    assert 1 == summary["converted"]
    assert 1 == again["reused"]
    assert 2 == night.sandbox.billed


def test_parameters_are_part_of_what_is_remembered(night: Night) -> None:
    """Other parameters convert again; their values are not in the manifest."""
    write_pages(night, "a.pdf", 100)

    def run(run_id: str, password: str) -> dict[str, Any]:
        parameters = {"UserPassword": password}
        return night.run(TaskInstance(run_id=run_id), to_format="protect", parameters=parameters)

    run("one", "correct horse")
    same = run("two", "correct horse")
    other = run("three", "battery staple")

    assert 1 == same["reused"]
    assert 1 == other["converted"]
    written = b"".join(path.read_bytes() for path in (night.out / "_convertapi").rglob("*.jsonl"))
    assert b"correct" not in written
    assert b"staple" not in written


def test_hopeless_file_is_paid_once(night: Night) -> None:
    """A file with its own verdict fails the task without a retry, and costs once."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail("POST /async/convert/*", verdict=5002, times=1)

    with pytest.raises(BatchFailedError) as first:
        night.run(TaskInstance(run_id="one"), max_in_flight=1)
    with pytest.raises(BatchFailedError, match="known from earlier, nothing paid") as second:
        night.run(TaskInstance(run_id="two"))

    assert "AirflowFailException" in {cls.__name__ for cls in type(first.value).__mro__}
    assert "AirflowFailException" in {cls.__name__ for cls in type(second.value).__mro__}
    assert 2 == night.sandbox.billed
    assert ["converted", "failed"] == sorted(night.outcomes().values())
    [failure] = [record for record in night.records() if record.outcome == "failed"]
    assert (5002, True, 1) == (failure.code, failure.bars, failure.cost)


def test_hopeless_file_is_paid_again_when_asked_or_changed(night: Night) -> None:
    """`retry_failed` pays once more, and only once; a new version of the file is always paid."""
    night.write("a.txt")
    night.sandbox.fail("POST /async/convert/*", verdict=5002, times=2)

    with pytest.raises(BatchFailedError):
        night.run(TaskInstance(run_id="one"))
    with pytest.raises(BatchFailedError):
        night.run(TaskInstance(run_id="two"), retry_failed=True)
    with pytest.raises(BatchFailedError):
        night.run(TaskInstance(2, 1, run_id="two"), retry_failed=True, retries=1)
    assert 2 == night.sandbox.billed
    night.write("a.txt", text="Fixed.\n")

    summary = night.run(TaskInstance(run_id="three"))

    assert 1 == summary["converted"]
    assert 3 == night.sandbox.billed


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
@pytest.mark.parametrize("status", [404, 405, 413])
def test_refusal_of_one_night_bars_nothing(night: Night, status: int, durable: bool) -> None:
    """A wrong host and a proxy's limit are not held against a file: the next run converts all."""
    night.write("a.txt", "b.txt")
    prefix = "/async" if durable else ""
    night.sandbox.fail(f"POST {prefix}/convert/*", status=status, times=None)
    with pytest.raises(BatchFailedError, match="in its next run") as failed:
        night.run(TaskInstance(run_id="one"), durable=durable)
    night.sandbox.clear_faults()

    summary = night.run(TaskInstance(run_id="two"), durable=durable)

    assert {"converted": 2, "cost": 2}.items() <= summary.items()
    assert "billed" not in str(failed.value)


@pytest.mark.parametrize("status", [400, 415])
def test_refused_file_is_not_asked_for_again(night: Night, status: int) -> None:
    """A verdict on a file and its parameters stays valid until one of them changes."""
    night.write("a.txt")
    night.sandbox.fail("POST /async/convert/*", status=status, times=1)
    with pytest.raises(BatchFailedError):
        night.run(TaskInstance(run_id="one"))

    with pytest.raises(BatchFailedError, match="nothing paid"):
        night.run(TaskInstance(run_id="two"))

    assert 1 == len([entry for entry in night.sandbox.requests if entry.method == "POST"])


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "direct"])
def test_larger_timeout_lifts_what_ran_out_of_time(night: Night, durable: bool) -> None:
    """The second attempt had twice the time: with no longer `Timeout` it is not paid again."""
    night.write("a.txt")
    night.sandbox.fail("POST */convert/*", verdict=5000, times=2)
    given = {"durable": durable, "failure_policy": "never"}

    for number in (1, 2):
        night.run(TaskInstance(number, 1), parameters={"Timeout": 10}, **given)
    shorter = [
        night.run(TaskInstance(run_id=str(parameters)), parameters=parameters, **given)
        for parameters in ({"Timeout": 10}, {"Timeout": 20}, None)
    ]
    longer = night.run(TaskInstance(run_id="longer"), parameters={"Timeout": 21}, **given)

    assert [0, 0, 0] == [summary["cost"] for summary in shorter]
    assert {"converted": 1, "cost": 1}.items() <= longer.items()
    assert 3 == night.sandbox.billed


def test_passing_failure_is_worth_another_try(night: Night) -> None:
    """A transient verdict leaves the task to Airflow's retries; the next try pays for one more."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail("POST /async/convert/*", verdict=5008, times=1)

    with pytest.raises(TransientBatchFailedError) as failed:
        night.run(TaskInstance(1, 1))
    summary = night.run(TaskInstance(2, 1))

    assert "AirflowFailException" not in {cls.__name__ for cls in type(failed.value).__mro__}
    assert {"converted": 1, "reused": 1}.items() <= summary.items()
    assert 3 == night.sandbox.billed


@pytest.mark.parametrize(
    ("policy", "fails"),
    [
        pytest.param("any", True, id="any"),
        pytest.param("never", False, id="never"),
        pytest.param(0.25, False, id="share-not-reached"),
        pytest.param("0.2", True, id="share-as-text"),
    ],
)
def test_failure_policy_decides(night: Night, policy: str | float, fails: bool) -> None:
    """With any policy, every file is attempted, and the manifest says what happened to each."""
    night.write("a.txt", "b.txt", "c.txt", "d.txt")
    night.sandbox.fail("POST /async/convert/*", verdict=5002, times=1)

    if fails:
        with pytest.raises(BatchFailedError):
            night.run(failure_policy=policy)
    else:
        assert {"converted": 3, "failed": 1}.items() <= night.run(failure_policy=policy).items()

    assert ["converted"] * 3 + ["failed"] == sorted(night.outcomes().values())


def test_two_inputs_of_one_output_are_refused(night: Night) -> None:
    """A collision is found before anything is sent, and names both files."""
    night.write("a.txt", "a.md", "b.txt")

    with pytest.raises(ParameterError, match=r"a\.\w+ and a\.\w+ to a\.pdf"):
        night.run()

    assert [] == list(night.sandbox.requests)


def test_suffix_keeps_collisions_apart_for_ever(night: Night) -> None:
    """A file keeps its output name, whatever other files appear or disappear."""
    night.write("a.txt", "b.txt")
    night.run(TaskInstance(run_id="one"), on_collision="suffix")
    night.write("a.md")
    night.run(TaskInstance(run_id="two"), on_collision="suffix")
    (night.source / "a.txt").unlink()

    summary = night.run(TaskInstance(run_id="three"), on_collision="suffix")

    assert ["a.md.pdf", "a.pdf", "b.pdf"] == night.outputs()
    assert 2 == summary["reused"]
    assert 3 == night.sandbox.billed


def test_flat_list_keeps_equal_names_apart(night: Night) -> None:
    """Two files with one name in a list get a digest of their location; each is converted once."""
    night.write("x/a.txt", "y/a.txt")
    source = [str(night.source / "x/a.txt"), str(night.source / "y/a.txt")]

    night.run(source=[*source, source[0]], on_collision="suffix")

    assert 2 == len(night.outputs())
    assert all(name.startswith("a.txt-") for name in night.outputs())
    assert 2 == night.sandbox.billed


def test_equal_names_stay_apart_when_one_is_gone(night: Night) -> None:
    """A name with a digest is kept, and paid once, even if nothing collides with it any more."""
    night.write("x/a.txt", "y/a.txt")
    source = [str(night.source / "x/a.txt"), str(night.source / "y/a.txt")]
    night.run(TaskInstance(run_id="one"), source=source, on_collision="suffix")
    before = night.outputs()

    alone = night.run(TaskInstance(run_id="two"), source=source[:1], on_collision="suffix")

    assert {"reused": 1, "cost": 0}.items() <= alone.items()
    assert before == night.outputs()


def test_failed_file_of_an_equal_name_stays_known(night: Night) -> None:
    """The name of a failed file is kept, too: it is not paid again under another name."""
    night.write("x/a.txt", "y/a.txt")
    source = [str(night.source / "x/a.txt"), str(night.source / "y/a.txt")]
    given = {"on_collision": "suffix", "failure_policy": "never"}
    night.sandbox.fail("POST /async/convert/*", verdict=5002, times=2)
    night.run(TaskInstance(run_id="one"), source=source, **given)

    night.run(TaskInstance(run_id="two"), source=source[:1], **given)

    assert 2 == night.sandbox.billed


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param(["/", "/sub/"], id="directory-within-another"),
        pytest.param(["/sub/", "/s*/x.txt", "/a.txt"], id="globs"),
        pytest.param(["/", "/a.txt", "/sub/x.txt"], id="files-of-a-directory"),
        pytest.param(["/sub/x.txt", "/a.txt", "/"], id="files-first"),
    ],
)
def test_file_of_several_entries_is_one_input(night: Night, entries: list[str]) -> None:
    """A file in several entries of a list is converted and paid once, in one shard."""
    night.write("a.txt", "sub/x.txt")
    source = [f"{night.source}{entry}" for entry in entries]

    shards = [
        night.run(TaskInstance(map_index=index), source={"source": source, "shard": [index, 3]})
        for index in range(3)
    ]

    assert 2 == sum(summary["converted"] for summary in shards)
    assert 2 == len(night.outputs())
    assert 2 == night.sandbox.billed
    assert 2 == night.run(TaskInstance(run_id="two"), source=source)["reused"]


def test_listed_file_that_is_named_too_stays_an_input(night: Night) -> None:
    """A file that a list names is not left out as an output, even if a listing finds it as well."""
    night.write("a.txt", "a.pdf")

    with pytest.raises(ParameterError, match=r"a\.\w+ and a\.\w+ to a\.pdf"):
        night.run(
            source=[f"{night.source}/", str(night.source / "a.pdf")],
            destination=str(night.source),
            overwrite=True,
        )


def test_outputs_inside_the_source_are_no_inputs(night: Night) -> None:
    """The destination may be inside the source: its files and our records are never converted."""
    night.write("a.txt", "sub/b.txt")
    night.out = night.source / "converted"
    night.run(TaskInstance(run_id="one"))

    summary = night.run(TaskInstance(run_id="two"))

    assert {"converted": 0, "reused": 2}.items() <= summary.items()
    assert ["a.pdf", "sub/b.pdf"] == night.outputs()


def test_destination_may_be_the_source(night: Night) -> None:
    """Outputs next to their inputs are not taken for inputs, even before the manifest has them."""
    night.write("a.txt")
    night.out = night.source
    night.run(TaskInstance(run_id="one"))
    for part in (night.out / "_convertapi").rglob("*.jsonl"):
        part.unlink()  # as after a crash between publishing and recording

    summary = night.run(TaskInstance(run_id="two"))

    assert 1 == summary["converted"]
    assert ["a.pdf", "a.txt"] == night.outputs()
    assert 1 == night.sandbox.billed


@pytest.mark.parametrize("listed", [True, False])
def test_output_over_an_input_is_refused(night: Night, listed: bool) -> None:
    """A tool that keeps the format would overwrite its own input, so nothing is sent."""
    (night.source / "a.pdf").write_bytes(b"%PDF-")
    source = [str(night.source / "a.pdf")] if listed else str(night.source)

    with pytest.raises(ParameterError, match="an input is never overwritten"):
        night.run(source=source, to_format="protect", destination=str(night.source), overwrite=True)

    assert b"%PDF-" == (night.source / "a.pdf").read_bytes()
    assert [] == list(night.sandbox.requests)


def test_hidden_files_and_young_files_are_left_alone(night: Night) -> None:
    """Lock files of office programs, hidden files and files still being written are not inputs."""
    night.write("old.txt", "young.txt", "~$old.txt", ".hidden.txt", ".cache/x.txt")
    hour_ago = time.time() - 3600
    os.utime(night.source / "old.txt", (hour_ago, hour_ago))

    night.run(min_age=60)

    assert ["old.pdf"] == night.outputs()


def test_glob_chooses(night: Night) -> None:
    """A recursive glob mirrors paths below the directory before its first wildcard."""
    night.write("a.txt", "sub/b.txt", "sub/deep/c.txt", "sub/d.md")

    night.run(source=f"{night.source}/sub/**/*.txt")

    assert ["b.pdf", "deep/c.pdf"] == night.outputs()


def test_plan_only_sends_and_writes_nothing(night: Night) -> None:
    """The plan says what would be done, and the least it would cost."""
    night.write("a.txt", "b.txt")

    plan = night.run(plan_only=True)

    assert {"to_convert": 2, "reused": 0, "least_cost": 2}.items() <= plan.items()
    assert [] == list(night.sandbox.requests)
    assert not night.out.exists()


def test_budget_is_checked_before_anything_is_paid(night: Night) -> None:
    """A plan above `max_conversions` is refused; one within it runs."""
    night.write("a.txt", "b.txt", "c.txt")

    with pytest.raises(BudgetExceededError, match=r"3 file\(s\) .* max_conversions is 2"):
        night.run(max_conversions=2)
    assert 0 == night.sandbox.billed

    assert 3 == night.run(max_conversions=3)["converted"]


def test_budget_bounds_all_tries(night: Night) -> None:
    """The conversions of earlier tries count, so that retries do not multiply the budget."""
    night.write("a.txt", "b.txt", "c.txt")
    night.sandbox.fail("POST /async/convert/*", verdict=5008, times=1)
    with pytest.raises(TransientBatchFailedError):
        night.run(TaskInstance(1, 1), max_conversions=3)

    with pytest.raises(BudgetExceededError, match="earlier tries took 3"):
        night.run(TaskInstance(2, 1), max_conversions=3)

    assert 3 == night.sandbox.billed


def test_budget_ends_a_batch_that_costs_more_than_planned(night: Night) -> None:
    """Conversions that cost two each stop when the budget is used up; finished ones are saved."""
    night.write("a.txt", "b.txt", "c.txt", "d.txt")
    night.sandbox.settings.conversion_cost = 2

    with pytest.raises(BudgetExceededError, match="2 of 4 files"):
        night.run(max_conversions=4, max_in_flight=1)

    assert 2 == len(night.outputs())
    assert 4 == night.sandbox.billed
    assert 2 == list(night.outcomes().values()).count("not_attempted")


def test_empty_source_succeeds_skips_or_fails(night: Night) -> None:
    """`on_empty` decides; a shard that is empty while others are not always succeeds."""
    from airflow_provider_convertapi.airflow_names import AirflowSkipException

    assert 0 == night.run()["converted"]
    with pytest.raises(AirflowSkipException):
        night.run(on_empty="skip")
    with pytest.raises(InputNotFoundError):
        night.run(on_empty="fail")
    night.write("a.txt")
    shards = [
        night.run(source={"source": str(night.source), "shard": [i, 2]}, on_empty="fail")
        for i in range(2)
    ]
    assert [0, 1] == sorted(shard["converted"] for shard in shards)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("['/data/a.docx', '/data/b.docx']", "list"),
        ('["/data/a.docx"]', "list"),
        ("[PosixPath('/data/a.docx')]", "list"),
        ("[['/data/a.docx'], ['/data/b.docx']]", "list"),
        ("[{'source': '/data/', 'shard': [0, 2]}]", "list"),
        ("[]", "list"),
        ("{'source': '/data/', 'shard': [0, 2]}", "mapping"),
        ('{"converted": 1, "manifest": "/data/_convertapi/manifest/"}', "mapping"),
        (str({"converted": 1, "manifest": "/" + "x" * 300}), "mapping"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_text_of_several_sources_is_refused(
    night: Night, text: str, kind: str, nested: bool
) -> None:
    """What a template rendered to text is refused, not taken for a name or a glob."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    source: Any = [text] if nested else text
    said = rf"is the text of a {kind}.*\.output"
    with pytest.raises(ParameterError, match=said):
        night.run(source=source)
    with pytest.raises(ParameterError, match=said):
        ConvertApiHook().convert(source, "pdf", "out/")


def test_name_that_no_disk_can_hold(night: Night) -> None:
    """A source of the batch with such a name is missing, like any other."""
    with pytest.raises(InputNotFoundError, match="does not exist"):
        night.run(source=str(night.source / ("x" * 300)))


@pytest.mark.parametrize(
    "glob", ["[abc].txt", "[a-c]*[t]", "[abc]", "[0-9]", "[!b]", "[1]", "[]b]"]
)
def test_brackets_of_a_glob_are_no_list(
    night: Night, glob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names may be chosen by their letters, also where brackets begin and end the pattern."""
    night.write("a.txt", "b", "1", "]")
    monkeypatch.chdir(night.source)

    assert night.run(source=glob, plan_only=True)["to_convert"] > 0


def test_missing_directory_is_an_error(night: Night) -> None:
    """A missing directory is a wrong path, not an empty source."""
    with pytest.raises(InputNotFoundError, match="does not exist"):
        night.run(source=str(night.source / "no-such"))


def test_listed_file_that_is_missing_fails_alone(night: Night) -> None:
    """The other files of a list are converted; the task fails with a transient error."""
    night.write("a.txt")

    with pytest.raises(TransientBatchFailedError, match="InputNotFoundError"):
        night.run(source=[str(night.source / "a.txt"), str(night.source / "b.txt")])

    assert {"a.pdf": "converted", "b.pdf": "failed"} == night.outcomes()


def test_source_that_changes_meanwhile_is_not_sent(night: Night) -> None:
    """A file written after the listing is left for the next try, unpaid."""
    night.write("a.txt", "b.txt")
    night.sandbox.fail("POST /async/convert/*", delay=1.0, times=1)

    import threading

    def rewrite() -> None:
        while not night.sandbox.requests:  # the files are listed by then, and a.txt is looked for
            time.sleep(0.01)
        night.write("b.txt", text="Another text.\n")

    writer = threading.Thread(target=rewrite)
    writer.start()
    with pytest.raises(TransientBatchFailedError, match=r"InputChangedError: .*min_age"):
        # A budget lets no second thread begin, so that a.txt is the one at the service.
        night.run(TaskInstance(1, 1), max_in_flight=1, max_conversions=2)
    writer.join()

    assert 1 == night.run(TaskInstance(2, 1))["converted"]
    assert 2 == night.sandbox.billed


@pytest.mark.parametrize(
    ("become", "said"),
    [(Path.mkdir, "is a directory"), (lambda path: path.symlink_to(path), "does not exist")],
    ids=["directory", "circle"],
)
def test_source_that_is_not_a_file_any_more(
    night: Night, become: Callable[[Path], None], said: str
) -> None:
    """It fails alone and unpaid, and the error says what is there now."""
    night.write("a.txt")
    night.write("b.txt", text="Large." + " " * 1_100_000)
    night.sandbox.fail("POST /async/convert/*", delay=1.0, times=1)
    path = night.source / "b.txt"

    with ThreadPoolExecutor(1) as worker:
        given = {"max_in_flight": 1, "max_conversions": 2}
        running = worker.submit(execute, night.operator(given), TaskInstance())
        while not night.sandbox.requests:
            time.sleep(0.01)
        path.unlink()
        become(path)
        with pytest.raises(BatchFailedError) as failed:
            running.result()

    assert said in str(failed.value)
    assert "Errno" not in str(failed.value)
    assert 1 == night.sandbox.billed


def test_content_hash_survives_a_touch(night: Night) -> None:
    """With `content_hash`, a new modification time alone does not make a new file."""
    night.write("a.txt")
    night.run(TaskInstance(run_id="one"), content_hash=True)
    os.utime(night.source / "a.txt", (1, 1))

    assert 1 == night.run(TaskInstance(run_id="two"), content_hash=True)["reused"]
    assert 1 == night.run(TaskInstance(run_id="three"))["converted"]


def test_directory_may_be_direct(night: Night) -> None:
    """Direct mode stores nothing at the service, and keeps the same manifest."""
    night.write("a.txt", "b.txt")

    first = night.run(TaskInstance(run_id="one"), durable=False)
    second = night.run(TaskInstance(run_id="two"))

    assert 2 == first["converted"]
    assert 2 == second["reused"]
    assert 2 == len(night.sandbox.requests)


def test_several_results_get_numbers(night: Night) -> None:
    """A document of two pages becomes two pictures, alike in both modes."""
    night.write("a.txt", text="line\n" * 100)
    night.run()
    pdf = str(night.out / "a.pdf")

    durable, direct = night.out / "durable", night.out / "direct"
    night.run(source=[pdf], to_format="jpg", destination=durable)
    night.run(source=[pdf], to_format="jpg", destination=direct, durable=False)
    again = night.run(source=[pdf], to_format="jpg", destination=durable)

    names = [sorted(path.name for path in place.glob("*.jpg")) for place in (durable, direct)]
    assert [["a-2.jpg", "a.jpg"]] * 2 == names
    assert 1 == again["reused"]
