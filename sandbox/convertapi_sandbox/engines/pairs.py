"""Which engine does which conversion with which parameters, by their names in the catalogue."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convertapi_sandbox.requirements import importable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value = str | int | float | bool

_PAPER = (
    "PageSize PageOrientation PageWidth PageHeight MarginTop MarginRight MarginBottom MarginLeft"
)
_PICTURE = (
    "ImageResolution ImageHeight ImageWidth ImageQuality ScaleProportions ColorSpace "
    "BackgroundColor TransparentColor CompressionLevel BitDepth MultiPage TiffType JpgType Rotate"
)
_PAGE_PICTURE = f"Password PageRange FitToSize {_PICTURE}"
_SCALED = (
    "ImageResolution ImageHeight ImageWidth ImageQuality ScaleImage ScaleProportions "
    "ScaleIfLarger ImageInterpolation ColorSpace AlphaColor TransparentColor CompressionLevel "
    "MultiPage TiffType BitDepth JpgType"
)
_ANIMATED = f"{_SCALED} PersistAnimation AnimationDelay AnimationIterations"
_PRINTED = "Rotate ColorSpace MarginHorizontal MarginVertical PageSize PageOrientation Pdfa"
_WORD = "Password PageRange ConvertTags ConvertMetadata BookmarkMode Pdfa PdfaVersion"
_SLIDES = "Password PageRange ConvertHiddenSlides ConvertMetadata Pdfa"
_SHEET = (
    "Password WorksheetActive WorksheetIndex WorksheetName PageOrientation PageSize "
    "ClearPrintArea Scale HeaderOnEachPage ThousandsSeparator DecimalSeparator DateFormat Pdfa"
)
_PLACED = (
    "Password PageRange Opacity Style PageBox HorizontalAlignment VerticalAlignment "
    "MeasurementUnit OffsetX OffsetY"
)
_LETTERED = (
    "Text FontSize TextRenderingMode FontColor StrokeColor StrokeWidth Rotate Width LineSpacing"
)
_CROPPED = (
    "Password PageRange CropMode MeasurementUnit AutoStrategy AutoPadding Anchor PageSize "
    "PageOrientation CropWidth CropHeight VerticalMargin HorizontalMargin"
)
_COMPRESSED = (
    "Password Preset ImageResolution ImageQuality RemoveForms RemoveDuplicates Optimize "
    "RemovePieceInformation RemoveEmbeddedFiles RemoveStructureInformation RemoveMetadata "
    "RemoveUnusedResources Linearize"
)
_EXTRACTED = "Password PageRange ImageOutputFormat MinimumImageWidth MinimumImageHeight"
_SPLIT = (
    "Password SplitByPattern SplitByRange SplitByTextPattern SplitByBookmark ExtractPages "
    "MergeOutput"
)
_REWRITTEN = "PdfVersion PdfTitle PdfSubject PdfAuthor PdfCreator PdfKeywords OpenPage OpenZoom"
_LOCKED = (
    "Password EncryptionAlgorithm EncryptMeta UserPassword OwnerPassword RespectOwnerPassword "
    "PreservePermissions AllowEverything AssembleDocument CopyContents ModifyContents "
    "ExtractContents ModifyAnnotations FillFormFields PrintDocument PrintFaithfulCopy"
)
_TABULATED = "SingleSheet DecimalSeparator ThousandsSeparator"
_RASTER = "bmp gif jpg png psd svg tiff webp"


@dataclass(frozen=True, slots=True)
class Row:
    """Pairs that have the same engine and honour the same parameters.

    `needs` is a module without which they cannot be converted, "" for none.
    """

    engine: str
    sources: str
    targets: str
    parameters: str = ""
    needs: str = ""

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield each pair of source and target."""
        return (
            (source, target) for source in self.sources.split() for target in self.targets.split()
        )


