"""A waybill label as a one-page PDF, made by hand: a Code 39 bar code and a few lines of text."""

from __future__ import annotations

WIDTH, HEIGHT = 216, 288  # points: the 76 x 130 mm label is about this
NARROW, WIDE = 0.75, 1.9  # points

#: Code 39: nine elements from bar to space to bar, `w` is a wide one. Only what a waybill number is made of.
CODE_39 = {
    "0": "nnnwwnwnn",
    "1": "wnnwnnnnw",
    "2": "nnwwnnnnw",
    "3": "wnwwnnnnn",
    "4": "nnnwwnnnw",
    "5": "wnnwwnnnn",
    "6": "nnwwwnnnn",
    "7": "nnnwnnwnw",
    "8": "wnnwnnwnn",
    "9": "nnwwnnwnn",
    "S": "nnwnnnwwn",
    "F": "nnwnwwnnn",
    "*": "nwnnwnwnn",
}


def label_pdf(waybill_no: str, lines: list[str]) -> bytes:
    """A valid PDF 1.4 page: the bar code, the number under it, and these lines (Chinese allowed)."""
    drawing = [*_bars(f"*{waybill_no}*", left=8, bottom=HEIGHT - 70, height=54)]
    drawing.append(f"BT /F1 14 Tf 40 {HEIGHT - 88} Td ({waybill_no}) Tj ET")
    for row, line in enumerate(lines):
        text = line.encode("utf-16-be").hex()
        drawing.append(f"BT /F2 10 Tf 10 {HEIGHT - 116 - 16 * row} Td <{text}> Tj ET")
    stream = "\n".join(drawing).encode("ascii")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        # a font every viewer brings for simplified Chinese, so none has to be embedded
        b"<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UTF16-H /DescendantFonts [7 0 R] >>",
        b"<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /DW 1000 /FontDescriptor 8 0 R "
        b"/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 4 >> >>",
        b"<< /Type /FontDescriptor /FontName /STSong-Light /Flags 6 /FontBBox [-25 -254 1000 880] "
        b"/ItalicAngle 0 /Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >>",
    ]
    return _file(objects)


def _bars(text: str, left: float, bottom: float, height: float) -> list[str]:
    """PDF rectangles of a bar code."""
    drawn, x = [], left
    for letter in text:
        for place, width in enumerate(CODE_39[letter]):
            points = WIDE if width == "w" else NARROW
            if place % 2 == 0:
                drawn.append(f"{x:.2f} {bottom} {points} {height} re f")
            x += points
        x += NARROW  # the gap between two letters
    return drawn


def _file(objects: list[bytes]) -> bytes:
    """Objects numbered from 1, with the cross-reference table that says where each begins."""
    body = bytearray(b"%PDF-1.4\n")
    starts = []
    for number, content in enumerate(objects, start=1):
        starts.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    body += b"".join(b"%010d 00000 n \n" % start for start in starts)
    body += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(body)
