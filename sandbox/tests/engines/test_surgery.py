"""PDF files merged, split, turned, locked, stamped, cropped and made smaller."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pikepdf
import pytest
from PIL import Image

from convertapi_sandbox import samples

if TYPE_CHECKING:
    from tests.engines.conftest import Convert, Reader, Refused

PDF = samples.content("pdf")
LOCKED = samples.content("locked")
A4, A4_TURNED = (595, 842), (842, 595)


def pages(read: Reader, pdf: bytes) -> list[int]:
    """Return the page numbers that the sample's pages have printed on them."""
    return [int(text.split("This is page ")[1].split(".")[0]) for text in read.text(pdf)]


def test_merge_keeps_the_order(convert: Convert, read: Reader) -> None:
    """Files come after one another as they were given."""
    last = convert("pdf", "split", PDF, ExtractPages="3").only

    merged = convert("pdf", "merge", last, PDF).only

    assert [3, 1, 2, 3] == pages(read, merged)


def test_merge_writes_bookmarks(convert: Convert, read: Reader) -> None:
    """BookmarksToc names them after files or titles; otherwise each file's own stay."""
    for toc, expected in (
        ("filename", ["a", "1-a"]),
        ("title", ["Quarterly report"] * 2),
        ("disabled", [f"Chapter {number}" for number in (1, 2, 3, 1, 2, 3)]),
    ):
        merged = convert("pdf", "merge", PDF, PDF, name="a.pdf", BookmarksToc=toc).only
        with read.pdf(merged).open_outline() as outline:
            assert expected == [item.title for item in outline.root]


def test_merge_fits_pages_onto_paper(convert: Convert, read: Reader) -> None:
    """PageSize and PageOrientation scale the pages; their text stays."""
    merged = convert("pdf", "merge", PDF, PDF, PageSize="a5", PageOrientation="landscape").only

    assert [(595, 420)] * 6 == read.sizes(merged)
    assert [1, 2, 3, 1, 2, 3] == pages(read, merged)


def test_merge_opens_at_a_page(convert: Convert, read: Reader) -> None:
    """OpenPage is the page that a viewer shows first."""
    document = read.pdf(convert("pdf", "merge", PDF, PDF, OpenPage=5).only)

    assert document.pages[4].obj.objgen == document.Root.OpenAction[0].objgen


@pytest.mark.parametrize(
    ("parameters", "parts"),
    [
        ({}, [[1], [2], [3]]),
        ({"SplitByPattern": "2"}, [[1, 2], [3]]),
        ({"SplitByPattern": "1,2"}, [[1], [2, 3]]),
        ({"SplitByRange": "1-2,2-3"}, [[1, 2], [2, 3]]),
        ({"SplitByRange": "1,3", "MergeOutput": True}, [[1, 3]]),
        ({"ExtractPages": "1,3"}, [[1], [3]]),
        ({"ExtractPages": "2-3", "MergeOutput": True}, [[2, 3]]),
        ({"SplitByTextPattern": r"page [23]\."}, [[1], [2], [3]]),
        ({"SplitByTextPattern": "Chapter 3"}, [[1, 2], [3]]),
        ({"SplitByBookmark": True}, [[1], [2], [3]]),
    ],
    ids=str,
)
def test_split(
    convert: Convert, read: Reader, parameters: dict[str, str | bool], parts: list[list[int]]
) -> None:
    """By pattern, range, text and bookmark; apart or merged again."""
    assert parts == [pages(read, part) for part in convert("pdf", "split", PDF, **parameters)]


@pytest.mark.parametrize(
    "parameters",
    [{"SplitByPattern": "0"}, {"SplitByPattern": "x"}, {"SplitByRange": "9"}, {"ExtractPages": "a"},
     {"SplitByTextPattern": "("}],
    ids=str,
)  # fmt: skip
def test_senseless_split_is_a_parameter_error(refused: Refused, parameters: dict[str, str]) -> None:
    """An invalid value is refused, not ignored."""
    assert (400, 4000) == refused("pdf", "split", PDF, **parameters)


