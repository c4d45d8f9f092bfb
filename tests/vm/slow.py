"""The host lane's rig for a guest that is 10 to 20 times slower: every deadline is longer, the
runtime is named. It must be imported before what imports `rig`."""

import contextlib
import importlib
import os
import subprocess
import sys
import types

HERE = os.path.dirname(os.path.abspath(__file__))
for place in (os.path.join(os.path.dirname(HERE), "host"), HERE):
    if place not in sys.path:
        sys.path.insert(0, place)



class LateBus(types.ModuleType):
    """Stands for `bus` until something of it is used: grpc takes seconds to load here."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules["bus"] is self:
            del sys.modules["bus"]
        return getattr(importlib.import_module("bus"), name)


sys.modules["bus"] = LateBus("bus")

import rig as host  # noqa: E402

SLOWER = 6
Broken = host.Broken

host.PATIENCE *= SLOWER
_until, _gantry, _communicate = host.until, host.Rig.gantry, subprocess.Popen.communicate


def until(probe, what, patience=None):
    return _until(probe, what, host.PATIENCE if patience is None else patience * SLOWER)


def gantry(self, *args, patience=None, **kwargs):
    patience = host.PATIENCE if patience is None else patience * SLOWER
    return _gantry(self, *args, patience=patience, **kwargs)


def communicate(self, *args, timeout=None, **kwargs):
    # subprocess.run() comes through here, too.
    return _communicate(self, *args, timeout=timeout and timeout * SLOWER, **kwargs)


host.until, host.Rig.gantry, subprocess.Popen.communicate = until, gantry, communicate


class SlowRig(host.Rig):
    runtime = "crun"

    def __init__(self, bin_dir, crash=False, extra=(), **kwargs):
        super().__init__(bin_dir, crash=crash, extra=("--runtime", self.runtime, *extra), **kwargs)


@contextlib.contextmanager
def rig(bin_dir, runtime):
    SlowRig.runtime = runtime
    made = SlowRig(bin_dir)
    try:
        yield made
    finally:
        made.close()
