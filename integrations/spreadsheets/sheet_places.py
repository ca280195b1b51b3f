"""Where a parcel goes: provinces by all their names, and an address in one cell taken apart into 省, 市 and 区."""

from __future__ import annotations

import re
from typing import NamedTuple

from integrations.spreadsheets.sheet_values import CellWrong


class Place(NamedTuple):
    """An address in four parts; `district` may be empty, some cities have none."""

    province: str
    city: str
    district: str
    detail: str


MUNICIPALITIES = ("北京市", "天津市", "上海市", "重庆市")
_NORTH = "河北 山西 辽宁 吉林 黑龙江 江苏 浙江 安徽 福建 江西 山东"
_SOUTH = "河南 湖北 湖南 广东 海南 四川 贵州 云南 陕西 甘肃 青海 台湾"
_FULL = (
    *MUNICIPALITIES,
    *(f"{name}省" for name in f"{_NORTH} {_SOUTH}".split(" ")),
    "内蒙古自治区",
    "广西壮族自治区",
    "西藏自治区",
    "宁夏回族自治区",
    "新疆维吾尔自治区",
    "香港特别行政区",
    "澳门特别行政区",
)
_SUFFIX = re.compile(r"(?:壮族|回族|维吾尔)?自治区|特别行政区|[省市]$")
#: Every name of a province → its full name.
PROVINCES = {name: full for full in _FULL for name in (full, _SUFFIX.sub("", full))}
_BY_LENGTH = sorted(PROVINCES, key=len, reverse=True)

#: Prefecture-level cities without districts, and county-level ones that answer to the province.
_WITHOUT_DISTRICTS = frozenset(
    (
        "东莞市", "中山市", "儋州市", "嘉峪关市", "济源市", "仙桃市", "潜江市", "天门市", "五指山市",
        "文昌市", "琼海市", "万宁市", "东方市", "石河子市", "阿拉尔市", "图木舒克市", "五家渠市", "北屯市",
        "铁门关市", "双河市", "可克达拉市", "昆玉市", "胡杨河市", "新星市",
    )
)  # fmt: skip
_CITY = re.compile(r"(.{1,9}?(?:自治州|地区|盟)|.[^省县区0-9]{0,6}?市)")
_COUNTY_AS_CITY = re.compile(r"(.{1,8}?(?:自治县|林区|县))")
_DISTRICT = re.compile(r"(.{1,10}?(?:自治县|自治旗|特区|林区|开发区|高新区|县(?!区)|区|市(?!区)|旗))")
#: Signs that what looks like a district is the middle of a street address. Some districts do carry such a character.
_NO_DISTRICT = re.compile(r"[0-9０-９号弄巷栋]|社区|小区|园区.|.(?:路|街|道|村|镇|乡)")
_ODD_DISTRICTS = re.compile(
    r"二道江?区|通道侗族自治县|北镇市|[桐湘宁]乡市|[新内西金武安平]乡县|东乡(?:族自治县|区)|让胡路区|西乡塘区|萍乡市|景德镇市|.{2,4}(?:新|管理|示范)区"
)
_TOP_OF_CITY = re.compile(r"市辖区|县(?=.{1,6}县)|城区(?=.{1,6}区)")
_POSTCODE = re.compile(r"\s*[(\uff08]\d{6}[)\uff09]\s*$")
_CITY_ENDS = ("市", "州", "盟", "地区", "县", "林区", "市辖区")
#: What people put between the parts.
_BETWEEN = " ,\uff0c、-"
_GAPS = re.compile(r"[\s\u3000]+")


def full_province(name: str) -> str:
    """The full name of a province, what was said when it is none that we know."""
    return PROVINCES.get(name, name)


def split_address(address: str) -> Place:
    """省, 市, 区 and the rest of an address in one cell. Raises `CellWrong` when province or city cannot be told."""
    said = _POSTCODE.sub("", address.strip()).removeprefix("中国").strip()
    parts = _GAPS.split(said)
    if len(parts) >= 3 and parts[0] in PROVINCES and _looks_like_city(parts[1], PROVINCES[parts[0]]):
        return _from_parts(parts)
    province, rest = _province(said)
    rest = _GAPS.sub("", rest[:30]) + rest[30:]
    if province in MUNICIPALITIES:
        city, rest = province, rest.removeprefix(province).removeprefix(province[:-1] if rest[2:3] != "市" else "")
    else:
        city, rest = _city(rest)
    district, rest = split_district(city, rest)
    return Place(province, city, district, rest.strip())


def without_places(street: str, province: str, city: str, district: str) -> str:
    """A street that begins with province, city and district once more, without them."""
    if not district:
        return street
    cities = {city, ""} if city == province else {city}
    for middle in cities:
        repeated = re.match(r"\s*".join(map(re.escape, filter(None, (province, middle, district)))) + r"\s*", street)
        if repeated and repeated.end() < len(street):
            return street[repeated.end() :]
    return street


def _looks_like_city(part: str, province: str) -> bool:
    return part.endswith(("市", "州", "盟", "地区", "自治县", "县", "林区", "市辖区")) or part in (
        province,
        province[:-1],
    )


def _from_parts(parts: list[str]) -> Place:
    province, city = PROVINCES[parts[0]], parts[1]
    if province in MUNICIPALITIES:
        city = province
    district = parts[2] if len(parts) > 3 and _is_district(parts[2]) else ""
    if district:
        return Place(province, city, district, " ".join(parts[3:]))
    found, rest = split_district(city, " ".join(parts[2:]))
    return Place(province, city, found, rest.strip())


def _province(said: str) -> tuple[str, str]:
    for name in _BY_LENGTH:
        if said.startswith(name):
            full, rest = PROVINCES[name], said[len(name) :]
            if name != full and rest.startswith(("市", "区", "县", "路", "街")) and full not in MUNICIPALITIES:
                break  # 吉林市 is a city
            return full, rest.lstrip(_BETWEEN)
    raise CellWrong("地址里没有写省份:请写成「省 市 区 详细地址」")


def _city(rest: str) -> tuple[str, str]:
    found = _CITY.match(rest) or _COUNTY_AS_CITY.match(rest)
    if found is None or re.search(r"[0-9号路]", found[1]):
        raise CellWrong("地址里没有写城市:请写成「省 市 区 详细地址」")
    return found[1], rest[found.end() :].lstrip(_BETWEEN)


def split_district(city: str, rest: str) -> tuple[str, str]:
    """The district at the beginning of what follows a city, and the rest; "" and all of it where there is none."""
    if city in _WITHOUT_DISTRICTS or city.endswith(("县", "林区")):
        return "", rest
    top = _TOP_OF_CITY.match(rest)
    rest = rest[top.end() :] if top else rest
    found = _DISTRICT.match(rest)
    if found is None or not _is_district(found[1]):
        return "", rest
    return found[1], rest[found.end() :].lstrip(_BETWEEN)


def _is_district(name: str) -> bool:
    if _ODD_DISTRICTS.fullmatch(name):
        return True
    return _DISTRICT.fullmatch(name) is not None and _NO_DISTRICT.search(name) is None
