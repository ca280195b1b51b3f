"""Warehouses, and which of them is nearest to a customer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

from sqlmodel import Field, Session, SQLModel, select

from models.table import moment

#: Latitude and longitude of each province's seat, in whole tenths of a degree: near enough to choose a warehouse by.
SEATS = {
    "北京": (39.9, 116.4),
    "天津": (39.1, 117.2),
    "河北": (38.0, 114.5),
    "山西": (37.9, 112.5),
    "内蒙古": (40.8, 111.7),
    "辽宁": (41.8, 123.4),
    "吉林": (43.9, 125.3),
    "黑龙江": (45.8, 126.5),
    "上海": (31.2, 121.5),
    "江苏": (32.1, 118.8),
    "浙江": (30.3, 120.2),
    "安徽": (31.8, 117.2),
    "福建": (26.1, 119.3),
    "江西": (28.7, 115.9),
    "山东": (36.7, 117.0),
    "河南": (34.8, 113.7),
    "湖北": (30.6, 114.3),
    "湖南": (28.2, 112.9),
    "广东": (23.1, 113.3),
    "广西": (22.8, 108.4),
    "海南": (20.0, 110.3),
    "重庆": (29.6, 106.5),
    "四川": (30.7, 104.1),
    "贵州": (26.6, 106.7),
    "云南": (25.0, 102.7),
    "西藏": (29.7, 91.1),
    "陕西": (34.3, 108.9),
    "甘肃": (36.1, 103.8),
    "青海": (36.6, 101.8),
    "宁夏": (38.5, 106.2),
    "新疆": (43.8, 87.6),
    "香港": (22.3, 114.2),
    "澳门": (22.2, 113.5),
    "台湾": (25.0, 121.6),
}
#: Provinces whose full name is not theirs with 省 behind it.
_FULL = {
    **dict.fromkeys(("北京", "天津", "上海", "重庆"), "市"),
    **dict.fromkeys(("内蒙古", "西藏"), "自治区"),
    **dict.fromkeys(("香港", "澳门"), "特别行政区"),
    "广西": "壮族自治区",
    "宁夏": "回族自治区",
    "新疆": "维吾尔自治区",
}
#: Every province by its full name, and how else it is called.
PROVINCES = {f"{name}{_FULL.get(name, '省')}": (f"{name}{_FULL.get(name, '省')}", name) for name in SEATS}
EARTH_KM = 6371.0
FAR_KM = 20_000.0  # where a province is not known: behind every warehouse that is


class Warehouse(SQLModel, table=True):
    """A warehouse and where it stands. `asked_at` is when it was last sent its stock checks."""

    __tablename__ = "warehouse"

    code: str = Field(primary_key=True)
    name: str
    region: str = ""
    province: str = ""
    asked_at: datetime | None = moment(nullable=True)


def distance_km(one: str, other: str) -> float:
    """Kilometres between the seats of two provinces, however they are written (浙江, 浙江省); far if one is unknown."""
    here, there = _seat(one), _seat(other)
    if here is None or there is None:
        return FAR_KM
    (lat1, lon1), (lat2, lon2) = ((math.radians(lat), math.radians(lon)) for lat, lon in (here, there))
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_KM * math.asin(math.sqrt(a))


def province_of(said: str) -> str:
    """A province by its full name, however it is written (浙江, 浙江省); as it was said where it is none."""
    return next((full for full, (_, short) in PROVINCES.items() if said.startswith(short)), said)


def _seat(province: str) -> tuple[float, float] | None:
    return next((seat for name, seat in SEATS.items() if province.startswith(name)), None)


def nearest_first(session: Session, province: str) -> list[str]:
    """The codes of all warehouses, the nearest to this province first; of equally near ones the first by code."""
    return _by_distance(session.exec(select(Warehouse)).all(), province)


def _by_distance(warehouses: Iterable[Warehouse], province: str) -> list[str]:
    return [w.code for w in sorted(warehouses, key=lambda w: (distance_km(w.province, province), w.code))]


def home_warehouses(session: Session, provinces: Iterable[str]) -> dict[str, str]:
    """For each province the warehouse that its orders go to at first. Raises `LookupError` when there is none yet."""
    warehouses = session.exec(select(Warehouse)).all()
    if not warehouses:
        raise LookupError("还没有仓库:先用 `orderloom catalogue load` 载入商品和库存。")
    return {province: _by_distance(warehouses, province)[0] for province in set(provinces)}
