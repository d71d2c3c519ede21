"""The filter between pandoc's readers and the writers: what it removes, and what it keeps."""

from __future__ import annotations

from typing import Any

import pytest

from convertapi_sandbox.engines import tree

NOTHING: list[Any] = ["", [], []]


def text(word: str) -> dict[str, Any]:
    """Return a word."""
    return {"t": "Str", "c": word}


def para(*inlines: dict[str, Any]) -> dict[str, Any]:
    """Return a paragraph."""
    return {"t": "Para", "c": list(inlines)}


def cleaned(*blocks: dict[str, Any], meta: dict[str, Any] | None = None, **options: Any) -> Any:
    """Return a tree of some blocks after the filter, which removes pictures."""
    found = {"pandoc-api-version": [1, 23], "meta": meta or {}, "blocks": list(blocks)}
    return tree.clean(found, lambda _source, _sizes: None, **options)


@pytest.mark.parametrize("form", ["typst", "html", "latex", "openxml"])
def test_raw_parts_are_taken_out(form: str) -> None:
    """Whatever language they are in."""
    blocks = cleaned(
        {"t": "RawBlock", "c": [form, "#panic()"]},
        para(text("a"), {"t": "RawInline", "c": [form, "#panic()"]}, text("b")),
    )["blocks"]

    assert [para(text("a"), text("b"))] == blocks


def test_a_line_break_of_html_stays_one() -> None:
    """Markdown has no other way to write it in a table."""
    blocks = cleaned(para(text("a"), {"t": "RawInline", "c": ["html", "<br />"]}))["blocks"]

    assert [para(text("a"), {"t": "LineBreak"})] == blocks


def test_citations_become_their_text() -> None:
    """Citations stay text, because there is no bibliography."""
    cite = {"t": "Cite", "c": [[{"citationId": "x"}], [text("[1]")]]}

    assert [para(text("[1]"))] == cleaned(para(cite))["blocks"]


def test_attributes_are_taken_out_of_every_element() -> None:
    """Unused identifiers, unsafe classes, and all keys and values are removed."""
    nasty = ["id", ["good", 'bad"]'], [["typst:text:fill", "panic()"], ["style", "x"]]]
    elements: list[dict[str, Any]] = [
        {"t": "Header", "c": [1, nasty, [text("h")]]},
        {"t": "Div", "c": [nasty, [para({"t": "Span", "c": [nasty, [text("s")]]})]]},
        {"t": "CodeBlock", "c": [nasty, "code"]},
        para({"t": "Code", "c": [nasty, "code"]}),
    ]

    blocks = cleaned(*elements)["blocks"]

    assert "panic" not in str(blocks)
    assert ["", ["good"], []] == blocks[0]["c"][1]
    assert "style" not in str(blocks)


def test_formulas_become_their_source_on_request() -> None:
    """As code, where the typesetter did not take them."""
    formula = {"t": "Math", "c": [{"t": "InlineMath"}, "a^2"]}

    assert [para(formula)] == cleaned(para(formula))["blocks"]
    code = {"t": "Code", "c": [NOTHING, "a^2"]}
    assert [para(code)] == cleaned(para(formula), math=False)["blocks"]


def test_metadata_that_runs_is_taken_out() -> None:
    """Templates include such fields as they are."""
    title = {"t": "MetaInlines", "c": [text("Title")]}
    raw = {"t": "MetaBlocks", "c": [{"t": "RawBlock", "c": ["typst", "#panic()"]}]}

    meta = cleaned(meta={"title": title, "header-includes": raw, "mainfont": raw})["meta"]

    assert {"title": title} == meta


def test_heading_of_every_kind_of_metadata() -> None:
    """Title, subtitle, each author and the date, whichever way they are given."""
    found = cleaned(
        meta={
            "title": {"t": "MetaInlines", "c": [text("T")]},
            "subtitle": {"t": "MetaString", "c": "S"},
            "author": {
                "t": "MetaList",
                "c": [
                    {"t": "MetaInlines", "c": [text("A")]},
                    {"t": "MetaBlocks", "c": [para(text("B"))]},
                ],
            },
            "date": {"t": "MetaBool", "c": True},
        }
    )

    assert ["T", "S", "A", "B"] == [tree.text(block) for block in tree.heading(found)]


def test_text_of_a_tree() -> None:
    """Words, spaces, code and formulas."""
    node = para(
        text("a"),
        {"t": "Space"},
        {"t": "Emph", "c": [text("b")]},
        {"t": "SoftBreak"},
        {"t": "Code", "c": [NOTHING, "c"]},
        {"t": "Math", "c": [{"t": "InlineMath"}, "d"]},
    )

    assert "a b cd" == tree.text(node)
