"""Every setting in one place: one TOML file (mode 0600), with the environment on top.

`ORDERLOOM_SHOPIFY__ACCESS_TOKEN=…` in the environment overrides `[shopify] access_token` in the file.
A platform whose credentials are missing is simply not connected; `orderloom doctor` lists which.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


def default_state_dir() -> Path:
    """Where the database, logs and secrets live: `ORDERLOOM_STATE_DIR`, else the user's state directory."""
    if named := os.environ.get("ORDERLOOM_STATE_DIR"):
        return Path(named)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/orderloom")
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "orderloom"


def settings_file() -> Path:
    """The one settings file: `ORDERLOOM_SETTINGS`, else `settings.toml` in the state directory."""
    return Path(os.environ.get("ORDERLOOM_SETTINGS", default_state_dir() / "settings.toml"))


class ShopifySettings(BaseModel):
    """Shopify Admin GraphQL. Either a static access token or a client id and secret."""

    shop: str = ""
    base_url: str = ""  # default: https://{shop}.myshopify.com
    api_version: str = "2026-10"
    access_token: SecretStr = SecretStr("")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")  # signs webhooks too
    previous_client_secret: SecretStr = SecretStr("")  # still signs for an hour after a rotation
    location_id: str = ""  # whose stock is shown; default: the shop's first location


class WeChatShopSettings(BaseModel):
    """WeChat shop 微信小店."""

    shop: str = ""
    base_url: str = "https://api.weixin.qq.com"
    app_id: str = ""
    app_secret: SecretStr = SecretStr("")
    push_token: SecretStr = SecretStr("")
    push_aes_key: SecretStr = SecretStr("")  # EncodingAESKey, 43 characters


class DouyinSettings(BaseModel):
    """Douyin shop 抖店."""

    shop: str = ""
    base_url: str = "https://openapi-fxg.jinritemai.com"
    app_key: str = ""
    app_secret: SecretStr = SecretStr("")


class TaobaoSettings(BaseModel):
    """Taobao open platform TOP. `session` is the shop's authorisation, renewed by hand once a year."""

    shop: str = ""
    base_url: str = "https://eco.taobao.com/router/rest"
    app_key: str = ""
    app_secret: SecretStr = SecretStr("")
    session: SecretStr = SecretStr("")
    sign_method: Literal["md5", "hmac", "hmac-sha256"] = "md5"


class JdSettings(BaseModel):
    """JD open platform, the routerjson gateway."""

    shop: str = ""
    base_url: str = "https://api.jd.com/routerjson"
    app_key: str = ""
    app_secret: SecretStr = SecretStr("")
    access_token: SecretStr = SecretStr("")


class PinduoduoSettings(BaseModel):
    """Pinduoduo open platform. `amounts_in` is what this shop's API counts money in (unverified by API)."""

    shop: str = ""
    base_url: str = "https://gw-api.pinduoduo.com/api/router"
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    access_token: SecretStr = SecretStr("")
    amounts_in: Literal["yuan", "fen"] = "yuan"


class SfExpressSettings(BaseModel):
    """SF Express 丰桥, digest mode. `sender_*` is what the waybill prints as the sender."""

    base_url: str = "https://bspgw.sf-express.com"
    partner_id: str = ""
    check_word: SecretStr = SecretStr("")
    digest: Literal["standard", "simple", "sm3"] = "standard"
    monthly_card: str = ""
    sender_name: str = "发货仓"
    sender_phone: str = ""
    sender_province: str = "广东省"
    sender_city: str = "深圳市"
    sender_district: str = "南山区"
    sender_address: str = ""


class AliyunSmsSettings(BaseModel):
    """Aliyun SMS, ACS3 signature. `templates` maps a notification node to the approved template code."""

    base_url: str = "https://dysmsapi.aliyuncs.com"
    access_key_id: str = ""
    access_key_secret: SecretStr = SecretStr("")
    sign_name: str = ""
    templates: dict[str, str] = {}


class WeComSettings(BaseModel):
    """WeCom group robot: the key of its webhook."""

    base_url: str = "https://qyapi.weixin.qq.com"
    robot_key: SecretStr = SecretStr("")


class MesSettings(BaseModel):
    """The local MES, Standard Webhooks both ways. Secrets start with `whsec_`."""

    url: str = ""
    secret: SecretStr = SecretStr("")  # signs what we send
    callback_secret: SecretStr = SecretStr("")  # verifies what we receive


class AlipaySettings(BaseModel):
    """Alipay open platform, RSA2 in key mode. Keys are PEM texts or the bare Base64 that the console shows."""

    base_url: str = "https://openapi.alipay.com"
    app_id: str = ""
    private_key: SecretStr = SecretStr("")  # ours, signs what we send
    alipay_public_key: str = ""  # theirs, verifies answers and notifies


class WeChatPaySettings(BaseModel):
    """WeChat Pay v3. `platform_keys` maps a `Wechatpay-Serial` (or `PUB_KEY_ID_…`) to a PEM key or certificate."""

    base_url: str = "https://api.mch.weixin.qq.com"
    mchid: str = ""
    serial_no: str = ""  # of our own certificate
    private_key: SecretStr = SecretStr("")
    api_v3_key: SecretStr = SecretStr("")  # 32 bytes, decrypts callbacks
    platform_keys: dict[str, str] = {}


class WarehouseSettings(BaseModel):
    """The warehouse's own system, which may answer stock checks by Standard Webhooks (secret `whsec_…`)."""

    callback_secret: SecretStr = SecretStr("")


