"""Step: the customer is asked to complete the order form, or to look at it again, once a round, with the link to it."""

from __future__ import annotations

from sqlmodel import Session

from models.database import in_transaction, utcnow
from models.form_desk import fields_in_words, parts_here, pets_of, questions_of, round_of
from models.fulfilment import Claim
from models.notification import Node, was_told
from models.order import Order
from models.rules_in_force import form_of
from tasks.notifying import customer_link, tell_customer


async def ask_customer(claim: Claim) -> None:
    """Ask the customer for what the order's open holds say. Twice: one message a round, whoever comes first.

    An order without a pet has no form: customer service asks. Of several parts of an order the first that has not been
    shipped asks. What the customer is asked is read when the message is made; a message that cannot be sent goes to a
    person.
    """
    round = await in_transaction(lambda session: _round_to_tell(session, claim))
    if round:
        await tell_customer(claim, Node.PROFILE, lambda session: _words(session, claim), round)


def _round_to_tell(session: Session, claim: Claim) -> int:
    """The round that this part is to tell of; 0 when another part does, or has done so, or nothing is asked."""
    if parts_here(session, claim.order_id)[:1] != [claim.fulfilment_id]:
        return 0
    if not pets_of(session, session.get_one(Order, claim.order_id), utcnow()):
        return 0
    round = round_of(session, claim.order_id)
    return 0 if was_told(session, claim.order_id, Node.PROFILE, round) else round


def _words(session: Session, claim: Claim) -> dict[str, str]:
    order = session.get_one(Order, claim.order_id)
    asked = fields_in_words(form_of(session, order), questions_of(session, order, utcnow()))
    # nothing is missing where a reviewer asks about what was answered
    asked = asked or "审核人请您核对的内容"
    return {"order_no": claim.order_no, "fields": asked, "link": f"{customer_link(session, claim)}/form"}
