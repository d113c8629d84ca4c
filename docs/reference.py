"""The API reference as HTML, from docstrings: `python docs/reference.py FOLDER` (`make docs`).

What it says is in the code. A name without a docstring, or a type that cannot be read, is an error.
"""

import importlib
import inspect
import sys
import warnings
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

import msgspec
import pdoc

# What users import. Of a module with `__all__`, the names in it.
MODULES: Final = (
    "enrapt.models",
    "enrapt.export",
    "enrapt.bundle.bundle",
    "enrapt.bundle.metadata",
    "enrapt.bundle.sequence",
    "enrapt.realtime",
    "enrapt.realtime.engine.engine",
    "enrapt.realtime.engine.estimate",
    "enrapt.realtime.engine.state",
    "enrapt.study.labels",
    "enrapt.study.agreement",
    "enrapt.study.consensus",
    "enrapt.study.lags",
    "enrapt.contracts.errors",
    "enrapt.contracts.schemas",
)
KINDS: Final = (FunctionType, property, classmethod, staticmethod)  # members that need a docstring
SEE: Final = "; see the module's docstring."


def public(module: ModuleType) -> dict[str, Any]:
    """What a module offers, by name; imports what it imports when asked for."""
    if hasattr(module, "__all__"):
        return {name: getattr(module, name) for name in module.__all__}
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and inspect.getmodule(value) is module and callable(value)
    }


def undocumented(modules: list[ModuleType]) -> list[str]:
    """Public names, and public members of classes, that have no docstring of their own or of what they
    override."""
    found = []
    for module in modules:
        members = public(module)
        for name, value in public(module).items():
            if inspect.isclass(value):
                own = {key: member for key, member in vars(value).items() if not key.startswith("_")}
                members |= {f"{name}.{key}": m for key, m in own.items() if isinstance(m, KINDS)}
        found += [f"{module.__name__}.{name}" for name, m in members.items() if not inspect.getdoc(m)]
    return found


def complete(module: ModuleType) -> None:
    """Write into a module's classes what is written elsewhere in the code: to a model, the equations of its
    module, the options of its configuration, and where the methods are that it shares with others."""
    for name, value in public(module).items():
        setattr(module, name, value)  # pdoc does not ask a module's `__getattr__`
        if not inspect.isclass(value):
            continue
        text = inspect.cleandoc(value.__doc__ or "")
        if SEE in text:
            text = f"{sys.modules[value.__module__].__doc__}\n{text.replace(SEE, '.')}"
        if config := getattr(value, "Config", None):
            text = text.replace(f"    options: those of `{config.__name__}`.", options(config))
        shared = [base for base in value.__mro__[1:] if base in public(module).values()]
        if shared:
            text += "\n\nShared methods: " + ", ".join(f"`{base.__name__}`" for base in shared) + "."
        value.__doc__ = text
        if "__init__" in vars(value) and not value.__init__.__doc__:
            value.__init__.__doc__ = "As above."  # otherwise pdoc shows that of torch.nn.Module


def options(config: type[Any]) -> str:
    """The attributes of a model's configuration, and its bases', as arguments with their defaults."""
    lines = []
    for kind in reversed(config.__mro__):
        _, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
        lines += attributes.splitlines() if kind.__module__.startswith("enrapt.models") else []
    defaults = {field.name: field.default for field in msgspec.structs.fields(config)}
    shown = "\n".join(lines)
    for name, default in defaults.items():
        shown = shown.replace(f"    {name}: ", f"    {name} = {default!r}: ")
    return shown


def main(folder: Path) -> None:
    modules = [importlib.import_module(name) for name in MODULES]
    if missing := undocumented(modules):
        raise SystemExit("no docstring: " + ", ".join(missing))
    for module in modules:
        complete(module)
    pdoc.render.configure(docformat="google", show_source=False, search=True, footer_text="enrapt")
    specs = [spec for name in MODULES for spec in (name, f"!{name}\\..+")]  # of a package, not what is inside
    pdoc.doc.Module.submodules = property(lambda module: [])  # `fit` is a function, and a module inside
    warnings.simplefilter("error")
    pdoc.pdoc(*specs, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