class LaneSettings(BaseModel):
    """How the lane works. Times in seconds."""

    concurrency: int = Field(12, ge=1, le=64)
    shift_seconds: int = Field(600, ge=5)
    claim_seconds: int = Field(120, ge=10)  # how long a claim lives without being renewed
    idle_scan_seconds: float = Field(5.0, gt=0)
    dead_after_seconds: int = Field(60, ge=5)
    niceness: int = Field(10, ge=0, le=19)  # customers, platforms and people at a page are answered before it


#: Who may decide too when the time of a review is over; a role that is not here keeps its reviews to itself.
REVIEW_ESCALATES_TO = {
    "nutritionist": "customer_service_lead",
    "warehouse_supervisor": "customer_service_lead",
    "production_manager": "customer_service_lead",
    "finance": "customer_service_lead",
    "customer_service_lead": "admin",
}


class PolicySettings(BaseModel):
    """The seller's thresholds."""

    review_remind_percent: int = Field(70, ge=1, le=100)  # of its time, after which a review is reminded of
    review_escalates_to: dict[str, str] = Field(default_factory=lambda: dict(REVIEW_ESCALATES_TO))  # role → next role
    backorder_look_again_minutes: int = 60
    production_look_again_minutes: int = 120
    production_silence_hours: float = Field(4.0, gt=0)  # past the expected time without a report: a person is asked
    production_batch_minutes: float = Field(0.0, ge=0)  # how long an order waits for others of its recipe; 0: never
    production_batch_max_kg: float = Field(60.0, gt=0)
    production_failure: Literal["ask", "rework", "refund"] = "ask"  # rework: once, then a person is asked
    delivery_look_again_hours: int = 6
    pull_overlap_minutes: int = 5
    second_look_minutes: int = Field(60, ge=0)  # when a window is read once more for orders indexed late; 0: never
    judge_batches: bool = True  # by great-expectations, before a batch enters; the row rules hold either way
    merge_within_minutes: int = Field(0, ge=0)  # orders of one customer to one address, paid so close, share a parcel
    merge_wait_hours: float = Field(2.0, ge=0)  # how long one of them waits for the others before its waybill
    default_buffer_percent: int = Field(10, ge=0, le=100)
    when_short: Literal["backorder", "compensate"] = "backorder"
    backorder_days: int = Field(7, ge=1)  # the date a customer is told when no receipt is expected
    reservation_hours: float = Field(72.0, gt=0)  # how long a promise lasts that nobody acts on
    stock_check_minutes: float = Field(5.0, ge=0)  # 0: the warehouse is not asked
    stock_check_silence: Literal["proceed", "ask"] = "proceed"
    most_compensations_an_hour: int = Field(20, ge=0)
    most_compensation_fen_a_day: int = Field(200_000, ge=0)
    coupon_percent: int = Field(10, ge=0, le=100)  # of what was paid
    coupon_least_fen: int = Field(500, ge=0)
    coupon_most_fen: int = Field(5_000, ge=0)
    coupon_days: int = Field(90, ge=1)
    refund_look_again_minutes: float = Field(10.0, gt=0)
    shadow_reviews: Literal["wait", "approve"] = "wait"  # in shadow mode, when a review's time is over


class Ports(BaseModel):
    """Loopback ports of the local stack."""

    prefect: int = 4200
    portal: int = 8080
    staff: int = 8081
    sandbox: int = 8090
    postgres: int = 55432


class Settings(BaseSettings):
    """All settings. Read once per process through `settings()`."""

    model_config = SettingsConfigDict(
        env_prefix="ORDERLOOM_", env_nested_delimiter="__", extra="ignore", populate_by_name=True
    )

    state_dir: Path = Field(default_factory=default_state_dir)
    database_url: SecretStr | None = Field(
        None, validation_alias=AliasChoices("ORDERLOOM_DATABASE_URL", "DATABASE_URL", "database_url")
    )
    shadow: bool = False  # read the real channels, send nothing anywhere (`orderloom up --shadow`)
    language: Literal["zh", "en"] = "zh"
    public_url: str = ""  # default: the portal's own address
    privacy_key: SecretStr = SecretStr("")  # made by the stack at first start
    ports: Ports = Ports()
    lane: LaneSettings = LaneSettings()
    policy: PolicySettings = PolicySettings()
    shopify: ShopifySettings = ShopifySettings()
    wechat_shop: WeChatShopSettings = WeChatShopSettings()
    douyin: DouyinSettings = DouyinSettings()
    taobao: TaobaoSettings = TaobaoSettings()
    jd: JdSettings = JdSettings()
    pinduoduo: PinduoduoSettings = PinduoduoSettings()
    sf_express: SfExpressSettings = SfExpressSettings()
    aliyun_sms: AliyunSmsSettings = AliyunSmsSettings()
    wecom: WeComSettings = WeComSettings()
    mes: MesSettings = MesSettings()
    alipay: AlipaySettings = AlipaySettings()
    wechat_pay: WeChatPaySettings = WeChatPaySettings()
    warehouse: WarehouseSettings = WarehouseSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file; the file wins over the defaults."""
        file = TomlConfigSettingsSource(settings_cls, toml_file=settings_file())
        return (init_settings, env_settings, file)

    def portal_url(self) -> str:
        """The address customers and platforms reach the portal at."""
        return self.public_url or f"http://127.0.0.1:{self.ports.portal}"

    def staff_url(self) -> str:
        """The address staff reach their pages at."""
        return os.environ.get("ORDERLOOM_STAFF_URL", f"http://127.0.0.1:{self.ports.staff}")


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
