"""The platforms that are set up, connected: one object that steps ask for what they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx

from integrations.carriers import Carrier
from integrations.carriers.sf_express import SfExpress
from integrations.channels import Channel
from integrations.channels.coupons import CouponDesk
from integrations.channels.douyin import Douyin
from integrations.channels.douyin_stock import DouyinShelf
from integrations.channels.jd import Jd
from integrations.channels.pinduoduo import Pinduoduo
from integrations.channels.shelves import Shelf
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_coupons import ShopifyCoupons
from integrations.channels.shopify_stock import ShopifyShelf
from integrations.channels.spreadsheet import NAME as SHEETS
from integrations.channels.spreadsheet import Spreadsheet
from integrations.channels.taobao import Taobao
from integrations.channels.wechat_shop import WeChatShop
from integrations.channels.wechat_stock import WeChatShelf
from integrations.messaging import CustomerMessages, StaffMessages
from integrations.messaging.aliyun_sms import AliyunSms
from integrations.messaging.wecom import WeComRobot
from integrations.payments import Payments
from integrations.payments.alipay import Alipay
from integrations.payments.douyin import DouyinMoney
from integrations.payments.shopify import ShopifyMoney
from integrations.payments.told_by_channel import ToldByChannel
from integrations.payments.told_by_sheet import ToldBySheet
from integrations.payments.wechat_pay import WeChatPay
from integrations.payments.wechat_shop import WeChatShopMoney
from integrations.production import Production
from integrations.production.mes import Mes
from models.notification import Node
from models.order import Order
from models.settings import AliyunSmsSettings, Settings


class NotConnected(Exception):
    """A platform is needed whose credentials are not in the settings."""

    def __init__(self, what: str) -> None:
        super().__init__(f"还没有接好{what}:请在设置文件里填写它的凭证,再运行 `orderloom up`。")


@dataclass(frozen=True)
class Platforms:
    """Everything outside, by family. `channels` are those that can be asked; `sheets` are brought by people."""

    channels: Mapping[str, Channel]
    shelves: Mapping[str, Shelf]
    keepers: Mapping[str, Payments]
    coupons: Mapping[str, CouponDesk]
    carriers: Mapping[str, Carrier]
    factory: Production | None
    customers: CustomerMessages | None
    staff: StaffMessages | None
    sheets: Channel

    def channel(self, name: str) -> Channel:
        """The channel of this name. Raises `NotConnected`."""
        if name == self.sheets.name:
            return self.sheets
        if name not in self.channels:
            raise NotConnected(f"渠道 {name}")
        return self.channels[name]

    def shelf(self, channel: str) -> Shelf:
        """The stock side of this channel. Raises `NotConnected`."""
        if channel not in self.shelves:
            raise NotConnected(f"渠道 {channel} 的库存")
        return self.shelves[channel]

    def keeper_of(self, order: Order) -> str:
        """Who answers for an order's money: the provider that collected it if it is connected, else the channel."""
        return order.payment_keeper if order.payment_keeper in self.keepers else order.channel

    def keeper(self, name: str) -> Payments:
        """The keeper of money of this name. Raises `NotConnected`."""
        if name not in self.keepers:
            raise NotConnected(f"收款方 {name}")
        return self.keepers[name]

    def carrier(self) -> Carrier:
        """The carrier that parcels go with. Raises `NotConnected`."""
        for carrier in self.carriers.values():
            return carrier
        raise NotConnected("快递(sf_express)")

    def production(self) -> Production:
        """The factory. Raises `NotConnected`."""
        if self.factory is None:
            raise NotConnected("生产系统(mes)")
        return self.factory

    def sms(self) -> CustomerMessages:
        """Messages to customers. Raises `NotConnected`."""
        if self.customers is None:
            raise NotConnected("短信(aliyun_sms)")
        return self.customers


def connect(settings: Settings, client: httpx.AsyncClient) -> Platforms:
    """Connect what has credentials. Nothing is called yet.

    In shadow mode carrier, factory and messages are there without credentials too: nothing is sent to them anyway.
    """
    paper = settings.shadow
    channels: dict[str, Channel] = {}
    shelves: dict[str, Shelf] = {}
    keepers: dict[str, Payments] = {SHEETS: ToldBySheet()}
    coupons: dict[str, CouponDesk] = {}
    if settings.shopify.shop:
        channels["shopify"] = shopify = Shopify(settings.shopify, client)
        shelves["shopify"] = ShopifyShelf(shopify.shop, shopify.graphql, settings.shopify.location_id)
        keepers["shopify"] = ShopifyMoney(shopify)
        coupons["shopify"] = ShopifyCoupons(shopify)
    if settings.wechat_shop.app_id:
        channels["wechat_shop"] = wechat_shop = WeChatShop(settings.wechat_shop, client)
        shelves["wechat_shop"] = WeChatShelf(wechat_shop.shop, wechat_shop.api)
        keepers["wechat_shop"] = WeChatShopMoney(wechat_shop)
    if settings.douyin.app_key:
        channels["douyin"] = douyin = Douyin(settings.douyin, client)
        shelves["douyin"] = DouyinShelf(douyin.shop, douyin.api)
        keepers["douyin"] = DouyinMoney(douyin)
    for more in _orders_only(settings, client):
        channels[more.name], keepers[more.name] = more, ToldByChannel(more)
    if settings.alipay.app_id:
        keepers["alipay"] = Alipay(settings.alipay, client)
    if settings.wechat_pay.mchid:
        callbacks = f"{settings.portal_url()}/webhooks/wechat-pay"
        keepers["wechat_pay"] = WeChatPay(settings.wechat_pay, client, notify_url=callbacks)
    carriers: dict[str, Carrier] = {}
    if settings.sf_express.partner_id or paper:
        carriers["sf_express"] = SfExpress(settings.sf_express, client)
    return Platforms(
        channels=channels,
        shelves=shelves,
        keepers=keepers,
        coupons=coupons,
        carriers=carriers,
        factory=Mes(settings.mes, client) if settings.mes.url or paper else None,
        customers=AliyunSms(_messages(settings), client) if settings.aliyun_sms.access_key_id or paper else None,
        staff=WeComRobot(settings.wecom, client) if settings.wecom.robot_key.get_secret_value() else None,
        sheets=Spreadsheet(),
    )


def _messages(settings: Settings) -> AliyunSmsSettings:
    """The messages' settings; in shadow mode a moment without a template has one, or nobody would see its message."""
    given = settings.aliyun_sms
    if not settings.shadow:
        return given
    return given.model_copy(update={"templates": {node.value: "SHADOW" for node in Node} | given.templates})


def _orders_only(settings: Settings, client: httpx.AsyncClient) -> Iterator[Channel]:
    """The channels whose orders are read and shipped; their stock and refunds are done on the platform."""
    if settings.taobao.app_key:
        yield Taobao(settings.taobao, client)
    if settings.jd.app_key:
        yield Jd(settings.jd, client)
    if settings.pinduoduo.client_id:
        yield Pinduoduo(settings.pinduoduo, client)
