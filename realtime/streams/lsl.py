"""The optional dependency `pylsl`; a `UserError` says how to install it."""

from ...contracts.errors import UserError

try:
    import pylsl as pylsl
except ImportError:
    raise UserError("lsl: needs pylsl: pip install 'enrapt[lsl]'") from None
except (OSError, RuntimeError):  # pylsl is installed without liblsl for this machine
    raise UserError(
        "lsl: pylsl does not find liblsl: install it from github.com/sccn/liblsl/releases, or set PYLSL_LIB"
    ) from None
