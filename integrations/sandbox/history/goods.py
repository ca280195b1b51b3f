"""From a product of the source to a SKU: what it is, what it weighs, what it is called in Chinese."""

import re
from statistics import median_low
from typing import NamedTuple

GRAMS = {"LB": 453.592, "OZ": 28.3495, "GAL": 3785.41, "ML": 1.0}
# No size in the source says what the parcel weighs: a plain assumption per form, used only if no sibling is known.
FALLBACK_GRAMS = {"supplies": 300, "treat": 250, "litter": 2000, "wet": 156, "dry": 1500, "semi_moist": 500}
KIND = {"litter": "litter", "supplies": "supplies"}  # every other form is eaten
# On these a weight is the animal's, not the package's ("46-60 LB" is the dog the collar fits).
SIZED_FOR_ANIMAL = {"TOY", "COLLAR", "WEAR", "BED", "FLEA"}
SPECIES_CODE = {"dog": "DOG", "cat": "CAT", "any": "PET"}


class Sort(NamedTuple):
    """What the seller makes of one product type of the source."""

    form: str  # dry, wet, semi_moist, treat, litter, supplies
    species: str  # dog, cat, any
    code: str  # middle part of the SKU code
    label: str  # Chinese, first part of the title


# The source cuts its type names at 30 characters, so they are spelled here exactly as they arrive.
SORTS: dict[str, Sort] = {
    "DRY DOG ECONOMY (COST CUTTER/F": Sort("dry", "dog", "DRY", "经济型犬干粮"),
    "DRY DOG FOOD PREMIUM (ALPO/PUR": Sort("dry", "dog", "DRY", "优选犬干粮"),
    "DRY DOG FOOD SUPER PREM (ONE/N": Sort("dry", "dog", "DRY", "高端犬干粮"),
    "DRY DOG VALUE (PET PRIDE/KLR/G": Sort("dry", "dog", "DRY", "实惠型犬干粮"),
    "SEMI MOIST DOG FOOD": Sort("semi_moist", "dog", "MOIST", "半湿犬粮"),
    "CAN DOG FOOD (SKIPPY/PEDIGREE/": Sort("wet", "dog", "WET", "犬用罐头"),
    "CAN DOG FOOD RATION (TRIX/VETS": Sort("wet", "dog", "WET", "经济型犬罐头"),
    "CAN DOGFD GOURMET/SUPER PREM (": Sort("wet", "dog", "WET", "高端犬湿粮"),
    "DOG BISCUITS (HARD BISCUIT)": Sort("treat", "dog", "BISC", "犬用饼干"),
    "DOG TREATS (SOFT TREATS)": Sort("treat", "dog", "TREAT", "犬用软零食"),
    "NATURAL FOODS SNACKS": Sort("treat", "dog", "TREAT", "犬用天然零食"),
    "RAWHIDE CHEWS": Sort("treat", "dog", "CHEW", "犬用生皮咬胶"),
    "DRY CAT FOOD (CAT CHOW/FRISKIE": Sort("dry", "cat", "DRY", "优选猫干粮"),
    "DRY CAT FOOD ECONOMY (COST CUT": Sort("dry", "cat", "DRY", "经济型猫干粮"),
    "DRY CAT FOOD SUP PREM (ONE/NUT": Sort("dry", "cat", "DRY", "高端猫干粮"),
    "CANNED CAT FOOD (9 LIVES/FRISK": Sort("wet", "cat", "WET", "猫用罐头"),
    "CANNED CAT FOOD RATION (ECONOM": Sort("wet", "cat", "WET", "经济型猫罐头"),
    "CAN CATFD GOURMET/SUP PREM (GR": Sort("wet", "cat", "WET", "高端猫湿粮"),
    "CAT TREATS": Sort("treat", "cat", "TREAT", "猫零食"),
    "SCOOP LITTER": Sort("litter", "cat", "LITTER", "结团猫砂"),
    "CONVENTIONAL LITTER": Sort("litter", "cat", "LITTER", "传统猫砂"),
    "ALTERNATIVE LITTER": Sort("litter", "cat", "LITTER", "植物猫砂"),
    "LITTER ACCESSORIES": Sort("supplies", "cat", "LITACC", "猫砂配件"),
    "PET TREATS": Sort("treat", "any", "TREAT", "宠物零食"),
    "DOG & CAT TOYS": Sort("supplies", "any", "TOY", "犬猫玩具"),
    "DOG & CAT ACCESSORIES": Sort("supplies", "any", "ACC", "犬猫用品"),
    "DOG & CAT CHEMICALS": Sort("supplies", "any", "CARE", "犬猫洗护"),
    "FLEA/TICK COLLAR": Sort("supplies", "any", "FLEA", "驱虫项圈"),
    "COLLARS AND LEADS": Sort("supplies", "any", "COLLAR", "项圈牵引绳"),
    "BANDANA/SCARVES": Sort("supplies", "any", "WEAR", "宠物围巾"),
    "PROMO BED PILLOWS": Sort("supplies", "any", "BED", "宠物窝垫"),
    "CLOSET ACCESSORIES": Sort("supplies", "any", "ACC", "收纳用品"),
    "MISC. PET SUPPLIES": Sort("supplies", "any", "MISC", "宠物杂货"),
    "AQUARIUM NEEDS": Sort("supplies", "any", "AQUA", "水族用品"),
    "DOMESTIC BIRD FOOD/NEEDS": Sort("supplies", "any", "BIRD", "鸟食与用品"),
    "SMALL ANIMAL NEEDS": Sort("supplies", "any", "SMALL", "小宠用品"),
    "REPTILE NEEDS": Sort("supplies", "any", "REPT", "爬宠用品"),
}

