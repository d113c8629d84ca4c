"""Lab Streaming Layer that stays on this machine, and outlets in processes of their own.

`LSLAPICFG` is to name a file with `LOOPBACK`; liblsl reads it when it is used first, in each process.
"""

import json
import subprocess
import sys
from typing import Any, Final, Self

LOOPBACK: Final = """\
[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
AddressesOverride = {127.0.0.1}
[lab]
KnownPeers = {127.0.0.1}
[log]
level = -2
"""

# Sample k, stamped k / rate after its first one, is all k, unless the options change it; `restart=[a, b]`:
# after a seconds its clock starts again, b seconds earlier; `burst=n`: n samples at once; `off`: s added to
# stamps.
FEATURES: Final = """
import json, math, sys, time
import pylsl
do = json.loads(sys.argv[1])
rate = do.get("rate", 30)
strings = do.get("strings", False)
burst = do.get("burst", 1)
format = pylsl.cf_string if strings else pylsl.cf_double64
info = pylsl.StreamInfo(do["name"], "Features", do["channels"], rate, format, do.get("source", ""))
outlet = pylsl.StreamOutlet(info)
zero = pylsl.local_clock()
print(json.dumps({"zero": zero}), flush=True)
for k in range(100000):
    due = k - k % burst + burst - 1
    time.sleep(max(zero + due / rate - pylsl.local_clock(), 0))
    sample = [float(k)] * do["channels"]
    if do.get("nan") and k % 3 == 1:
        sample[5] = math.nan
    if do.get("nan") and k % 3 == 2:
        sample = [math.nan] * do["channels"]
    if do.get("huge"):
        sample[0] = 1e300
    stamp = zero + k / rate
    if do.get("step") and k % 2:
        stamp -= 1.5 / rate
    if do.get("restart") and k >= rate * do["restart"][0]:
        stamp -= do["restart"][1]
    outlet.push_sample(["a"] * do["channels"] if strings else sample, stamp + do.get("off", 0))
"""
# A tone that restarts with every second of LSL's clock and is on in the first half of it.
SOUND: Final = """
import json, sys, time
import numpy as np
import pylsl
do = json.loads(sys.argv[1])
rate, channels, size = do["rate"], do["channels"], do["rate"] // 50
types = {"int16": (pylsl.cf_int16, 32768), "float32": (pylsl.cf_float32, 1)}
format, full = types[do["format"]]
outlet = pylsl.StreamOutlet(pylsl.StreamInfo(do["name"], "Audio", channels, rate, format, do["name"]))
zero = int(pylsl.local_clock())
print(json.dumps({"zero": zero}), flush=True)
first = int((pylsl.local_clock() - zero) * rate)
began = first / rate
while True:
    t = np.arange(first, first + size) / rate
    time.sleep(max(zero + t[-1] - pylsl.local_clock(), 0))
    tone = 0.5 * np.sin(2 * np.pi * 500 * t) * (t % 1 < 0.5)
    off = do["restart"][1] if do.get("restart") and t[-1] - began > do["restart"][0] else 0
    chunk = np.repeat((tone * full)[:, None], channels, axis=1).astype(do["format"])
    outlet.push_chunk(chunk, zero + t[-1] - off)
    first += size
"""


class Outlets:
    """A context manager: starts outlets, and kills them at its end."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def __call__(self, program: str, **options: Any) -> tuple[subprocess.Popen[str], float]:
        """Start one; its process, and LSL's time of its first sample."""
        command = [sys.executable, "-c", program, json.dumps(options)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())["zero"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
