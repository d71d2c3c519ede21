"""PDF pages as pictures and as text, and the parameters that shape them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pikepdf
import pytest
from PIL import Image

from convertapi_sandbox import samples
from convertapi_sandbox.engines import MISSING
from convertapi_sandbox.jobs import EngineError

if TYPE_CHECKING:
    from tests.engines.conftest import Convert, Reader, Refused

PDF = samples.content("pdf")  # three pages of A4


@pytest.mark.parametrize(
    ("text", "pages"),
    [("1", [1]), ("2-3", [2, 3]), ("1,3", [1, 3]), ("even", [2]), ("odd", [1, 3]), ("last", [3]),
     ("2-last", [2, 3]), ("2-", [2, 3]), ("-2", [1, 2]), ("3,1", [1, 3]), ("1-100", [1, 2, 3])],
)  # fmt: skip
def test_page_range_chooses_pages(
    convert: Convert, text: str, pages: list[int], read: Reader
) -> None:
    """Every way of writing a range that the service knows."""
    made = convert("pdf", "txt", PDF, PageRange=text, SplitPages=True)

    assert [f"This is page {number}." for number in pages] == [
        content.decode().split("region. ")[1].split(" 48151")[0] for content in made
    ]


@pytest.mark.parametrize("text", ["0", "a", "1-2-3", "5-4", "9", "-", "1..2"])
def test_senseless_page_range_is_a_parameter_error(refused: Refused, text: str) -> None:
    """A range without a page is refused, not ignored."""
    assert (400, 4000) == refused("pdf", "jpg", PDF, PageRange=text)


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, (1654, 2339)),
        ({"ImageResolution": 72}, (596, 842)),
        ({"ImageResolution": 72, "Scale": 50}, (298, 421)),
        ({"ImageWidth": 300}, (300, 424)),
        ({"ImageHeight": 424}, (300, 424)),
        ({"ImageWidth": 300, "ImageHeight": 300}, (300, 300)),
        ({"ImageWidth": 300, "ImageHeight": 300, "FitToSize": True}, (212, 300)),
        ({"ImageResolution": 72, "Rotate": "rotate90"}, (842, 596)),
        ({"ImageWidth": 424, "Rotate": "rotate90"}, (424, 300)),
    ],
    ids=str,
)
def test_size_of_the_picture(
    convert: Convert, read: Reader, parameters: dict[str, str | int], size: tuple[int, int]
) -> None:
    """Resolution, scale, width, height and rotation, alone and together."""
    image = read.image(convert("pdf", "jpg", PDF, PageRange="1", **parameters).only)

    assert size == image.size


def test_resolution_is_written_into_the_picture(convert: Convert, read: Reader) -> None:
    """A printed picture comes out as large as the page."""
    for target in ("jpg", "png", "tiff"):
        image = read.image(convert("pdf", target, PDF, PageRange="1", ImageResolution=100).only)
        assert (100, 100) == tuple(round(float(value)) for value in image.info["dpi"])


@pytest.mark.parametrize(
    ("target", "parameters", "mode"),
    [
        ("jpg", {}, "RGB"),
        ("jpg", {"ColorSpace": "gray"}, "L"),
        ("jpg", {"ColorSpace": "cmyk"}, "CMYK"),
        ("png", {"ColorSpace": "gray"}, "L"),
        ("png", {"BitDepth": "1"}, "1"),
        ("tiff", {"ColorMode": "bitonal"}, "1"),
        ("tiff", {"ColorMode": "cmyk"}, "CMYK"),
        ("webp", {"TransparentColor": "white"}, "RGBA"),
    ],
    ids=str,
)
def test_colors_of_the_picture(
    convert: Convert, read: Reader, target: str, parameters: dict[str, str], mode: str
) -> None:
    """Colour spaces, and a colour that becomes transparent."""
    made = convert("pdf", target, PDF, PageRange="1", ImageResolution=36, **parameters)

    assert mode == read.image(made.only).mode


def test_quality_makes_pictures_smaller(convert: Convert) -> None:
    """ImageQuality is passed on to JPEG and WebP."""
    for target in ("jpg", "webp"):
        low, high = (
            len(convert("pdf", target, PDF, PageRange="1", ImageQuality=quality).only)
            for quality in (20, 95)
        )
        assert low < high * 0.8


def test_background_shows_where_the_page_is_empty(convert: Convert, read: Reader) -> None:
    """BackgroundColor takes names and hexadecimal colours."""
    for color in ("red", "#ff0000"):
        made = convert("pdf", "png", PDF, PageRange="1", ImageResolution=36, BackgroundColor=color)
        assert (255, 0, 0) == read.pixel(read.image(made.only), 2, 2)


def test_unknown_color_is_a_parameter_error(refused: Refused) -> None:
    """An invalid colour is refused, not ignored."""
    assert (400, 4000) == refused("pdf", "png", PDF, BackgroundColor="reddish")


def test_crop_box_is_shown_and_media_box_on_request(convert: Convert, read: Reader) -> None:
    """A viewer shows the crop box; CropTo chooses another one."""
    with pikepdf.Pdf.open(io.BytesIO(PDF)) as document:
        document.pages[0].cropbox = pikepdf.Array([0, 0, 200, 100])
        target = io.BytesIO()
        document.save(target)
    options = {"PageRange": "1", "ImageResolution": 72}

    shown = convert("pdf", "png", target.getvalue(), **options)
    whole = convert("pdf", "png", target.getvalue(), **options, CropTo="MediaBox")

    assert (200, 100) == read.image(shown.only).size
    assert (596, 842) == read.image(whole.only).size


def test_tiff_holds_all_pages_or_one_each(convert: Convert, read: Reader) -> None:
    """MultiPage decides between one file and one for each page."""
    together = convert("pdf", "tiff", PDF, ImageResolution=36)
    apart = convert("pdf", "tiff", PDF, ImageResolution=36, MultiPage=False)

    assert 3 == getattr(read.image(together.only), "n_frames", 0)
    assert 3 == len(apart)


@pytest.mark.parametrize(
    ("kind", "compression"),
    [("monochromeg3", 3), ("monochromeg4", 4), ("monochromelzw", 5), ("monochromepackbits", 32773)],
)
def test_fax_compression(convert: Convert, read: Reader, kind: str, compression: int) -> None:
    """TiffType is the compression in the file."""
    image = read.image(convert("pdf", "tiff-fax", PDF, PageRange="1", TiffType=kind).only)

    assert "1" == image.mode
    assert isinstance(image, Image.Image)
    assert compression == image.tag_v2[259]  # type: ignore[attr-defined]  # a TIFF has tags


def test_results_are_named_after_the_document(convert: Convert) -> None:
    """Pages carry equal names; the server numbers them."""
    made = convert("pdf", "jpg", PDF, name="Q1 report.v2.pdf", ImageResolution=36)

    assert ["Q1 report.v2.jpg"] * 3 == made.names


def test_scanned_page_is_not_taken_for_an_empty_one(convert: Convert, refused: Refused) -> None:
    """Without recognition there is no text in a scan, and the answer says so."""
    scan = convert("png", "pdf", samples.content("png")).only

    if ("pdf", "ocr") in MISSING:
        assert (415, 415) == refused("pdf", "txt", scan)
    assert b"\n" == convert("pdf", "txt", scan, OcrMode="never").only


def test_svg_has_the_size_that_is_asked_for(convert: Convert) -> None:
    """ImageWidth and ImageHeight are set in the drawing."""
    made = convert("pdf", "svg", PDF, PageRange="1", ImageWidth=300)

    assert b'width="300"' in made.only
    assert b'height="' not in made.only.split(b">", 1)[0]


def test_flattened_form_has_no_fields(convert: Convert, read: Reader) -> None:
    """A field's appearance stays, the field goes."""
    with pikepdf.Pdf.open(io.BytesIO(PDF)) as document:
        look = document.make_stream(
            b"0 0 1 rg 0 0 100 20 re f",
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Form,
            BBox=[0, 0, 100, 20],
        )
        field = document.make_indirect(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Annot,
                Subtype=pikepdf.Name.Widget,
                FT=pikepdf.Name.Tx,
                T=pikepdf.String("name"),
                Rect=[100, 100, 200, 120],
                F=4,
                AP=pikepdf.Dictionary(N=look),
            )
        )
        document.pages[0].Annots = pikepdf.Array([field])
        document.Root.AcroForm = pikepdf.Dictionary(Fields=[field])
        target = io.BytesIO()
        document.save(target)

    flat = convert("pdf", "flatten", target.getvalue()).only

    with read.pdf(flat) as document:
        assert not len(document.pages[0].get("/Annots", []))
    assert (0, 0, 255) == read.pixel(read.drawn(flat), 150, 842 - 110)


