"""MQTT 3.1.1: estimates as JSON to a broker.

TOPIC has each estimate, as in JSON Lines; TOPIC/status `online` or `offline`, retained, the latter also from
the broker when the connection is lost; TOPIC/marks the marks.
"""

import os
import ssl
import time
from collections import deque
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final

import msgspec

from ...contracts.addresses import without_password
from ...contracts.errors import UserError
from ..engine.estimate import Estimate
from ..streams.samples import Observation
from .addresses import Url, url
from .output import Destination, Output

try:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError:
    raise UserError("mqtt: needs paho-mqtt: pip install 'enrapt[mqtt]'") from None

PASSWORD: Final = "ENRAPT_MQTT_PASSWORD"
_KEEP_ALIVE: Final = 10  # s; a broker that is silent for 1.5 times as long is lost
_CONNECTING: Final = 5.0  # s
_WINDOW: Final = 50  # messages in flight: two seconds of estimates
_ANSWERING: Final = 5.0  # s that the oldest of them may be in flight
_LEAVING: Final = 2.0  # s for all of them at the end
_LOST: Final = "the connection to the broker is lost"
_REFUSED: Final = {"Bad user name or password", "Not authorized"}  # as paho calls them


@dataclass(slots=True)
class _Message:
    """A message in flight."""

    topic: str
    content: bytes
    sent: paho.MQTTMessageInfo


class MqttOutput:
    """A connection to a broker; `open` may be called again after it was lost.

    With qos 1 or 2, messages in flight when the connection was lost are sent again over the next one. With
    TLS, the system or SSL_CERT_FILE must trust the broker's certificate.
    """

    def __init__(self, shown: str, parts: Url, password: str | None, qos: int, tls: bool) -> None:
        self._shown, self._topic, self._qos, self._tls = shown, parts.path, qos, tls
        self._place = parts.host, parts.port or (8883 if tls else 1883)
        self._user, self._password = parts.user, password
        self._client = self._new_client()
        self._in_flight: deque[_Message] = deque()

    def open(self) -> Output:
        """Connect.

        Raises:
            OSError: the broker cannot be reached, or its certificate is not trusted.
            UserError: it refuses user or password.
        """
        self._client = self._new_client()
        answers: SimpleQueue[Any] = SimpleQueue()
        self._client.on_connect = lambda *arguments: answers.put(arguments[3])
        try:
            self._client.connect(*self._place, keepalive=_KEEP_ALIVE)
        except ssl.SSLCertVerificationError as error:
            raise OSError(
                f"the broker's certificate is not trusted ({error.verify_message}); "
                "SSL_CERT_FILE may name a file of trusted ones"
            ) from None
        self._client.loop_start()
        try:
            answer = answers.get(timeout=_CONNECTING)
        except Empty:
            self._end()
            raise TimeoutError("the broker does not answer") from None
        if answer.is_failure:
            self._end()
            if str(answer) in _REFUSED:
                raise UserError(f"{self._shown}: the broker refuses user or password ({answer})")
            raise ConnectionRefusedError(f"the broker answers: {answer}")
        self._client.publish(f"{self._topic}/status", "online", qos=1, retain=True)
        if self._qos:
            for message in self._in_flight:
                message.sent = self._client.publish(message.topic, message.content, self._qos)
        else:
            self._in_flight.clear()
        return self

    def write(self, estimate: Estimate, observation: Observation) -> None:
        self._send(self._topic, msgspec.json.encode(estimate))

    def mark(self, t: float, label: str) -> None:
        label = label.encode(errors="replace").decode()
        self._send(f"{self._topic}/marks", msgspec.json.encode({"t": round(t, 6), "label": label}))

    def close(self, complete: bool) -> None:
        deadline = time.monotonic() + _LEAVING
        try:
            self._await_delivery(0, deadline)
            sent = self._client.publish(f"{self._topic}/status", "offline", qos=1, retain=True)
            sent.wait_for_publish(max(deadline - time.monotonic(), 0.1))
        except (RuntimeError, ValueError):  # from paho, if the connection was lost meanwhile
            raise ConnectionError(_LOST) from None
        finally:
            self._end()

    def _send(self, topic: str, content: bytes) -> None:
        self._await_delivery(_WINDOW - 1, time.monotonic() + _ANSWERING)
        sent = self._client.publish(topic, content, self._qos)
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            raise ConnectionError(_LOST)
        self._in_flight.append(_Message(topic, content, sent))

    def _await_delivery(self, at_most: int, deadline: float) -> None:
        """Wait until at most so many messages are in flight."""
        while True:
            if not self._client.is_connected():
                raise ConnectionError(_LOST)
            while self._in_flight and self._is_delivered(self._in_flight[0]):
                self._in_flight.popleft()
            if len(self._in_flight) <= at_most:
                return
            if time.monotonic() > deadline:
                raise TimeoutError("the broker does not answer")
            time.sleep(0.002)

    def _is_delivered(self, message: _Message) -> bool:
        return message.sent.rc == paho.MQTT_ERR_SUCCESS and message.sent.is_published()

    def _new_client(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311, reconnect_on_failure=False)
        client.connect_timeout = _CONNECTING
        client.will_set(f"{self._topic}/status", "offline", qos=1, retain=True)
        if self._user is not None:
            client.username_pw_set(self._user, self._password)
        if self._tls:
            client.tls_set()
        return client

    def _end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def mqtt_destination(address: str) -> Destination:
    """The output of `mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC[?qos=0|1|2]`, or `mqtts://…` over TLS."""
    shown = without_password(address)
    try:
        parts = url(address)
        options = {"qos": "0", **parts.options}
        topic = parts.path
        wrong = set("#+\0") & set(topic) or not topic.strip("/") or len(topic.encode()) > 60_000
        if wrong or options.keys() != {"qos"} or options["qos"] not in ("0", "1", "2"):
            raise ValueError(address)
        base, question, query = address.partition("?")
        shown = without_password(base) + question + query  # with nothing but the option that was checked
        password = os.environ.get(PASSWORD) if parts.password is None else parts.password
        tls = address.partition(":")[0] == "mqtts"
        output = MqttOutput(shown, parts, password, int(options["qos"]), tls)
    except ValueError:
        raise UserError(
            f"{shown}: give mqtt://HOST/TOPIC, or all of mqtt://USER:PASSWORD@HOST:PORT/TOPIC?qos=0 "
            "(mqtts for TLS; write %40 for @, and %2F for / in a password)"
        ) from None
    return Destination(shown, output.open, reopen=True)
