"""Simulated devices for a live source: real threads, samples at their times."""

import threading
import time

import numpy as np

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.sources.device import Device
from enrapt.realtime.sources.offer import Offer

MS = 1_000_000


class FakeDevice(Device):
    """Delivers ones as features every `every_ms`, while it is not `unplugged`; extraction takes `extract_ms`.
    `late_ms`: samples come so long after their time; `empty`: without values.

    Like a camera, it works on the newest material: what it had no time for is `superseded`.
    """

    def __init__(self, schema=FACE, every_ms=33.0, extract_ms=0.0, name="camera", values=None, late_ms=0.0):
        super().__init__()
        self.name = name
        self.offer = Offer(schema.name.partition("/")[0], schema.name, schema.dim)
        self.unplugged, self.empty, self.captured, self.failure = False, False, 0, None
        self._late = round(late_ms * MS)
        self.extracted = []  # ns; originating times
        self._values = np.ones(schema.dim, np.float32) if values is None else values
        self._every, self._extract = round(every_ms * MS), extract_ms / 1000
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"enrapt fake {name}", daemon=True)

    @property
    def format(self):
        return "simulated"

    @property
    def lost(self):
        return self.unplugged or self._lost

    def _open(self):
        self._thread.start()

    def close(self):
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self):
        inlet, last = self._inlet, self._inlet.clock() // self._every
        try:
            while not self._stopped.wait(0.001):
                number = inlet.clock() // self._every
                if self.unplugged or number == last:
                    last = max(last, number) if self.unplugged else last
                    continue
                at = number * self._every - self._late
                self.captured += number - last
                if number - last > 1:
                    inlet.drop("superseded", number - last - 1)
                last = number
                self._lost = False
                if (reason := inlet.unwanted) is not None:
                    inlet.drop(reason)
                    continue
                if self.failure is not None:
                    raise self.failure
                self.extracted.append(at)
                time.sleep(self._extract)
                inlet.sample(None if self.empty else self._values, at, at, self._extract * 1000)
        except Exception as error:
            inlet.fail(error)


def camera(**options):
    return FakeDevice(FACE, name="camera", **options)


def microphone(**options):
    return FakeDevice(AUDIO, every_ms=40.0, name="microphone", **options)