def test_rotation_of_the_page_itself(convert: Convert, read: Reader) -> None:
    """A page with a rotation is drawn rotated, unless Rotate is "none"."""
    turned = convert("pdf", "rotate", PDF, Angle="90").only
    options = {"PageRange": "1", "ImageResolution": 72}

    assert (842, 596) == read.image(convert("pdf", "png", turned, **options).only).size
    upright = convert("pdf", "png", turned, **options, Rotate="none").only
    assert (596, 842) == read.image(upright).size


def test_webp_is_turned_by_any_angle(convert: Convert, read: Reader) -> None:
    """Some converters take degrees instead of quarters."""
    made = convert("pdf", "webp", PDF, PageRange="1", ImageResolution=36, Rotate=90)

    assert (421, 298) == read.image(made.only).size


def test_empty_page_has_no_text(convert: Convert) -> None:
    """A blank page is not a scan."""
    assert b"\n" == convert("pdf", "txt", convert("txt", "pdf", b"").only).only


def test_broken_page_is_named(convert: Convert) -> None:
    """The second page is not a page object."""
    with pikepdf.Pdf.open(io.BytesIO(PDF)) as document:
        document.Root.Pages.Kids[1] = pikepdf.Dictionary(Type=pikepdf.Name.Font)
        target = io.BytesIO()
        document.save(target)

    with pytest.raises(EngineError) as caught:
        convert("pdf", "jpg", target.getvalue(), ImageResolution=36)
    assert 5002 == caught.value.code
