"""What the page's process serves of a run: state, clients, commands."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from .app import app_of
from .clients import QUEUE, Clients, RateLimit
from .connections import Connections
from .latest import Latest
from .messages import Command, estimate_json, landmarks_of, page_estimate, typed
from .wire import Described, Mark, Message, Tick, landmarks_from, values_of

COMMANDS: Final = 100  # a second, of all clients together


class Service:
    """Shows what comes from the run to its clients, and passes their commands on. Used by one thread.

    Args:
        connections: of the server.
        limit: of WebSockets.
        pass_on: called with each command that the run can do, but for those above `COMMANDS`.
        needs_token: whether requests do, for the description of the endpoints.

    Attributes:
        connections: as given.
        app: the ASGI application, without access control.
    """

    def __init__(
        self, connections: Connections, limit: int, pass_on: Callable[[Command], None], needs_token: bool
    ) -> None:
        self.connections, self.latest = connections, Latest()
        self.clients = Clients(limit, connections)
        self._commands = RateLimit(COMMANDS)
        self._pass_on = pass_on
        self.app = app_of(self.latest, self.clients, self._handle, needs_token)

    def show(self, message: Message) -> None:
        """Keep what the run sent, and send it to the clients."""
        match message:
            case Described(description):
                self._describe(description)
            case Tick():
                self._send(message)
            case Mark(t, label):
                self._send_page("mark", {"t": t, "label": label})

    def _describe(self, description: dict[str, Any]) -> None:
        self.latest.description = description
        replay = description["kind"] == "replay"  # may run faster than a client reads
        self.latest.whole = self.clients.drop_oldest = replay
        people = description.get("people", 1)
        self.latest.several, self.clients.queue = people > 1, QUEUE * people
        self._send_page("hello", description)

    def _send(self, tick: Tick) -> None:
        text = estimate_json(tick.estimate)
        if self.latest.add(tick.estimate, text, tick.person):
            self._send_page("people", self.latest.people)
        self.clients.send("/ws", lambda: text)
        schemas = (self.latest.description or {}).get("schemas", {})
        self.clients.send("/page", lambda: page_estimate(text, values_of(tick.values), schemas))
        if tick.landmarks is not None:
            self._send_page("landmarks", landmarks_of(landmarks_from(tick.landmarks), tick.person))
        if tick.status is not None:
            self.latest.status = tick.status
            self._send_page("status", tick.status)

    def _send_page(self, kind: str, content: Mapping[str, Any]) -> None:
        self.clients.send("/page", lambda: typed(kind, content))

    def _handle(self, command: Command) -> None:
        """Pass a command on; one that the run cannot do, or one above the limit, is ignored."""
        can = (self.latest.description or {}).get("can", ())
        needed = "pause" if command.do == "resume" else command.do
        if needed in can and not self._commands.exceeded():
            self._pass_on(command)
