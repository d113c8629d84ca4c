"""MQTT 3.1.1: estimates as JSON to a broker.

TOPIC has a tick's estimate, as in JSON Lines; TOPIC/status `online` or `offline`, retained, the latter also
from the broker when the connection is lost; TOPIC/marks what a person noted.
"""

import os
import ssl
import threading
import time
from collections import deque
from typing import Any, Final

import msgspec

from ...contracts.errors import UserError
from ..estimate import Estimate
from ..samples import Observation
from .output import Opening, Output
from .urls import Url, url, without_password

try:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError:
    raise UserError("mqtt: needs paho-mqtt: pip install 'enrapt[mqtt]'") from None

PASSWORD: Final = "ENRAPT_MQTT_PASSWORD"
_KEEP_ALIVE: Final = 10  # s; a broker that says nothing for half as long again is lost
_CONNECTING: Final = 5.0  # s
_WINDOW: Final = 50  # messages on their way: two seconds of estimates
_ANSWERING: Final = 5.0  # s that the oldest of them may be on its way
_LEAVING: Final = 2.0  # s for all of them at the end
_REFUSED: Final = {"Bad user name or password", "Not authorized"}  # as paho calls them


class MqttOutput:
    """A connection to a broker, opened again and again.

    With qos 1 or 2, what was on its way when the connection was lost is sent again over the next one.

    Args:
        shown: the address, for messages.
        tls: whether the broker proves who it is, by a certificate that the system trusts, or SSL_CERT_FILE.
    """

    def __init__(self, shown: str, parts: Url, password: str | None, qos: int, tls: bool) -> None:
        self._shown, self._topic, self._qos = shown, parts.path, qos
        self._place = parts.host, parts.port or (8883 if tls else 1883)
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311, reconnect_on_failure=False
        )
        client.connect_timeout = _CONNECTING
        client.will_set(f"{self._topic}/status", "offline", qos=1, retain=True)
        if parts.user is not None:
            client.username_pw_set(parts.user, password)
        if tls:
            client.tls_set()
        client.on_connect = self._answered
        self._answer: Any = None  # paho's reason code
        self._has_answered = threading.Event()
        self._under_way: deque[paho.MQTTMessageInfo] = deque()

    def open(self) -> Output:
        """Connect.

        Raises:
            OSError: the broker cannot be reached, or is not who it should be.
            UserError: it does not let this user in.
        """
        self._has_answered.clear()
        try:
            self._client.connect(*self._place, keepalive=_KEEP_ALIVE)
        except ssl.SSLCertVerificationError as error:
            raise OSError(
                f"the broker's certificate is not trusted ({error.verify_message}); "
                "SSL_CERT_FILE may name a file of those to trust"
            ) from None
        self._client.loop_start()
        if not self._has_answered.wait(_CONNECTING):
            self._end()
            raise TimeoutError("the broker does not answer")
        if self._answer.is_failure:
            self._end()
            if str(self._answer) in _REFUSED:
                raise UserError(f"{self._shown}: the broker refuses user or password ({self._answer})")
            raise ConnectionRefusedError(f"the broker says: {self._answer}")
        # Without a connection paho keeps messages of qos 0 no longer.
        self._under_way = deque(one for one in self._under_way if one.rc == paho.MQTT_ERR_SUCCESS)
        self._client.publish(f"{self._topic}/status", "online", qos=1, retain=True)
        return self

    def write(self, estimate: Estimate, observation: Observation) -> None:
        self._send(self._topic, msgspec.json.encode(estimate))

    def mark(self, t: float, label: str) -> None:
        label = label.encode(errors="replace").decode()
        self._send(f"{self._topic}/marks", msgspec.json.encode({"t": round(t, 6), "label": label}))

    def close(self, whole: bool) -> None:
        deadline = time.monotonic() + _LEAVING
        try:
            self._arrive(0, deadline)
            if self._client.is_connected():
                last = self._client.publish(f"{self._topic}/status", "offline", qos=1, retain=True)
                self._under_way.append(last)
                self._arrive(0, deadline)
        finally:
            self._end()

    def _send(self, topic: str, message: bytes) -> None:
        self._arrive(_WINDOW - 1, time.monotonic() + _ANSWERING)
        sent = self._client.publish(topic, message, self._qos)
        if sent.rc != paho.MQTT_ERR_SUCCESS:
            raise ConnectionError(paho.error_string(sent.rc))
        self._under_way.append(sent)

    def _arrive(self, at_most: int, deadline: float) -> None:
        """Wait until at most so many messages are on their way."""
        while True:
            if not self._client.is_connected():
                raise ConnectionError("the connection to the broker is lost")
            while self._under_way and self._under_way[0].is_published():
                self._under_way.popleft()
            if len(self._under_way) <= at_most:
                return
            if time.monotonic() > deadline:
                raise TimeoutError("the broker does not answer")
            self._under_way[0].wait_for_publish(0.1)

    def _answered(self, client: Any, given: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._answer = reason
        self._has_answered.set()

    def _end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def mqtt_opening(address: str) -> Opening:
    """The output of `mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC[?qos=0|1|2]`, or `mqtts://…` over TLS.

    Raises:
        UserError: it is not such an address.
    """
    shown = without_password(address)
    try:
        parts = url(address)
        options = {"qos": "0", **parts.options}
        wrong = (
            set("#+\0") & set(parts.path) or not parts.path.strip("/") or len(parts.path.encode()) > 60_000
        )
        if wrong or options.keys() != {"qos"} or options["qos"] not in ("0", "1", "2"):
            raise ValueError(address)
    except ValueError:
        raise UserError(
            f"{shown}: give mqtt://HOST/TOPIC, or all of mqtt://USER:PASSWORD@HOST:PORT/TOPIC?qos=0 "
            "(mqtts for TLS; write %40 for @, and %2F for / in a password)"
        ) from None
    password = os.environ.get(PASSWORD) if parts.password is None else parts.password
    tls = address.partition(":")[0] == "mqtts"
    output = MqttOutput(shown, parts, password, int(options["qos"]), tls)
    return Opening(shown, output.open, again=True)