def test_delete_pages(convert: Convert, read: Reader, refused: Refused) -> None:
    """Some pages are deleted; deleting all, or none, is an error."""
    assert [1, 3] == pages(read, convert("pdf", "delete-pages", PDF, PageRange="2").only)
    assert (500, 5005) == refused("pdf", "delete-pages", PDF, PageRange="1-last")
    assert (400, 4000) == refused("pdf", "delete-pages", PDF)


def test_delete_blank_pages(convert: Convert, read: Reader) -> None:
    """A page on which nothing can be seen goes."""
    with pikepdf.Pdf.open(io.BytesIO(PDF)) as document:
        document.add_blank_page(page_size=(595, 842))
        target = io.BytesIO()
        document.save(target)

    kept = convert("pdf", "delete-pages", target.getvalue(), DeleteBlankPages=True).only

    assert [1, 2, 3] == pages(read, kept)


def test_rotate(convert: Convert, read: Reader) -> None:
    """Some pages are turned, relative to how they lie."""
    turned = convert("pdf", "rotate", PDF, Angle="90", PageRange="1").only
    twice = convert("pdf", "rotate", turned, Angle="90").only

    assert [A4_TURNED, A4, A4] == read.sizes(turned)
    assert [A4, A4_TURNED, A4_TURNED] == read.sizes(twice)


@pytest.mark.parametrize(
    ("algorithm", "revision"),
    [("Standard40Bit", 2), ("Standard128Bit", 3), ("Aes128Bit", 4), ("Aes256Bit", 6)],
)
def test_protect_with_each_algorithm(
    convert: Convert, read: Reader, algorithm: str, revision: int
) -> None:
    """Both passwords open the file, nothing else does."""
    made = convert(
        "pdf", "protect", PDF, UserPassword="u", OwnerPassword="o", EncryptionAlgorithm=algorithm
    )

    with pytest.raises(pikepdf.PasswordError):
        read.pdf(made.only)
    assert revision == read.pdf(made.only, "u").encryption.R
    assert not read.pdf(made.only, "u").owner_password_matched
    assert read.pdf(made.only, "o").owner_password_matched


def test_protect_with_permissions(convert: Convert, read: Reader) -> None:
    """Nothing is allowed but what is asked for."""
    strict = read.pdf(convert("pdf", "protect", PDF, UserPassword="u").only, "u").allow
    printed = convert("pdf", "protect", PDF, UserPassword="u", PrintDocument=True).only
    everything = convert("pdf", "protect", PDF, UserPassword="u", AllowEverything=True).only

    assert {"accessibility"} >= {name for name, allowed in strict._asdict().items() if allowed}
    assert read.pdf(printed, "u").allow.print_lowres
    assert not read.pdf(printed, "u").allow.modify_other
    assert all(read.pdf(everything, "u").allow)


def test_protect_takes_unicode_passwords_with_aes_256_only(
    convert: Convert, read: Reader, refused: Refused
) -> None:
    """The older algorithms know Latin letters only."""
    made = convert("pdf", "protect", PDF, UserPassword="пароль")

    assert 3 == len(read.pdf(made.only, "пароль").pages)
    assert (500, 5006) == refused(
        "pdf", "protect", PDF, UserPassword="пароль", EncryptionAlgorithm="Aes128Bit"
    )


def test_protect_without_a_password_is_a_parameter_error(refused: Refused) -> None:
    """It would protect nothing."""
    assert (400, 4000) == refused("pdf", "protect", PDF)


def test_unprotect(convert: Convert, read: Reader) -> None:
    """The password goes, the pages stay."""
    assert [1, 2, 3] == pages(
        read, convert("pdf", "unprotect", LOCKED, Password=samples.PASSWORD).only
    )


@pytest.mark.parametrize(
    "target", ["jpg", "txt", "split", "unprotect", "compress", "text-watermark"]
)
def test_password_is_asked_for_and_checked(convert: Convert, refused: Refused, target: str) -> None:
    """Without one 5003, with a wrong one 5007, with the right one a result."""
    extra = {"Text": "x"} if target == "text-watermark" else {}

    assert (500, 5003) == refused("pdf", target, LOCKED, **extra)
    assert (500, 5007) == refused("pdf", target, LOCKED, Password="wrong", **extra)
    assert convert("pdf", target, LOCKED, Password=samples.PASSWORD, **extra)


