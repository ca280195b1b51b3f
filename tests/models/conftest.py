"""The domain's tests seal personal data with a key of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.privacy import new_key
from models.settings import settings


@pytest.fixture(scope="session", autouse=True)
def privacy_key() -> Iterator[None]:
    """A fresh key for this run, whatever settings file the machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDERLOOM_PRIVACY_KEY", new_key())
        settings.cache_clear()
        yield
    settings.cache_clear()