ROWS = (
    Row("documents", "docx dotx rtf", "pdf", _WORD),
    Row("documents", "odt", "pdf", "PdfaVersion"),
    Row("documents", "epub", "pdf", f"BaseFontSize {_PAPER}"),
    Row("documents", "html web", "pdf", f"PageRange {_PAPER}"),
    Row("documents", "md", "pdf", _PAPER),
    Row("documents", "txt", "pdf", f"PageRange FontSize Pdfa {_PAPER}"),
    Row("documents", "log", "pdf", "PageRange PdfaVersion"),
    Row("documents", "pptx ppsx potx", "pdf", _SLIDES),
    Row("documents", "csv xlsx xltx", "pdf", _SHEET),
    Row("documents", "eml", "pdf", f"IgnoreAttachmentErrors Merge Pdfa {_PAPER}"),
    Row("documents", "office", "pdf", "Password"),
    Row("documents", "file", "pdf", ""),
    Row("documents", "docx epub", "jpg png tiff webp", _PAGE_PICTURE),
    Row("documents", "pptx ppsx potx", "jpg png tiff webp", f"ConvertHiddenSlides {_PAGE_PICTURE}"),
    Row("documents", "xlsx", "jpg png tiff webp", _PAGE_PICTURE),
    Row("documents", "eml", "jpg png tiff webp", f"IgnoreAttachmentErrors Merge {_PAGE_PICTURE}"),
    Row("documents", "dotx rtf txt", "jpg", _PAGE_PICTURE),
    Row("documents", "html odt web", "jpg png", _PAGE_PICTURE),
    Row("documents", "docx", "html md", "Password"),
    Row("documents", "docx", "odt rtf", "Password"),
    Row("documents", "rtf", "html", ""),
    Row("documents", "docx html odt rtf log web", "txt", "Password EndLineChar"),
    Row("documents", "html mhtml", "docx", "MarginHorizontal MarginVertical"),
    Row("documents", "log odt", "docx", "Password"),
    Row("documents", "html", "md", "GithubFlavored"),
    Row("documents", "md", "html", ""),
    Row("sheets", "csv", "xlsx", "Delimiter CellType"),
    Row("sheets", "xlsx", "csv", "Password"),
    Row("sheets", "html", "xlsx", ""),
    Row("archives", "file", "zip", "CompressionLevel"),
    Row("archives", "zip", "extract", "Password"),
    Row("archives", "potx ppsx", "pptx"),
    Row("mail", "email", "extract", "UseCIDAsFileName IgnoreInlineAttachments"),
    Row("mail", "email", "metadata", "IgnoreInlineAttachments"),
    Row("images", f"ico {_RASTER}", "jpg webp", _SCALED),
    Row("images", _RASTER, "pnm tiff", _SCALED),
    Row("images", "bmp gif ico jpg psd svg tiff webp", "png", _SCALED),
    Row("images", "gif jpg png webp", "gif", _ANIMATED),
    Row("images", "bmp gif ico jfif jpg png tiff webp images", "pdf", _PRINTED),
    Row("images", "svg", "pdf", ""),
    Row("images", "jpg", "compress", "CompressionLevel"),
    Row("images", "images", "join", "JoinDirection ImageSpacing SpacingColor ImageOutputFormat"),
    Row("pages", "pdf", "jpg png tiff webp", f"CropTo Scale ColorMode {_PAGE_PICTURE}"),
    Row("pages", "pdf", "tiff-fax", "Password PageRange CropTo MultiPage TiffType"),
    Row("pages", "pdf", "txt", "Password PageRange SplitPages EndLineChar"),
    Row("pages", "pdf", "flatten", "Password"),
    Row("svgpages", "pdf", "svg", "Password PageRange ScaleProportions ImageHeight ImageWidth"),
    Row("crop", "pdf", "crop", _CROPPED),
    Row("optimize", "pdf", "compress", _COMPRESSED),
    Row("optimize", "pdf", "extract-images", _EXTRACTED),
    Row("optimize", "pdf", "meta", "Password"),
    Row("optimize", "pdf", "rasterize", "Password Resolution"),
    Row("stamps", "pdf", "text-watermark", f"{_LETTERED} {_PLACED}"),
    Row("stamps", "pdf", "image-watermark", f"Scale {_PLACED}"),
    Row("stamps", "pdf", "pdf-watermark", f"OverlayPage {_PLACED}"),
    Row("surgery", "pdf", "delete-pages", "Password PageRange DeleteBlankPages"),
    Row("surgery", "pdf", "merge", "Password BookmarksToc PageSize PageOrientation OpenPage"),
    Row("surgery", "pdf", "pdf", _REWRITTEN),
    Row("surgery", "pdf", "protect", _LOCKED),
    Row("redaction", "pdf", "redact", "Password PageRange Preset RedactionData RedactionColor"),
    Row("reflow", "pdf", "md html", "Password PageRange", "pdf_oxide"),
    Row("surgery", "pdf", "repair", "Password"),
    Row("surgery", "pdf", "rotate", "Password PageRange Angle"),
    Row("surgery", "pdf", "split", _SPLIT),
    Row("surgery", "pdf", "unprotect", "Password"),
    Row("tables", "pdf", "csv", "Password PageRange Delimiter", "pdfplumber"),
    Row("tables", "pdf", "xlsx", f"Password PageRange {_TABULATED}", "pdfplumber"),
    Row("template", "template", "docx pdf", "BindingMethod JsonPayload"),
    Row("ocr", "pdf", "ocr", "Password PageRange OutputType OcrLanguage", "rapidocr"),
    Row("ocr", "jpg", "txt", "OcrLanguage", "rapidocr"),
)

# What provides the modules in `needs`.
PACKAGES: Mapping[str, str] = {
    "pdf_oxide": "pdf_oxide>=0.3.70",
    "pdfplumber": "pdfplumber>=0.11.7",
    "rapidocr": "convertapi-sandbox[ocr]",
}

# Pairs that LibreOffice adds if `soffice` is on the PATH.
LIBREOFFICE_ROWS = (
    Row("documents", "odg odp ods", "pdf", "PageRange"),
    Row("documents", "odp ods", "jpg png", _PAGE_PICTURE),
    Row("documents", "doc", "docx"),
    Row("documents", "ppt", "pptx"),
    Row("documents", "xls", "xlsx"),
)

