"""Load a bundle: find the file, check it, open its graph in ONNX Runtime.

Needs neither torch nor the onnx package. The description, its digest and the weights are checked before ONNX
Runtime sees the graph, then the graph's inputs and outputs against the description, then what it gives for
some hundred random ticks.
"""

from importlib.resources import files
from pathlib import Path
from typing import Final, Self

from ..contracts.errors import UserError, one_line
from .graph_checks import check_model
from .interface import check_interface, check_ticks
from .metadata import Metadata, read_metadata
from .runtime import ort

MAX_BYTES: Final = 64 * 2**20  # the shipped bundles have 1 to 3 MB


class Bundle:
    """A checked bundle, ready to run.

    Attributes:
        path: the file it was read from.
        metadata: its description.
        session: its graph in ONNX Runtime, on one thread.
    """

    def __init__(self, path: Path, metadata: Metadata, session: ort.InferenceSession) -> None:
        self.path = path
        self.metadata = metadata
        self.session = session

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read and check a bundle.

        Args:
            source: a file, or the name of a shipped bundle (`default`).

        Raises:
            UserError: no such file, not a bundle, damaged, of another version, different from its
                description, or with outputs that cannot be estimates.
        """
        path = find_bundle(source)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not an enrapt bundle")
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); give another bundle") from None
        metadata = read_metadata(data, str(path))
        try:
            check_model(memoryview(data), str(path))
            session = _session(data, str(path))
            check_interface(metadata, session, str(path))
        except (ValueError, RecursionError):  # not Protocol Buffers, or Scans nested too deep
            raise UserError(f"{path}: its graph is damaged; get a complete copy of the bundle") from None
        check_ticks(metadata, session, str(path))
        return cls(path, metadata, session)


def find_bundle(source: str | Path) -> Path:
    """The file of a bundle given by path or by the name of a shipped one.

    Raises:
        UserError: there is no such file.
    """
    shipped = Path(str(files(__package__) / "shipped"))
    if (named := shipped / f"{source}.onnx").is_file() and not Path(source).exists():
        return named
    path = Path(source)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.onnx"))) or "none"
        raise UserError(f"{path}: no such bundle; give a .onnx file or the name of a shipped one ({names})")
    return path


def _session(model: bytes, name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # A step takes tens of microseconds: more threads, or spinning between steps, only cost CPU time.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")  # whose memory is bounded
    options.log_severity_level = 4
    try:
        # The fallback would retry the same provider and print to standard output. Folding constants would
        # compute them now, with memory that is not bounded; the exporter has folded them.
        return ort.InferenceSession(
            model,
            options,
            ["CPUExecutionProvider"],
            enable_fallback=0,
            disabled_optimizers=["ConstantFolding"],
        )
    except Exception as error:  # ONNX Runtime's exceptions derive directly from Exception
        raise UserError(
            f"{name}: ONNX Runtime {ort.__version__} cannot load it ({one_line(error)})"
        ) from None
