"""A direct conversion's answer is the only copy of what was paid: a store gets another chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsspec.implementations.memory import MemoryFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convertapi_sandbox import Sandbox


class _DownForASecond(MemoryFileSystem):  # type: ignore[misc] # fsspec is untyped
    """Refuses the first two uploads."""

    refusals = 2

    def put_file(self, lpath: str, rpath: str, **kwargs: object) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionResetError("service unavailable")
        super().put_file(lpath, rpath)


def test_paid_result_is_published_again(
    convertapi_sandbox: Sandbox, attach: Callable[[str, Any], str], tmp_path: Path
) -> None:
    """A store that is down for a second costs nothing but time."""
    from airflow_provider_convertapi.hooks.convertapi import ConvertApiHook

    fs = _DownForASecond(global_store=False, skip_instance_cache=True)
    fs.store, fs.pseudo_dirs = {}, [""]  # its own: memory is one for all otherwise
    uri = attach("smb", fs) + "letter.pdf"
    (tmp_path / "letter.txt").write_text("Dear reader.\n")

    outputs = ConvertApiHook().convert(tmp_path / "letter.txt", "pdf", uri, durable=False)

    assert [uri] == outputs
    assert b"%PDF" == fs.cat_file("/letter.pdf")[:4]
    assert 1 == convertapi_sandbox.billed