def test_rewritten_pdf(convert: Convert, read: Reader) -> None:
    """Version, metadata and first view are what is asked for."""
    made = convert(
        "pdf", "pdf", PDF, PdfVersion="1.6", PdfTitle="Ünïcode", PdfAuthor="A", OpenPage=2,
        OpenZoom="FitPage",
    )  # fmt: skip
    document = read.pdf(made.only)

    assert b"%PDF-1.6" == made.only[:8]
    assert ("Ünïcode", "A") == (str(document.docinfo["/Title"]), str(document.docinfo["/Author"]))
    assert document.pages[1].obj.objgen == document.Root.OpenAction[0].objgen
    assert "/Fit" == document.Root.OpenAction[1]


def test_meta(convert: Convert) -> None:
    """Title, pages and version as JSON."""
    about = json.loads(convert("pdf", "meta", PDF).only)

    assert ("Quarterly report", "Sandbox", 3) == (
        about["Title"],
        about["Author"],
        about["PageCount"],
    )
    assert (595.28, 841.89) == (about["PageWidth"], about["PageHeight"])


def test_compress_makes_pictures_smaller(convert: Convert, read: Reader) -> None:
    """A noisy picture of 1,200 pixels is reduced; text and pages stay."""
    noise = Image.effect_noise((1200, 1200), 80).convert("RGB")
    target = io.BytesIO()
    noise.save(target, "PNG")
    large = convert("png", "pdf", target.getvalue(), PageSize="a4").only

    small = convert("pdf", "compress", large, ImageResolution=72, ImageQuality=50).only
    lossless = convert("pdf", "compress", large, Preset="lossless").only

    assert len(small) < len(large) / 10
    assert len(lossless) > len(large) / 2
    assert read.sizes(large) == read.sizes(small)


def test_compress_removes_what_is_asked_for(convert: Convert, read: Reader) -> None:
    """Metadata goes by default, and stays on request."""
    assert "/Info" not in read.pdf(convert("pdf", "compress", PDF).only).trailer
    kept = convert("pdf", "compress", PDF, RemoveMetadata=False).only
    with read.pdf(kept) as document:
        assert "Quarterly report" == str(document.docinfo["/Title"])


def test_extract_images(convert: Convert, read: Reader, refused: Refused) -> None:
    """Each picture once, in its own size; 50013 where there is none."""
    (picture,) = convert("pdf", "extract-images", PDF)
    as_jpg = convert("pdf", "extract-images", PDF, ImageOutputFormat="jpg")
    without = convert("txt", "pdf", b"text").only

    assert samples.SIZE == read.image(picture).size
    assert ["document.jpg"] == as_jpg.names
    assert (500, 50013) == refused("pdf", "extract-images", without)
    assert (500, 50013) == refused("pdf", "extract-images", PDF, MinimumImageWidth=1000)


def test_text_watermark_stands_where_it_is_asked_for(convert: Convert, read: Reader) -> None:
    """Text, alignment, colour and pages; variables are filled in."""
    made = convert(
        "pdf", "text-watermark", PDF, Text="Draft %PAGE% of %PAGES%", FontColor="#ff0000",
        HorizontalAlignment="right", VerticalAlignment="bottom", PageRange="2-3",
    )  # fmt: skip
    texts, page = read.text(made.only), read.drawn(made.only, 1)

    assert "Draft" not in texts[0]
    assert "Draft 2 of 3" in texts[1]
    assert "Draft 3 of 3" in texts[2]
    reds = red_points(page)
    assert reds
    assert all(x > 250 and y > 750 for x, y in reds)


