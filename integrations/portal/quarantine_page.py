"""`/quarantine`: orders that could not enter the book, with every reason; never their payload."""

from __future__ import annotations

from sqlmodel import Session
from starlette.responses import Response

from integrations.portal.people import Visit, page
from models.quarantine import waiting_list

MOST_SHOWN = 200


@page
def quarantine(visit: Visit, session: Session) -> Response:
    """What is set aside, newest first."""
    return visit.render(session, "quarantine.html", {"rows": waiting_list(session, MOST_SHOWN), "most": MOST_SHOWN})
