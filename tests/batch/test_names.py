"""Names of outputs, and shards: the same for ever, whatever else exists."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.api.converters import (
    extension_of,
    result_extension,
    without_extension,
)
from airflow_provider_convertapi.batch.names import Naming, shard_of
from airflow_provider_convertapi.batch.tables import open_tables, pack, unpack
from airflow_provider_convertapi.errors import ParameterError
from airflow_provider_convertapi.storage import safe_name

if TYPE_CHECKING:
    from collections.abc import Callable


def assign(
    naming: Naming, inputs: list[tuple[str, str]], is_from: Callable[[str, str], bool | None]
) -> list[str]:
    """Return the outputs of inputs, each given as its relative path and its URI."""
    with closing(open_tables()) as tables:
        for path, uri in inputs:
            row = [pack(uri), pack(path), pack(naming.plain(path))]
            tables.execute("INSERT INTO inputs (uri, path, target) VALUES (?, ?, ?)", row)
        naming.assign(tables, str, is_from)
        found = tables.execute("SELECT target FROM inputs ORDER BY number").fetchall()
    return [unpack(target) for (target,) in found]


def never(target: str, source: str) -> None:
    """Know no output."""


def made(outputs: dict[str, str]) -> Callable[[str, str], bool | None]:
    """Know what each output was made from."""
    return lambda target, source: outputs[target] == source if target in outputs else None


@pytest.mark.parametrize(
    ("path", "to_format", "expected"),
    [
        pytest.param("a.docx", "pdf", "a.pdf", id="plain"),
        pytest.param("x/y/a.b.docx", "pdf", "x/y/a.b.pdf", id="dots"),
        pytest.param("README", "pdf", "README.pdf", id="no-extension"),
        pytest.param("a.PDF", "protect", "a.pdf", id="tool-keeps-the-format"),
        pytest.param("a.pdf", "pdfa", "a.pdf", id="archive"),
        pytest.param("a.pdf", "tiff-fax", "a.tiff", id="fax"),
        pytest.param("v1.final version", "pdf", "v1.final version.pdf", id="no-real-extension"),
        pytest.param("a:b?.docx", "pdf", "a_b_.pdf", id="unsafe"),
        pytest.param(
            "x/" + "n" * 250 + ".txt", "pdf", "x/" + "n" * 187 + "-b93fc58d.pdf", id="long"
        ),
    ],
)
def test_output_is_named_after_its_input(path: str, to_format: str, expected: str) -> None:
    """The extension changes, the directories stay, the name is one that every store takes."""
    naming = Naming([to_format], "fail", safe_name)

    assert [expected] == assign(naming, [(path, path)], never)


def test_collisions_are_told_together() -> None:
    """The error names what collides, and says that nothing was paid."""
    naming = Naming(["pdf"], "fail", safe_name)

    with pytest.raises(ParameterError, match=r"a\.docx and a\.odt to a\.pdf.*Nothing was paid"):
        assign(naming, [("a.docx", "1"), ("b.docx", "2"), ("a.odt", "3")], never)


def test_suffix_is_the_inputs_own() -> None:
    """Only what collides gets its extension; what still collides gets a digest of its place."""
    naming = Naming(["pdf"], "suffix", safe_name)

    targets = assign(
        naming,
        [("a.docx", "1"), ("a.odt", "2"), ("b.odt", "3"), ("c.odt", "x/c"), ("c.odt", "y/c")],
        never,
    )

    assert ["a.docx.pdf", "a.odt.pdf", "b.pdf"] == targets[:3]
    assert 5 == len(set(targets))
    assert all(target.startswith("c.odt-") for target in targets[3:])


def test_known_outputs_keep_their_names() -> None:
    """Who had the plain name before the other came keeps it."""
    naming = Naming(["pdf"], "suffix", safe_name)

    targets = assign(naming, [("a.docx", "new"), ("a.odt", "old")], made({"a.pdf": "old"}))

    assert ["a.docx.pdf", "a.pdf"] == targets


def test_names_do_not_depend_on_who_else_is_there() -> None:
    """Whoever is missing tonight: nobody gets a new name for that, and nobody another's."""
    naming = Naming(["pdf"], "suffix", safe_name)
    inputs = [("a.docx", "x/a.docx"), ("a.docx", "y/a.docx"), ("a", "?doc=1"), ("a", "?doc=2")]
    together = assign(naming, inputs, never)
    outputs = dict(zip(together, (source for _, source in inputs), strict=True))

    alone = [assign(naming, [one], made(outputs)) for one in inputs]
    [late] = assign(naming, [("a.docx", "z/a.docx")], made({"a.pdf": "x/a.docx"}))

    assert [[target] for target in together] == alone
    assert "a.docx.pdf" == late


