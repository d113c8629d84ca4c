"""pylsl, or a line that says how to get it."""

from ...contracts.errors import UserError

try:
    import pylsl as pylsl
except ImportError:
    raise UserError("lsl: needs pylsl: pip install 'enrapt[lsl]'") from None
except (OSError, RuntimeError):  # pylsl is there, and no liblsl for this machine
    raise UserError(
        "lsl: pylsl finds no liblsl: see github.com/sccn/liblsl/releases, or set PYLSL_LIB"
    ) from None