_NUMBER = r"(\d*\.?\d+)"
_UNIT = r"(?:FL )?(OZ|LB|GAL|ML)"
_SINGLE = re.compile(rf"(?:EACH )?{_NUMBER} {_UNIT}(?:[ /](?:POUCH|PCH|POLY|BOX|BAG|BTL|CANTR))?")
_COUNT_FIRST = re.compile(rf"(\d+)(?: PK)?[/-]{_NUMBER} {_UNIT}(?: CAN)?")  # 24/5.5 OZ, 12-3 OZ, 3 PK/3.7 OZ
_COUNT_LAST = re.compile(rf"{_NUMBER} {_UNIT}/(\d+) PK?")  # 3.5 OZ/12 P
_ANIMAL = re.compile(r"(?:\d+-\d+|UNDER \d+) LB")
_PIECES = re.compile(r"(\d+) (?:CT|PK|PC)")
_INCHES = re.compile(rf"{_NUMBER} IN")
_WORDS = {"LARGE": "大号", "MED": "中号", "SM": "小号", "ASSORTMENT": "混装"}


class Package(NamedTuple):
    """A package size read: pieces in it, grams of one piece (None when the text does not say)."""

    pieces: int
    piece_grams: float | None


def read_package(size: str, code: str) -> Package:
    """Read a package size such as `20 LB`, `24/5.5 OZ`, `12 PK`; `code` is the sort's, to know what LB means."""
    if code not in SIZED_FOR_ANIMAL and not _ANIMAL.fullmatch(size):
        if found := _SINGLE.fullmatch(size):
            return Package(1, float(found[1]) * GRAMS[found[2]])
        if found := _COUNT_FIRST.fullmatch(size):
            return Package(int(found[1]), float(found[2]) * GRAMS[found[3]])
        if found := _COUNT_LAST.fullmatch(size):
            return Package(int(found[3]), float(found[1]) * GRAMS[found[2]])
    if found := _PIECES.match(size):
        return Package(int(found[1]), None)
    return Package(1, None)


def guess_grams(sort: Sort, package: Package, known: list[Package]) -> int:
    """Grams where the text says none: the median sibling of the same type, a case of cans counted out."""
    pieces = [p.piece_grams for p in known if p.piece_grams is not None and p.pieces == 1]
    one = median_low(pieces) if pieces and sort.form != "supplies" else FALLBACK_GRAMS[sort.form]
    return round(one * (package.pieces if sort.form == "wet" else 1))


def sku_code(sort: Sort, size: str, product_id: int) -> str:
    """`DOG-DRY-20LB-1082185`: species, sort, size as printed, and the source's product number."""
    printed = re.sub(r"[/-]", "X", size).replace(" ", "") or "STD"
    return f"{SPECIES_CODE[sort.species]}-{sort.code}-{printed}-{product_id}"


def title(sort: Sort, size: str, package: Package, own_label: bool, product_id: int) -> str:
    """The Chinese title a customer reads, e.g. `优选犬干粮 9.07kg装 1082185款`."""
    parts = [("自有品牌" if own_label else "") + sort.label, _size_label(size, package), f"{product_id}款"]
    return " ".join(part for part in parts if part)


def made_to_order(sort: Sort, own_label: bool) -> bool:
    """Staple food is made for one pet; own-label cans, treats, litter and supplies are kept in stock."""
    return sort.form in ("dry", "semi_moist") or (sort.form == "wet" and not own_label)


def _size_label(size: str, package: Package) -> str:
    if package.piece_grams is not None:
        grams = package.piece_grams
        one = f"{grams / 1000:.2f}kg" if grams >= 1000 else f"{grams:.0f}g"
        return f"{one}×{package.pieces}" if package.pieces > 1 else f"{one}装"
    if size in _WORDS:
        return _WORDS[size]
    if found := _INCHES.fullmatch(size):
        return f"{float(found[1]) * 2.54:.0f}厘米"
    if _PIECES.fullmatch(size):
        return f"{package.pieces}件装"
    return f"规格 {size}" if size else ""
