"""Which encoding a CSV file is in: proved over the whole file, never guessed in silence."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from integrations.spreadsheets import SheetWrong

#: What a person may say a file is in, and how we say it.
ENCODINGS = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "gb18030": "GB18030(GBK)", "big5": "Big5"}
LONGEST_LINE = 1024 * 1024
_MANY_NULS = 0.01
_JUDGED = 20_000
#: Of Chinese text nearly all characters are among the 3,755 commonest; of another encoding read as GBK few are.
_COMMON_SHARE = 0.8


class EncodingUnclear(SheetWrong):
    """The encoding cannot be told; `samples` shows the beginning of the file in each that it may be."""

    def __init__(self, samples: dict[str, str]) -> None:
        self.samples = samples
        names = "、".join(ENCODINGS[name] for name in samples)
        super().__init__(
            f"文件不是 UTF-8,也看不准是哪种编码(可能是 {names}):请选一种读得通的,或另存为「CSV UTF-8」再上传。"
        )


@dataclass(frozen=True)
class Text:
    """A text file's encoding and the number of its lines (quoted line breaks count)."""

    encoding: str
    lines: int


def text_of(path: Path, encoding: str | None = None) -> Text:
    """The file's encoding: the one that is said, or UTF-8, UTF-16 with its mark, GB18030 if the whole file is.

    Raises `EncodingUnclear`, and `SheetWrong` for what is no text or has a line longer than a megabyte.
    """
    with path.open("rb") as file:
        head = file.read(LONGEST_LINE)
    if encoding is not None and encoding not in ENCODINGS:
        raise SheetWrong(f"不支持编码 {encoding!r}:可选 {'、'.join(ENCODINGS)}。")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") and encoding is None:
        encoding = "utf-16"
    if encoding != "utf-16" and head.count(b"\0") > len(head) * _MANY_NULS:
        raise SheetWrong("文件里有大量空字符(NUL),不是 CSV 文本:请在表格软件里另存为「CSV UTF-8」或 .xlsx。")
    if encoding is not None:
        lines, wrong = _proved(path, encoding)
        if wrong is not None:
            raise SheetWrong(f"第 {wrong} 行附近不是 {ENCODINGS[encoding]}:请换一种编码,或另存为「CSV UTF-8」。")
        return Text(encoding, lines)
    lines, wrong = _proved(path, "utf-8-sig")
    if wrong is None:
        return Text("utf-8-sig", lines)
    if _proved(path, "gb18030")[1] is None and _reads_as_chinese(path):
        return Text("gb18030", lines)
    raise EncodingUnclear(_samples(head))


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(LONGEST_LINE):
            yield chunk


def _proved(path: Path, encoding: str) -> tuple[int, int | None]:
    """The number of lines, and the line near which the file is not in this encoding (None: it is throughout)."""
    decoder, lines, wrong = codecs.getincrementaldecoder(encoding)(), 1, None
    for chunk in _chunks(path):
        if len(chunk) == LONGEST_LINE and b"\n" not in chunk and b"\r" not in chunk:
            raise SheetWrong(f"第 {lines} 行有超过 1 MB 的内容:一格里放不下这么多,多半是引号没有成对,请检查这一行。")
        try:
            if wrong is None:
                decoder.decode(chunk)
        except UnicodeError:
            wrong = lines
        lines += chunk.count(b"\n") or chunk.count(b"\r")
    try:
        if wrong is None:
            decoder.decode(b"", final=True)
    except UnicodeError:
        wrong = lines
    return lines, wrong


def _reads_as_chinese(path: Path) -> bool:
    decoder, judged = codecs.getincrementaldecoder("gb18030")(), ""
    for chunk in _chunks(path):
        judged += "".join(character for character in decoder.decode(chunk) if character > "\x7f")
        if len(judged) >= _JUDGED:
            break
    return sum(map(_is_common, judged)) >= _COMMON_SHARE * len(judged)


def _is_common(character: str) -> bool:
    """Among the marks and the first level of GB 2312."""
    return b"\xa1" <= character.encode("gb2312", "replace")[:1] <= b"\xd7"


def _samples(head: bytes) -> dict[str, str]:
    found = {}
    for encoding in ("gb18030", "big5", "utf-8-sig"):
        said = head[:4000].decode(encoding, "replace").lstrip("\ufeff")
        found[encoding] = "\n".join(said.splitlines()[:2])[:200]
    return found