def red_points(page: Image.Image) -> list[tuple[int, int]]:
    """Return points that are of the watermark's colour, from every second row and column."""
    small = page.convert("RGB").resize(
        (page.width // 2, page.height // 2), Image.Resampling.NEAREST
    )
    data = small.tobytes()
    return [
        (place // 3 % small.width * 2, place // 3 // small.width * 2)
        for place in range(0, len(data), 3)
        if data[place] > 200 and data[place + 1] < 80 and data[place + 2] < 80
    ]


def test_text_watermark_is_text_not_code(convert: Convert, read: Reader) -> None:
    """Text that looks like typst code is printed as it is."""
    text = '#read("/etc/passwd") *a* $x$ "b" \\ %'

    made = convert("pdf", "text-watermark", PDF, Text=text, FontSize=10)

    assert text in read.text(made.only)[0]


def test_opacity_lets_the_page_shine_through(convert: Convert, read: Reader) -> None:
    """Half a black letter is grey."""
    options = {"Text": "\u2588" * 5, "PageRange": "1", "FontSize": 60}
    full = read.drawn(convert("pdf", "text-watermark", PDF, **options).only)
    half = read.drawn(convert("pdf", "text-watermark", PDF, Opacity=50, **options).only)

    middle = (250, 380, 350, 460)
    assert 0 == read.darkest(full, middle)
    darkest = read.darkest(half, middle)
    assert 110 < darkest < 145


def test_turned_pages_are_stamped_upright(convert: Convert, read: Reader) -> None:
    """A rotated page gets its stamp in the displayed orientation."""
    turned = convert("pdf", "rotate", PDF, Angle="90").only

    made = convert("pdf", "text-watermark", turned, Text="WIDE STAMP", FontColor="red").only

    page = read.drawn(made)
    reds = red_points(page)
    width = max(x for x, _ in reds) - min(x for x, _ in reds)
    height = max(y for _, y in reds) - min(y for _, y in reds)
    assert width > height * 3


def test_pdf_watermark_lays_a_page_over_and_under(
    convert: Convert, read: Reader, refused: Refused
) -> None:
    """OverlayPage chooses the page; without the file there is an error that names it."""
    overlay = convert("txt", "pdf", b"first\fSECOND").only
    extra = {"OverlayFile": ("overlay.pdf", overlay)}

    over = convert("pdf", "pdf-watermark", PDF, extra=extra, OverlayPage=2, Opacity=50)
    under = convert("pdf", "pdf-watermark", PDF, extra=extra, OverlayPage=2, Style="watermark")

    for made in (over, under):
        assert all("SECOND" in text and "Chapter" in text for text in read.text(made.only))
    assert (400, 4000) == refused("pdf", "pdf-watermark", PDF)
    assert (400, 4000) == refused("pdf", "pdf-watermark", PDF, extra=extra, OverlayPage=3)


def test_image_watermark_has_its_size_and_place(convert: Convert, read: Reader) -> None:
    """A picture of 320 pixels at 96 to the inch is 240 points wide, and half of that at 50 %."""
    extra = {"ImageFile": ("logo.png", samples.content("png"))}

    made = convert(
        "pdf", "image-watermark", PDF, extra=extra, Scale=50, HorizontalAlignment="left",
        VerticalAlignment="bottom", OffsetX=10, MeasurementUnit="pt",
    )  # fmt: skip

    page = read.drawn(made.only)
    assert (32, 64, 128) == read.pixel(page, 14, 838)
    assert (255, 255, 255) == read.pixel(page, 6, 838)
    assert (255, 255, 255) == read.pixel(page, 134, 838)
    assert (255, 255, 255) == read.pixel(page, 14, 842 - 79)


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({"CropMode": "margins", "HorizontalMargin": 1, "VerticalMargin": 2}, (451, 554)),
        ({"CropMode": "size", "PageSize": "a5"}, (420, 595)),
        (
            {"CropMode": "size", "CropWidth": 100, "CropHeight": 50, "MeasurementUnit": "mm"},
            (283, 142),
        ),
    ],
    ids=str,
)
def test_crop(
    convert: Convert, read: Reader, parameters: dict[str, str | int], size: tuple[int, int]
) -> None:
    """By margins and by size."""
    assert [size] * 3 == read.sizes(convert("pdf", "crop", PDF, **parameters).only)


def test_crop_finds_what_the_page_shows(convert: Convert, read: Reader) -> None:
    """Automatic cropping leaves the text and takes the rest, uniformly or page by page."""
    uniform = convert("pdf", "crop", PDF, CropMode="auto").only

    width, height = read.sizes(uniform)[0]
    assert width < 450
    assert height < 250
    assert [1, 2, 3] == pages(read, uniform)
    assert len(set(read.sizes(uniform))) == 1


def test_crop_to_nothing_is_a_parameter_error(refused: Refused) -> None:
    """Margins that leave no page are refused."""
    assert (400, 4000) == refused("pdf", "crop", PDF, CropMode="margins", HorizontalMargin=10)


