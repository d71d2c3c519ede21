"""A file of 300 MB in and out of each store."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from airflow_provider_convertapi.storage import BLOCK, Destination, Publication, find_source

if TYPE_CHECKING:
    from tests.stores.places import Place

MEGABYTES = 300

# gcsfs gives aiohttp whole blocks.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


def test_three_hundred_megabytes(store: Place) -> None:
    """It is published in parts, and read back in blocks, byte for byte."""
    block, uri = os.urandom(1 << 20), f"{store.uri}large.bin"
    written, found = hashlib.sha256(), hashlib.sha256()
    with Publication(Destination.parse(uri), inputs=[], overwrite=False) as publication:
        with publication.stage(uri, MEGABYTES << 20) as sink:
            for number in range(MEGABYTES):
                data = number.to_bytes(4, "big") + block[4:]
                written.update(data)
                sink.write(data)
        publication.publish()

    with find_source(uri).open() as file:
        while data := file.read(BLOCK):
            found.update(data)

    assert written.hexdigest() == found.hexdigest()
    assert ["large.bin"] == store.names()
