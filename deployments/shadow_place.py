"""Where a shadow lives: below the state directory, in a database of its own, under the same settings file."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from models.settings import Settings, settings, settings_file

#: The shadow's directory below the live state directory, and the end of its database's name.
DIRECTORY, SUFFIX = "shadow", "_shadow"


def move_into_shadow(live: Settings) -> Settings:
    """Let this process and its children have the shadow's place; its settings. Twice: the same place.

    The settings file stays the live one: the same shops are read with the same credentials.
    """
    os.environ["ORDERLOOM_SETTINGS"] = str(settings_file().absolute())
    os.environ["ORDERLOOM_SHADOW"] = "true"
    if live.state_dir.name != DIRECTORY:
        os.environ["ORDERLOOM_STATE_DIR"] = str(live.state_dir.absolute() / DIRECTORY)
    if live.database_url is not None:
        os.environ["ORDERLOOM_DATABASE_URL"] = shadow_url(live.database_url.get_secret_value())
    settings.cache_clear()
    return settings()


def shadow_url(url: str) -> str:
    """The shadow's database beside the live one on the same server: `orderloom` → `orderloom_shadow`."""
    parts = urlsplit(url)
    name = parts.path.strip("/") or "orderloom"
    return url if name.endswith(SUFFIX) else parts._replace(path=f"/{name}{SUFFIX}").geturl()