def test_rasterized_page_has_the_resolution(convert: Convert, read: Reader) -> None:
    """Its picture has as many pixels as Resolution says."""
    with read.pdf(convert("pdf", "rasterize", PDF, Resolution=72).only) as document:
        (picture,) = document.pages[0].get_images().values()
        assert (596, 842) == (int(picture.Width), int(picture.Height))


def test_crop_page_by_page(convert: Convert, read: Reader) -> None:
    """Each page is as large as what it shows, and a bit more with AutoPadding."""
    document = convert("txt", "pdf", b"short\fa much longer line of text").only

    short, long = read.sizes(convert("pdf", "crop", document, AutoStrategy="perPage").only)
    padded, _ = read.sizes(
        convert(
            "pdf", "crop", document, AutoStrategy="perPage", AutoPadding=10, MeasurementUnit="pt"
        ).only
    )

    assert short[0] < long[0]
    assert 15 < padded[0] - short[0] < 25


@pytest.mark.parametrize(
    ("anchor", "corner"), [("topleft", (0, 742)), ("bottomright", (495, 0)), ("center", (248, 371))]
)
def test_crop_to_a_size_at_an_anchor(
    convert: Convert, read: Reader, anchor: str, corner: tuple[int, int]
) -> None:
    """The anchor says which part of the page stays."""
    made = convert(
        "pdf", "crop", PDF, CropMode="size", CropWidth=100, CropHeight=100, MeasurementUnit="pt",
        Anchor=anchor,
    )  # fmt: skip

    with read.pdf(made.only) as document:
        box = [round(float(value)) for value in document.pages[0].mediabox]
    assert [*corner, corner[0] + 100, corner[1] + 100] == pytest.approx(box, abs=1)


def test_merge_turns_pages_upright_onto_paper(convert: Convert, read: Reader) -> None:
    """A rotated page is fitted in the displayed orientation."""
    turned = convert("pdf", "rotate", PDF, Angle="90").only

    merged = convert("pdf", "merge", turned, PDF, PageSize="a4", PageOrientation="landscape").only

    assert [A4_TURNED] * 6 == read.sizes(merged)
    assert [1, 2, 3, 1, 2, 3] == pages(read, merged)


def test_permissions_are_kept_or_respected(
    convert: Convert, read: Reader, refused: Refused
) -> None:
    """A file that only its owner may change says so."""
    locked = convert(
        "pdf", "protect", PDF, UserPassword="u", OwnerPassword="o", PrintDocument=True
    ).only

    kept = convert(
        "pdf", "protect", locked, Password="u", UserPassword="n", PreservePermissions=True
    )
    with read.pdf(kept.only, "n") as document:
        assert document.allow.print_lowres
        assert not document.allow.extract
    options = {"UserPassword": "n", "RespectOwnerPassword": True}
    assert (500, 5007) == refused("pdf", "protect", locked, Password="u", **options)
    assert convert("pdf", "protect", locked, Password="o", **options)


def test_opened_with_a_magnification(convert: Convert, read: Reader) -> None:
    """OpenZoom in per cent, at the first page."""
    with read.pdf(convert("pdf", "pdf", PDF, OpenZoom="150").only) as document:
        assert 1.5 == float(document.Root.OpenAction[4])


def test_empty_watermark_is_a_parameter_error(refused: Refused) -> None:
    """Nothing would be seen of it."""
    assert (400, 4000) == refused("pdf", "text-watermark", PDF, Text="  ")


def test_watermark_of_a_turned_page(convert: Convert, read: Reader) -> None:
    """An overlay that is shown turned is laid over turned."""
    wide = convert("txt", "pdf", b"WORD", FontSize=60).only
    overlay = convert("pdf", "rotate", wide, Angle="90").only

    page = read.drawn(
        convert(
            "pdf", "pdf-watermark", convert("txt", "pdf", b" ").only,
            extra={"OverlayFile": ("o.pdf", overlay)}, HorizontalAlignment="right",
            VerticalAlignment="top",
        ).only
    )  # fmt: skip

    ink = page.convert("L").point([255 if level < 128 else 0 for level in range(256)]).getbbox()
    assert ink is not None
    assert ink[3] - ink[1] > (ink[2] - ink[0]) * 2