def test_suffix_that_another_file_has_is_settled() -> None:
    """`a.odt.docx` has the name that `a.odt` would get: a digest keeps them apart."""
    naming = Naming(["pdf"], "suffix", safe_name)

    names = ["a.odt", "a.docx", "a.odt.docx", "a.odt.docx.md", "a.odt.docx.md.txt"]

    targets = assign(naming, [(name, name) for name in names], never)

    assert 5 == len(set(targets))


@pytest.mark.parametrize(
    ("path", "extension"),
    [("a.PDF", "pdf"), (".hidden", ""), ("a", ""), ("a.", ""), ("a.tar.gz", "gz"), ("d.x/a", "")],
)
def test_extension_is_of_the_last_name(path: str, extension: str) -> None:
    """Extension and stem belong together."""
    assert extension == extension_of(path)
    assert path == without_extension(path) + path[len(without_extension(path)) :]
    assert path.lower().endswith(f".{extension}" if extension else "")


def test_result_extension_of_a_tool_on_a_nameless_format() -> None:
    """A tool that keeps a format which nobody named is called by the tool."""
    assert "compress" == result_extension("scan", "compress")


def test_shards_are_stable_and_even() -> None:
    """A path is in one shard for ever; what may collide is in the same; shards are about even."""
    sizes = [0] * 10
    for number in range(10_000):
        sizes[shard_of(f"2026/invoice-{number}.docx", 10)] += 1

    assert [6, 3, 6] == [shard_of(path, 7) for path in ("a/b.docx", "Grüße.odt", "a/b.odt")]
    assert 900 < min(sizes)
    assert 1100 > max(sizes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("d/e\u0301.txt", "d/\u00e9.md"),
        ("a?.txt", "a*.txt"),
        (" a.txt", "a.txt"),
        ("d\n/a.txt", "d\t/a.txt"),
    ],
    ids=["composed", "unsafe", "margins", "directory"],
)
def test_names_that_become_one_output_are_in_one_shard(one: str, other: str) -> None:
    """So that the collision is found before anything is paid."""
    naming = Naming(["pdf"], "fail", safe_name)
    assert naming.plain(one) == naming.plain(other)

    assert shard_of(one, 1000) == shard_of(other, 1000)


def test_last_step_names_the_output() -> None:
    """The extension is the one that the steps end in."""
    assert ["a.pdf"] == assign(
        Naming(["pdf", "protect"], "fail", safe_name), [("a.txt", "")], never
    )
    assert ["a.zip"] == assign(Naming(["pdf", "zip"], "fail", safe_name), [("a.txt", "")], never)


def test_former_name_of_a_tool_in_a_chain_keeps_the_format() -> None:
    """`watermark` keeps the format, so that the tool after it does, too."""
    naming = Naming(["pdf", "watermark", "compress"], "fail", safe_name)

    assert ["d0.pdf"] == assign(naming, [("d0.txt", "")], never)


def test_given_format_names_the_output_of_a_file_without_an_extension() -> None:
    """A tool keeps the format that `from_format` says, where the name says none."""
    naming = Naming(["compress", "protect"], "fail", safe_name, ["pdf", None])

    assert ["d0.pdf"] == assign(naming, [("d0", "")], never)


def test_long_names_that_differ_late_do_not_collide() -> None:
    """Two documents whose names are cut have two outputs, in any run and any order."""
    naming = Naming(["pdf"], "fail", safe_name)
    names = [f"{'a' * 230}{end}.docx" for end in "xy"]

    targets = assign(naming, [(name, name) for name in names], never)

    assert 2 == len(set(targets))
    assert targets[1:] == assign(naming, [(names[1], names[1])], never)
