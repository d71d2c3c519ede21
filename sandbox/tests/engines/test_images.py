"""Pictures into each other, into PDF, and joined."""

from __future__ import annotations

import base64
import gzip
import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from convertapi_sandbox import samples
from convertapi_sandbox.engines import jpegfile
from convertapi_sandbox.jobs import EngineError

if TYPE_CHECKING:
    from tests.engines.conftest import Convert, Reader, Refused

PNG = samples.content("png")
JPG = samples.content("jpg")


def stored(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Return a picture as a file."""
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({"ImageWidth": 160}, (160, 100)),
        ({"ImageHeight": 400}, (640, 400)),
        ({"ImageWidth": 100, "ImageHeight": 100}, (100, 62)),
        ({"ImageWidth": 100, "ImageHeight": 100, "ScaleProportions": False}, (100, 100)),
        ({"ImageWidth": 640, "ScaleIfLarger": True}, (320, 200)),
        ({"ImageWidth": 160, "ScaleIfLarger": True}, (160, 100)),
        ({"ImageWidth": 160, "ScaleImage": False}, (320, 200)),
    ],
    ids=str,
)
def test_size(
    convert: Convert, read: Reader, parameters: dict[str, Any], size: tuple[int, int]
) -> None:
    """Width, height, proportions, and only if larger."""
    assert size == read.image(convert("png", "jpg", PNG, **parameters).only).size


@pytest.mark.parametrize(
    ("space", "mode"), [("gray", "L"), ("cmyk", "CMYK"), ("rgb", "RGB"), ("default", "RGB")]
)
def test_color_space(convert: Convert, read: Reader, space: str, mode: str) -> None:
    """ColorSpace is the picture's own."""
    assert mode == read.image(convert("png", "jpg", PNG, ColorSpace=space).only).mode


def test_transparency_is_kept_or_filled(convert: Convert, read: Reader) -> None:
    """WebP and PNG keep it, JPEG fills it with AlphaColor."""
    clear = stored(Image.new("RGBA", (10, 10), (0, 0, 0, 0)))

    assert 0 == read.pixel(read.image(convert("png", "webp", clear).only), 5, 5)[3]
    white = read.pixel(read.image(convert("png", "jpg", clear).only), 5, 5)
    red = read.pixel(read.image(convert("png", "jpg", clear, AlphaColor="#ff0000").only), 5, 5)
    assert (255, 255, 255) == white
    assert red[0] > 250
    assert red[1] < 10


def test_held_upright(convert: Convert, read: Reader) -> None:
    """A camera's EXIF orientation is applied, in pictures and in PDF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = stored(Image.new("RGB", (40, 20)), "JPEG", exif=exif)

    assert (20, 40) == read.image(convert("jpg", "png", turned).only).size
    assert [(20, 40)] == read.sizes(convert("jpg", "pdf", turned).only)


def test_every_frame_of_a_picture(convert: Convert, read: Reader) -> None:
    """Pages of a TIFF become files, or frames where the format has them."""
    pages = [Image.new("RGB", (20, 10), color) for color in ("red", "green", "blue")]
    tiff = stored(pages[0], "TIFF", save_all=True, append_images=pages[1:])

    assert 3 == len(convert("tiff", "png", tiff))
    assert 3 == len(read.sizes(convert("tiff", "pdf", tiff).only))
    assert 3 == getattr(read.image(convert("tiff", "webp", tiff).only), "n_frames", 0)
    assert 3 == len(convert("tiff", "tiff", tiff, MultiPage=False))


def test_animation_of_several_pictures(convert: Convert, read: Reader) -> None:
    """Each file is a frame; delay in hundredths of a second, number of rounds."""
    files = [stored(Image.new("RGB", (20, 10), color)) for color in ("red", "green")]

    image = read.image(convert("png", "gif", *files, AnimationDelay=50, AnimationIterations=3).only)

    assert 2 == getattr(image, "n_frames", 0)
    assert (500, 3) == (image.info["duration"], image.info["loop"])


def test_gif_loses_its_animation_on_request(convert: Convert, read: Reader) -> None:
    """PersistAnimation false leaves the first frame."""
    pages = [Image.new("RGB", (20, 10), color) for color in ("red", "green")]
    gif = stored(pages[0], "GIF", save_all=True, append_images=pages[1:])

    moving = read.image(convert("gif", "gif", gif).only)
    still = read.image(convert("gif", "gif", gif, PersistAnimation=False).only)

    assert 2 == getattr(moving, "n_frames", 0)
    assert 1 == getattr(still, "n_frames", 0)


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, (240, 150)),
        ({"PageSize": "a4"}, (842, 595)),
        ({"PageSize": "a4", "PageOrientation": "portrait"}, (595, 842)),
        ({"MarginHorizontal": 10, "MarginVertical": 20}, (297, 263)),
        ({"Rotate": 90}, (150, 240)),
    ],
    ids=str,
)
def test_page_of_a_picture(
    convert: Convert, read: Reader, parameters: dict[str, Any], size: tuple[int, int]
) -> None:
    """As large as the picture, or the paper that is asked for."""
    assert [size] == read.sizes(convert("png", "pdf", PNG, **parameters).only)


def test_jpeg_goes_into_the_pdf_as_it_is(convert: Convert, read: Reader) -> None:
    """Nothing is lost by compressing it a second time."""
    with read.pdf(convert("jpg", "pdf", JPG).only) as document:
        (picture,) = document.pages[0].get_images().values()
        assert "/DCTDecode" == str(picture.Filter)
        assert (320, 200) == (int(picture.Width), int(picture.Height))


def test_gray_page_of_a_picture(convert: Convert, read: Reader) -> None:
    """ColorSpace gray takes the colours out."""
    page = read.drawn(convert("png", "pdf", PNG, ColorSpace="gray").only)

    red, green, blue = read.pixel(page, 5, 5)
    assert red == green == blue


def test_images_of_several_formats_in_one_pdf(convert: Convert, read: Reader) -> None:
    """Each is a page, in order; a drawing stays one."""
    made = convert("images", "pdf", PNG, JPG, samples.content("svg"), name="a.png")

    assert [(240, 150)] * 3 == read.sizes(made.only)


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, (320, 400)),
        ({"JoinDirection": "horizontal"}, (640, 200)),
        ({"ImageSpacing": 10}, (320, 410)),
        (
            {"JoinDirection": "horizontal", "ImageSpacing": 10, "ImageOutputFormat": "tiff"},
            (650, 200),
        ),
    ],
    ids=str,
)
def test_join(
    convert: Convert, read: Reader, parameters: dict[str, Any], size: tuple[int, int]
) -> None:
    """Pictures are joined below or next to each other, with a gap."""
    made = convert("images", "join", PNG, JPG, name="a.png", **parameters)

    image = read.image(made.only)
    assert size == image.size
    assert parameters.get("ImageOutputFormat", "png").upper() == image.format


def test_join_fills_the_gap(convert: Convert, read: Reader) -> None:
    """SpacingColor is the colour between the pictures."""
    made = convert("images", "join", PNG, PNG, name="a.png", ImageSpacing=20, SpacingColor="lime")

    assert (0, 255, 0) == read.pixel(read.image(made.only), 100, 210)


def test_compressed_jpeg(convert: Convert, read: Reader) -> None:
    """Each level is smaller than the one before; Lossless changes no pixel."""
    large = stored(Image.effect_noise((400, 400), 60).convert("RGB"), "JPEG", quality=95)

    lossless, good, extreme = (
        convert("jpg", "compress", large, CompressionLevel=level).only
        for level in ("Lossless", "Good", "Extreme")
    )

    assert len(extreme) < len(good) < len(lossless) <= len(large)
    assert read.image(large).tobytes() == read.image(lossless).tobytes()


def test_svg_has_the_resolution(convert: Convert, read: Reader) -> None:
    """A drawing of 320 units, 96 to the inch."""
    made = convert("svg", "png", samples.content("svg"), ImageResolution=192)

    assert (640, 400) == read.image(made.only).size


def test_large_picture(convert: Convert, read: Reader) -> None:
    """A picture of 48 million pixels is not too large."""
    large = stored(Image.new("L", (8000, 6000), 200))

    assert (8000, 6000) == read.image(convert("png", "jpg", large).only).size


@pytest.mark.parametrize("source", ["png", "jpg", "gif", "tiff", "webp", "bmp", "ico", "psd"])
def test_damaged_picture(refused: Refused, source: str) -> None:
    """Cut off in its header, or something else."""
    assert (500, 5002) == refused(source, "pdf" if source != "psd" else "png", b"no picture at all")


def test_frames_of_different_sizes_become_one_animation(convert: Convert, read: Reader) -> None:
    """Each is fitted into the first one's size."""
    files = [stored(Image.new("RGB", size, "red")) for size in ((40, 20), (10, 10))]

    image = read.image(convert("png", "gif", *files).only)

    assert (40, 20) == image.size
    assert 2 == getattr(image, "n_frames", 0)


def test_palette_is_scaled_in_full_color(convert: Convert, read: Reader) -> None:
    """A GIF made smaller keeps its colours."""
    made = convert("gif", "png", samples.content("gif"), ImageWidth=32).only

    assert (32, 20) == read.image(made).size
    assert (32, 64, 128) == read.image(made).convert("RGB").getpixel((1, 1))


def test_lossless_compression_keeps_the_orientation(convert: Convert, read: Reader) -> None:
    """Thumbnail and location are removed, the orientation is kept."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    held = stored(Image.new("RGB", (40, 20)), "JPEG", exif=exif, comment=b"a comment")

    made = convert("jpg", "compress", held, CompressionLevel="Lossless").only

    kept = read.image(made).getexif()
    assert 6 == kept[0x0112]
    assert 0x010E not in kept
    assert b"a comment" not in made


@pytest.mark.parametrize(
    "damage",
    [JPG[:2] + b"\x00" + JPG[3:], JPG[:20], JPG[:2] + b"\xff\xff" + JPG[2:]],
    ids=["marker", "cut", "padding"],
)
def test_lossless_compression_of_a_damaged_picture(
    convert: Convert, refused: Refused, damage: bytes
) -> None:
    """A file with inconsistent segments is damaged; padding is allowed."""
    if damage[2:4] == b"\xff\xff":
        assert convert("jpg", "compress", damage, CompressionLevel="Lossless")
    else:
        assert (500, 5002) == refused("jpg", "compress", damage, CompressionLevel="Lossless")


def test_compressed_svg_is_left_to_the_service(refused: Refused) -> None:
    """It says so, and does not call it damaged."""
    packed = gzip.compress(samples.content("svg"))

    assert (415, 415) == refused("svg", "png", packed)


def test_svg_that_refers_to_itself_is_drawn(convert: Convert, read: Reader) -> None:
    """Its gradients and embedded pictures stay; only references to the outside are removed."""
    inner = base64.b64encode(stored(Image.new("RGB", (10, 10), "red"))).decode()
    drawing = f"""<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96">
    <linearGradient id="g"><stop offset="0" stop-color="#0f0"/></linearGradient>
    <rect width="48" height="48" fill="url( '#g' )"/>
    <image x="48" width="48" height="48" href="data:image/png;base64,{inner}"/></svg>"""

    image = read.image(convert("svg", "png", drawing.encode(), ImageResolution=96).only)

    assert (0, 255, 0) == read.pixel(image, 10, 10)[:3]
    assert (255, 0, 0) == read.pixel(image, 70, 10)[:3]


@pytest.mark.parametrize("space", ["cmyk", "gray", "monochrome"])
def test_transparent_pictures_in_other_colors(convert: Convert, read: Reader, space: str) -> None:
    """Where the colours allow it, they stay transparent."""
    clear = stored(Image.new("RGBA", (10, 10), (0, 0, 0, 0)))

    image = read.image(convert("png", "tiff", clear, ColorSpace=space).only)

    assert {"cmyk": "CMYK", "gray": "LA", "monochrome": "1"}[space] == image.mode


def test_color_that_becomes_transparent(convert: Convert, read: Reader) -> None:
    """What was transparent before stays so."""
    half = Image.new("RGBA", (20, 10), (255, 0, 0, 255))
    half.paste((0, 0, 255, 0), (10, 0, 20, 10))

    made = convert("webp", "png", stored(half, "WEBP", lossless=True), TransparentColor="red").only

    image = read.image(made)
    assert (0, 0) == (read.pixel(image, 2, 2)[3], read.pixel(image, 15, 2)[3])


@pytest.mark.parametrize(
    ("space", "mode"), [("rgb", "RGBA"), ("default", "RGBA"), ("gray", "RGBA")]
)
def test_transparent_webp(convert: Convert, read: Reader, space: str, mode: str) -> None:
    """WebP holds colours and transparency only."""
    clear = stored(Image.new("RGBA", (10, 10), (9, 9, 9, 100)))

    assert "RGBA" == read.image(convert("png", "webp", clear, ColorSpace=space).only).mode


def test_inks_of_print_become_colors_of_the_screen(convert: Convert, read: Reader) -> None:
    """PNG has no CMYK."""
    inks = stored(Image.new("CMYK", (10, 10), (0, 255, 255, 0)), "TIFF")

    assert (255, 0, 0) == read.pixel(read.image(convert("tiff", "png", inks).only), 5, 5)


def test_too_many_frames(refused: Refused) -> None:
    """Five hundred are enough."""
    frames = [Image.new("L", (2, 2), number % 256) for number in range(501)]
    tiff = stored(frames[0], "TIFF", save_all=True, append_images=frames[1:])

    assert (500, 5002) == refused("tiff", "png", tiff)


def test_too_large_a_drawing(refused: Refused) -> None:
    """It is not even read."""
    assert (500, 5002) == refused("svg", "png", b"<svg>" + b" " * (33 << 20) + b"</svg>")


@pytest.mark.parametrize(
    "content",
    [b"\xff\xd8\x00\x00\x00\x00\x00", b"\xff\xd8\xff\xe0\x00\x02", b"\xff\xd8"],
    ids=["no marker", "no picture", "nothing"],
)
def test_segments_that_do_not_add_up(content: bytes) -> None:
    """The file is damaged, and the Code says so."""
    with pytest.raises(EngineError) as caught:
        jpegfile.stripped(content)
    assert 5002 == caught.value.code
