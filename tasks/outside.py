"""The outside world for steps: one set of connected platforms per event loop."""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from weakref import WeakKeyDictionary

from integrations.http import client
from integrations.platforms import Platforms, connect
from models.settings import settings

_connected: WeakKeyDictionary[asyncio.AbstractEventLoop, Platforms] = WeakKeyDictionary()


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """Reading the certificates costs tens of milliseconds: once per process."""
    return ssl.create_default_context()


def platforms() -> Platforms:
    """The platforms, connected for the running loop. Connections are kept and shared by its steps."""
    loop = asyncio.get_running_loop()
    if loop not in _connected:
        _connected[loop] = connect(settings(), client(verify=_certificates()))
    return _connected[loop]