# Values that ask for what the engine does anyway; None stands for any value.
_HARMLESS: Mapping[str, tuple[Value, ...] | None] = {
    "AdBlock": (False,),
    "AutoColumnFit": None,  # columns are always as wide as their content
    "AutoPageFit": (False,),
    "AutoRotate": (False,),
    "Background": (False,),
    "BookmarkMode": ("headings",),
    "ColorProfile": ("default",),
    "ColorSpace": ("default", "Default"),
    "ConvertHiddenSlides": (False,),
    "ConvertMarkups": (False,),
    "ConvertMetadata": None,  # formats without metadata ignore it
    "ConvertSpeakerNotes": ("Disabled",),
    "CookieConsentBlock": (False,),
    "CropTo": ("BoundingBox",),
    "EmbedFonts": (True,),
    "FillOrder": (0, "0"),
    "FlattenControls": (True,),
    "FlattenText": (False,),
    "FlattenWidgets": (True,),
    "FontEmbed": (True,),
    "FontSubset": (True,),
    "ContextSize": None,  # of a detection that the sandbox does not have
    "Height": (0,),
    "HorizontalAlignment": ("center",),
    "ImageResolution": None,  # if pictures keep their pixels
    "IncludeFormatting": (False,),
    "InlineImages": (True,),
    "JavaScript": (False,),
    "ListBulletChar": ("-",),
    "MinimumConfidence": None,  # of such a detection
    "LoadLazyContent": (False,),
    "EnableOcr": ("None", "Scanned"),
    "OcrEngine": None,  # there is no OCR; OcrMode says so
    "OcrLanguage": None,
    "OcrMode": ("auto", "never"),
    "Password": None,  # formats without passwords ignore it
    "Pdfa": (False,),
    "PdfaVersion": ("none",),
    "PreservePdfa": (False,),
    "PageSegmentationMode": None,  # every layout is recognised in the same way
    "Preprocessing": None,
    "Preset": ("none",),
    "RemoveComments": (True,),
    "RemoveDuplicateFonts": (False,),
    "RemoveFootnotes": (False,),
    "RemoveHeadersFooters": (False,),
    "RemoveTables": (False,),
    "ScaleIfLarger": (False,),
    "SubsetEmbeddedFonts": (False,),
    "Substitutions": (False,),
    "TransparentBackground": (False,),
    "UnembedBaseFonts": (False,),
    "UnsupportedTags": ("Bypass",),
    "UpdateReferences": (False,),
    "UpdateToc": (False,),
    "Url": None,  # the server has fetched it
    "UseImagePageSize": (True,),
    "VerticalAlignment": ("center",),
    "Wysiwyg": (False,),
    "Zoom": (1,),
}
# Values that cannot be honoured although other values of the parameter can.
_REFUSED: Mapping[str, tuple[Value, ...]] = {
    "BitDepth": ("2", "4", "16"),
    "BookmarkMode": ("bookmarks",),
    "PdfVersion": ("1.8",),
    "Preset": ("auto", "gdpr", "hipaa", "ferpa", "foia", "glba", "ccpa"),
}
_WITHOUT_CMYK = frozenset({"png", "webp", "gif", "pnm", "pdf"})


_LACKING = {module for module in PACKAGES if not importable(module)}


def _rows() -> tuple[Row, ...]:
    rows = ROWS + LIBREOFFICE_ROWS if shutil.which("soffice") else ROWS
    return tuple(row for row in rows if row.needs not in _LACKING)


_BY_PAIR: Mapping[tuple[str, str], Row] = {pair: row for row in _rows() for pair in row.pairs()}
PAIRS: Mapping[tuple[str, str], str] = {pair: row.engine for pair, row in _BY_PAIR.items()}
MISSING: Mapping[tuple[str, str], str] = {
    pair: PACKAGES[row.needs] for row in ROWS if row.needs in _LACKING for pair in row.pairs()
}
"""What pip must install before the sandbox can convert a pair."""


def unsupported_parameters(source: str, target: str, parameters: Mapping[str, Value]) -> list[str]:
    """Return the parameters that the catalogue has and the sandbox cannot honour.

    Args:
        source: Canonical source of a pair in PAIRS.
        target: Canonical destination.
        parameters: By canonical name, typed; values that ask for what happens anyway are fine.
    """
    honoured = _BY_PAIR[source, target].parameters.split()
    return [
        name
        for name, value in parameters.items()
        if not (_can if name in honoured else _is_harmless)(name, value, target)
    ]


def _can(name: str, value: Value, target: str) -> bool:
    if name in ("ColorSpace", "ColorMode", "JpgType") and "cmyk" in str(value).lower():
        return target not in _WITHOUT_CMYK
    return value not in _REFUSED.get(name, ())


def _is_harmless(name: str, value: Value, target: str) -> bool:
    if name not in _HARMLESS or (name == "Password" and target == "zip"):  # it would lock it
        return False
    values = _HARMLESS[name]
    return values is None or value in values
