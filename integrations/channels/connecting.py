"""Which channels there are, what each needs to be connected, and what to be pushed to; read from the settings alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import BaseModel, SecretStr

from models.settings import Settings


@dataclass(frozen=True)
class Needs:
    """Fields of a channel's section of the settings. `pushes` None: the channel is read, and does not push here."""

    orders: tuple[str, ...]
    pushes: tuple[str, ...] | None = None


CHANNELS: Mapping[str, Needs] = MappingProxyType(
    {
        "shopify": Needs(("shop", "access_token"), ("client_secret",)),
        "wechat_shop": Needs(("shop", "app_id", "app_secret"), ("push_token", "push_aes_key")),
        "douyin": Needs(("shop", "app_key", "app_secret"), ()),
        "taobao": Needs(("shop", "app_key", "app_secret", "session")),
        "jd": Needs(("shop", "app_key", "app_secret", "access_token")),
        "pinduoduo": Needs(("shop", "client_id", "client_secret", "access_token")),
    }
)
#: What may stand in the place of a field.
INSTEAD = {("shopify", "access_token"): ("client_id", "client_secret")}


@dataclass(frozen=True)
class Connection:
    """What of a channel's settings is filled in. `lacking` names what is not, as in the settings file.

    `lacking_for_pushes`: None where the channel does not push; empty where it can.
    """

    channel: str
    shop: str
    begun: bool
    lacking: tuple[str, ...]
    lacking_for_pushes: tuple[str, ...] | None

    @property
    def connected(self) -> bool:
        """Whether its orders can be read."""
        return not self.lacking


def connections(settings: Settings) -> list[Connection]:
    """Every channel there is, connected or not."""
    return [_connection(settings, channel, needs) for channel, needs in CHANNELS.items()]


def connected_shops(settings: Settings) -> list[tuple[str, str]]:
    """The shops whose orders can be read: channel and shop."""
    return [(one.channel, one.shop) for one in connections(settings) if one.connected]


def _connection(settings: Settings, channel: str, needs: Needs) -> Connection:
    section: BaseModel = getattr(settings, channel)
    lacking = tuple(f"{channel}.{name}" for name in needs.orders if not _is_there(section, channel, name))
    pushes = None
    if needs.pushes is not None:
        pushes = tuple(f"{channel}.{name}" for name in needs.pushes if not _value(section, name))
        pushes += () if settings.public_url else ("public_url",)
    begun = any(_value(section, name) for name in needs.orders)
    return Connection(channel, _value(section, "shop"), begun, lacking, pushes)


def _is_there(section: BaseModel, channel: str, name: str) -> bool:
    instead = INSTEAD.get((channel, name))
    return bool(_value(section, name)) or (instead is not None and all(_value(section, other) for other in instead))


def _value(section: BaseModel, name: str) -> str:
    value = getattr(section, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
