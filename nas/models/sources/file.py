"""Networks of a file of the user's: "mine.py:make_model", a function that makes one, or one that is there.

The file is run, since the user names it. It may say more: `example_input` (a tensor, several in a tuple, or by name in
a dictionary), `classes`, `mean` and `std`.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from nas.errors import NasError, UsageError
from nas.files import sha256
from nas.models import Preprocessing
from nas.models.sources.inputs import given_inputs, seeded
from nas.models.sources.module import named
from nas.models.sources.network import RANDOM, NetworkSource, Request, SourceNetwork
from nas.models.sources.weights import load_weights

EXAMPLE = "example_input"


class FileSource(NetworkSource):
    """Functions, classes without arguments, and instances in Python files."""

    def open(self, place: str, request: Request) -> SourceNetwork:
        path, name = _parts(place)
        module, told = seeded(lambda: _made(path, name))
        where = "as the file makes them"
        if request.weights not in (None, RANDOM):
            where = f"{request.weights}, {load_weights(module, request.weights)}"
        given = given_inputs(request.inputs)
        if given is None and not hasattr(told, EXAMPLE):
            raise UsageError(
                f"nothing says what {place} takes; give --input 1x3x224x224, or {EXAMPLE} = torch.randn(...) in {path}"
            )
        example = getattr(told, EXAMPLE, None) if given is None else given
        inputs = named(module, example() if callable(example) else example)
        recipe = {"kind": "file", "place": f"{path.resolve()}:{name}", "sha256": sha256(path)}
        classes = tuple(map(str, getattr(told, "classes", ())))
        return SourceNetwork(
            f"{path.stem}-{name}",
            module,
            inputs,
            recipe,
            _preprocessing(told, inputs),
            classes,
            weights=where,
        )

    def template(self, recipe: Mapping[str, Any]) -> nn.Module:
        path, name = _parts(recipe["place"])
        if sha256(path) != recipe["sha256"]:
            raise NasError(f"{path} has changed since its model was adopted; adopt it again")
        return _made(path, name)[0].eval()


def _parts(place: str) -> tuple[Path, str]:
    file, _, name = place.rpartition(":")
    if not name or not file:
        raise UsageError(
            f"{place} says no function or network of the file; give {place.strip(':')}:make_model"
        )
    if not Path(file).is_file():
        raise UsageError(f"there is no file {file}; give FILE.py:NAME, such as mine.py:make_model")
    return Path(file), name


def _run(path: Path) -> ModuleType:
    """Import a file, beside which its own modules are found."""
    spec = importlib.util.spec_from_file_location(f"_anyfit_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises
        del sys.modules[spec.name]
        first = str(error).partition("\n")[0]
        raise UsageError(
            f"{path} cannot be imported ({type(error).__name__}: {first}); mend it, or install what it needs"
        ) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _made(path: Path, name: str) -> tuple[nn.Module, ModuleType]:
    """Return the network that a name in a file stands for, and the file's module."""
    told, place = _run(path), f"{path}:{name}"
    if not hasattr(told, name):
        own = [
            each
            for each, value in vars(told).items()
            if isinstance(value, nn.Module) or getattr(value, "__module__", "") == told.__name__
        ]
        near = difflib.get_close_matches(name, own, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(own) or 'nothing that makes one'}"
        raise UsageError(f"{path} has no {name}; {hint}")
    value = getattr(told, name)
    if not isinstance(value, nn.Module) and callable(value):
        if needed := _needed(value):
            what = "class" if inspect.isclass(value) else "function"
            raise UsageError(
                f"{place} is a {what} that needs {', '.join(needed)}; write a function without arguments that makes "
                f"the network, such as def make_model(): return {name}(...), and give {path}:make_model"
            )
        try:
            value = value()
        except Exception as error:  # whatever the user's function raises
            first = str(error).partition("\n")[0]
            raise UsageError(
                f"{place} makes no network ({type(error).__name__}: {first}); mend it"
            ) from error
    if not isinstance(value, nn.Module):
        raise UsageError(
            f"{place} gives a {type(value).__name__}, but a torch.nn.Module is expected; return the network itself"
        )
    return value, told


def _needed(value: Any) -> list[str]:
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in kinds]


def _preprocessing(told: ModuleType, inputs: Any) -> Preprocessing | None:
    if not hasattr(told, "mean") or not hasattr(told, "std") or getattr(inputs, "ndim", 0) != 4:
        return None
    return Preprocessing(tuple(told.mean), tuple(told.std), (inputs.shape[2], inputs.shape[3]))
