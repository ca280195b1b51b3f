"""Step: the platforms that push on order are told where to; their subscriptions lapse when we were away for hours."""

from __future__ import annotations

import logging

from integrations.channels import Subscribes
from integrations.errors import PlatformError
from models.settings import settings
from models.unforeseen import in_short
from tasks.outside import platforms
from tasks.step import outward

log = logging.getLogger(__name__)


async def keep_subscribed() -> None:
    """Where our address is public, have every channel that can be told push to it. Twice: nothing is made twice."""
    if not settings().public_url or settings().shadow:
        return
    for name, channel in platforms().channels.items():
        if isinstance(channel, Subscribes):
            await subscribe(name)


@outward("订阅平台推送")
async def subscribe(name: str) -> str:
    """Order what a channel pushes. Never raises: without pushes, pulling still misses nothing."""
    channel = platforms().channel(name)
    assert isinstance(channel, Subscribes)
    try:
        made = await channel.subscribe(f"{settings().portal_url()}/webhooks/{name.replace('_', '-')}")
    except PlatformError as error:
        return f"{name} 的推送没有订上:{error}"
    except Exception as error:  # also one that nobody foresaw: orders are read without pushes, too
        log.warning("pushes of %s are not ordered: %s", name, in_short(error))
        return f"{name} 的推送没有订上:{in_short(error)}"
    return f"{name} 新订阅 {len(made)} 种推送" if made else f"{name} 的推送都在"