def test_compress_with_everything_taken_out(convert: Convert, read: Reader) -> None:
    """Forms, attachments, structure and private data go, equal pictures are shared."""
    tagged = convert("docx", "pdf", samples.content("docx"), ConvertTags=True).only
    name = pikepdf.Name
    with read.pdf(tagged) as document:
        page = document.pages[0]
        field = pikepdf.Dictionary(Type=name.Annot, Subtype=name.Widget, Rect=[0, 0, 9, 9])
        link = pikepdf.Dictionary(Type=name.Annot, Subtype=name.Link, Rect=[0, 0, 9, 9])
        field = document.make_indirect(field)
        page.Annots = pikepdf.Array([field, document.make_indirect(link)])
        page.PieceInfo = document.Root.PieceInfo = pikepdf.Dictionary(App=pikepdf.Dictionary())
        document.Root.AcroForm = pikepdf.Dictionary(Fields=[field])
        document.attachments["a.txt"] = b"attached"
        target = io.BytesIO()
        document.save(target)

    with read.pdf(convert("pdf", "compress", target.getvalue(), RemoveForms=True).only) as made:
        assert {"/StructTreeRoot", "/MarkInfo", "/AcroForm", "/PieceInfo"}.isdisjoint(made.Root)
        assert not made.attachments
        assert ["/Link"] == [str(item.Subtype) for item in made.pages[0].Annots]
    off = dict.fromkeys(
        ("RemovePieceInformation", "RemoveEmbeddedFiles", "RemoveStructureInformation",
         "RemoveUnusedResources", "RemoveDuplicates", "RemoveMetadata"),
        False,
    )  # fmt: skip
    with read.pdf(convert("pdf", "compress", target.getvalue(), **off).only) as made:
        assert {"/StructTreeRoot", "/AcroForm", "/PieceInfo"} <= set(made.Root)
        assert list(made.attachments) == ["a.txt"]


def test_equal_pictures_are_stored_once(convert: Convert, read: Reader) -> None:
    """Merging a file with itself doubles its pictures, compressing makes one of them again."""
    large = convert("jpg", "pdf", samples.content("jpg")).only
    merged = convert("pdf", "merge", large, large).only

    with read.pdf(convert("pdf", "compress", merged, Preset="lossless").only) as document:
        pictures = {
            picture.objgen for page in document.pages for picture in page.get_images().values()
        }
    assert 1 == len(pictures)


def test_jpeg_comes_out_of_a_pdf_as_it_went_in(convert: Convert) -> None:
    """Without being compressed a second time."""
    document = convert("jpg", "pdf", samples.content("jpg")).only

    assert samples.content("jpg") == convert("pdf", "extract-images", document).only


@pytest.mark.parametrize("target", ["merge", "jpg", "compress"])
def test_pdf_without_pages(refused: Refused, target: str) -> None:
    """There is nothing to convert in it."""
    target_file = io.BytesIO()
    pikepdf.Pdf.new().save(target_file)

    assert (500, 5002) == refused("pdf", target, target_file.getvalue())


def test_form_fields_go_with_their_pages(convert: Convert, read: Reader) -> None:
    """Merged and split again, a field can still be filled in."""
    with pikepdf.Pdf.open(io.BytesIO(PDF)) as document:
        name = pikepdf.Name
        field = document.make_indirect(
            pikepdf.Dictionary(
                Type=name.Annot, Subtype=name.Widget, FT=name.Tx, T=pikepdf.String("who"),
                Rect=[100, 100, 200, 120],
            )
        )  # fmt: skip
        document.pages[1].Annots = pikepdf.Array([field])
        document.Root.AcroForm = pikepdf.Dictionary(Fields=[field])
        target = io.BytesIO()
        document.save(target)

    merged = convert("pdf", "merge", PDF, target.getvalue()).only
    parts = convert("pdf", "split", merged, SplitByPattern="3")

    with read.pdf(merged) as whole, read.pdf(parts[1]) as second, read.pdf(parts[0]) as first:
        assert ["who"] == [str(one.T) for one in whole.Root.AcroForm.Fields]
        assert ["who"] == [str(one.T) for one in second.Root.AcroForm.Fields]
        assert "/AcroForm" not in first.Root
