"""The state machine of an association (PS3.8 9.2), in which an event out of turn ends its association."""

from __future__ import annotations

import logging

from pynetdicom.fsm import InvalidEventError, StateMachine

log = logging.getLogger(__name__)


class HardenedStateMachine(StateMachine):
    """A state machine that ends its association where pynetdicom's would end the reactor thread by an exception.

    Such an event is, for example, our response to a peer that has sent an invalid PDU meanwhile: the association is
    being closed, and PS3.8 table 9-10 has no action for it.
    """

    def do_action(self, event: str) -> None:
        """Perform the action of an event."""
        try:
            super().do_action(event)
        except InvalidEventError:
            log.debug("association ended: event %s in state %s", event, self.current_state)
            self.dul.kill_dul()
