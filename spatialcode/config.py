"""Configuration: a sparse YAML and dotlist arguments over a frozen dataclass.

A job states its settings once, as a frozen dataclass whose fields are made by `setting` and whose
bounds are checked by `checked` whenever one is made;
`load_config` merges defaults, YAML file and ``key=value`` arguments (later ones win), checks
keys and types, and builds the dataclass. Everything wrong is a `ConfigError` that names the key.
This is the only file that imports omegaconf. It knows no job's settings.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spatialcode.errors import ConfigError

__all__ = [
    "MISSING",
    "build",
    "checked",
    "describe",
    "load_config",
    "require",
    "setting",
    "to_dict",
]

T = TypeVar("T")

#: An unknown key is answered by all keys where there are no more than these, else by the nearest.
_MOST_LISTED, _NUM_NEAREST = 12, 5


@dataclass(frozen=True)
class Bounds:
    """What a setting's value must be; each bound that is None bounds nothing."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    one_of: tuple[Any, ...] | None = None

    def hold(self, value: Any) -> bool:
        """Whether a value lies within; NaN does not, where a bound is a number."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
            and (self.one_of is None or value in self.one_of)
        )

    def __str__(self) -> str:
        if self.one_of is not None:
            return f"one of {', '.join(map(str, self.one_of))}"
        if self.at_least is not None and self.at_most is not None:
            return f"between {self.at_least} and {self.at_most}"
        named = {
            "at least": self.at_least,
            "more than": self.above,
            "at most": self.at_most,
            "less than": self.below,
        }
        parts = [f"{name} {bound}" for name, bound in named.items() if bound is not None]
        return " and ".join(parts)


def setting(
    doc: str,
    default: Any = MISSING,
    default_factory: Any = None,
    auto: bool = False,
    **bounds: Any,
) -> Any:
    """A dataclass field with a line of documentation; without a default it must be given.

    ``auto``: None, which leaves the choice to the program, is also written ``auto``.
    ``bounds``: fields of `Bounds`, which `checked` holds the value to (each item, where the
    setting is a sequence) and ``--help`` shows. None is always within.
    """
    metadata = {"doc": doc, "bounds": Bounds(**bounds), "auto": auto}
    if default_factory is not None:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def checked(schema: type[T]) -> type[T]:
    """Hold every instance of a class of settings to their bounds; stands under ``@dataclass``.

    Making one raises ConfigError, naming the first setting that is out of bounds, before the
    class's own ``__post_init__`` looks at settings that must fit each other.
    """
    own = getattr(schema, "__post_init__", None)

    def check(self: Any) -> None:
        for field in dataclasses.fields(self):
            bounds = field.metadata.get("bounds", Bounds())
            value = getattr(self, field.name)
            items = value if isinstance(value, tuple | list) else (value,)
            for item in items:
                require(item is None or bounds.hold(item), field.name, str(bounds), item)
        if own is not None:
            own(self)

    schema.__post_init__ = check  # type: ignore[attr-defined]
    return schema


def require(condition: bool, key: str, expected: str, got: object) -> None:
    """Raise `ConfigError` naming the key unless the condition holds; for ``__post_init__``."""
    if not condition:
        raise ConfigError(f"{key}: expected {expected}, got {got!r}")


def load_config(
    schema: type[T], yaml_path: str | Path | None = None, dotlist: Sequence[str] = ()
) -> T:
    """Merge schema defaults, a YAML file and ``key=value`` arguments into a schema instance.

    A sequence setting takes one bare value as well (``input=a.mp4`` or ``input=[a.mp4,b.mp4]``),
    and so does a group of settings that names one of its keys as ``BARE``.
    Raises ConfigError for a missing or malformed file, an unknown key (with a suggestion), a value
    of the wrong type or out of range, and a mandatory setting that nobody gave.
    """
    layers = [] if yaml_path is None else [(str(yaml_path), _read_yaml(Path(yaml_path)))]
    layers += [("arguments", _parse_argument(schema, argument)) for argument in dotlist]
    return _merged(schema, layers)


def build(schema: type[T], values: Mapping[str, Any], origin: str) -> T:
    """A schema instance of defaults and values that another configuration held, checked alike.

    ``origin``: the key that held them, which errors begin with.
    """
    try:
        return _merged(schema, [(origin, values)])
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None


def _merged(schema: type[T], layers: Sequence[tuple[str, Mapping[str, Any]]]) -> T:
    config = OmegaConf.structured(schema)
    OmegaConf.set_readonly(config, False)
    for origin, values in layers:
        values = _checked_keys(schema, values, origin)
        try:
            config = typing.cast(DictConfig, OmegaConf.merge(config, values))
        except OmegaConfBaseException as error:
            raise ConfigError(_explain(error, origin)) from None
        OmegaConf.set_readonly(config, False)
    try:
        missing = OmegaConf.missing_keys(config)
        merged = OmegaConf.to_container(config, resolve=True, enum_to_str=False)
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error, "interpolation")) from None
    if missing:
        docs = {entry.key: entry.doc for entry in _entries(schema)}
        lines = [f"{key}=… ({docs[key]})" for key in sorted(missing)]
        raise ConfigError("missing value: " + "; ".join(lines))
    return _build(schema, typing.cast(dict[str, Any], merged), "")


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain dictionaries, lists and strings, fit for JSON."""
    return typing.cast(
        dict[str, Any],
        OmegaConf.to_container(OmegaConf.structured(config), resolve=True, enum_to_str=True),
    )


def describe(schema: type[Any]) -> str:
    """Every key with its default, type and one line of documentation, as text for ``--help``."""
    entries = list(_entries(schema))
    width = max((len(entry.assignment) for entry in entries), default=0)
    width = min(width, 44)
    return "\n".join(
        f"  {entry.assignment:<{width}}  {entry.doc} ({entry.values})" for entry in entries
    )


@dataclass(frozen=True)
class _Entry:
    """One leaf setting: dotted key, type, default, documentation."""

    key: str
    type_hint: Any
    default: Any
    doc: str
    bounds: Bounds
    auto: bool

    @property
    def values(self) -> str:
        """The type and the bounds of what may be given."""
        name = str(self.type_hint).replace("typing.", "").replace("pathlib.", "")
        if isinstance(self.type_hint, type) and not typing.get_args(self.type_hint):
            name = self.type_hint.__name__
        name = name.replace("None", "auto") if self.auto else name
        return ", ".join(filter(None, (name, str(self.bounds))))

    @property
    def assignment(self) -> str:
        if self.default == MISSING:
            return f"{self.key}=… [required]"
        default = list(self.default) if isinstance(self.default, tuple) else self.default
        none = "auto" if self.auto else "null"
        return f"{self.key}={none if default is None else default}"


def _nested(type_hint: Any) -> type[Any] | None:
    """The dataclass that a type hint names, also inside ``X | None``; else None."""
    options = [type_hint]
    if typing.get_origin(type_hint) in (typing.Union, types.UnionType):
        options = list(typing.get_args(type_hint))
    found = [option for option in options if dataclasses.is_dataclass(option)]
    return typing.cast(type[Any], found[0]) if found else None


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return MISSING


def _entries(schema: type[Any], prefix: str = "") -> Iterator[_Entry]:
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        key, hint = prefix + field.name, hints[field.name]
        nested = _nested(hint)
        if nested is not None:
            yield from _entries(nested, key + ".")
        else:
            doc, bounds = field.metadata.get("doc", ""), field.metadata.get("bounds", Bounds())
            auto = field.metadata.get("auto", False)
            yield _Entry(key, hint, _default(field), doc, bounds, auto)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"config file {path} does not exist")
    try:
        loaded = OmegaConf.load(path)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"config file {path} is not valid YAML: {_one_line(error)}") from None
    if not isinstance(loaded, DictConfig):
        raise ConfigError(f"config file {path} must hold `key: value` lines, not a list")
    return typing.cast(dict[str, Any], OmegaConf.to_container(loaded, resolve=False))


def _parse_argument(schema: type[Any], argument: str) -> dict[str, Any]:
    """``a.b=value`` as nested dictionaries; text settings take their value unparsed."""
    key, separator, text = argument.partition("=")
    if not separator or not key:
        raise ConfigError(f"expected key=value, got {argument!r}")
    hint = next((entry.type_hint for entry in _entries(schema) if entry.key == key), None)
    value: Any = text
    if not _takes_text(hint, text):
        try:
            value = yaml.safe_load(text) if text else None
        except yaml.YAMLError as error:
            raise ConfigError(f"{key}: {text!r} is not valid: {_one_line(error)}") from None
    for part in reversed(key.split(".")):
        value = {part: value}
    return typing.cast(dict[str, Any], value)


def _takes_text(hint: Any, text: str) -> bool:
    """Whether a value is taken as it stands: a file name like ``1e5`` or ``a: b`` is no number."""
    options = set(typing.get_args(hint)) or {hint}
    if typing.get_origin(hint) is dict:
        return False
    if _is_sequence(hint):
        return bool(options & {str, Path}) and not text.startswith("[")
    return bool(options & {str, Path}) and not (type(None) in options and text == "null")


def _is_sequence(hint: Any) -> bool:
    return typing.get_origin(hint) in (tuple, list)


def _checked_keys(
    schema: type[Any], values: Mapping[Any, Any], origin: str, prefix: str = ""
) -> dict[str, Any]:
    """The values with bare items wrapped for sequence settings; unknown keys raise."""
    hints = typing.get_type_hints(schema)
    autos = {field.name for field in dataclasses.fields(schema) if field.metadata.get("auto")}
    checked = {}
    for name, value in values.items():
        if name not in hints:
            raise ConfigError(_unknown(schema, f"{prefix}{name}", prefix, origin))
        nested = _nested(hints[name])
        if nested is not None and isinstance(value, Mapping):
            value = _checked_keys(nested, value, origin, f"{prefix}{name}.")
        elif nested is not None and isinstance(value, str) and hasattr(nested, "BARE"):
            value = {nested.BARE: value}
        elif nested is not None and value is not None:
            group = f"{prefix}{name}"
            leaf = dataclasses.fields(nested)[0].name
            raise ConfigError(f"{group}: is a group of settings; set {group}.{leaf} and the like")
        elif _is_sequence(hints[name]) and value is not None and value != MISSING:
            value = [value] if isinstance(value, str | int | float) else value
        elif name in autos and value == "auto":
            value = None
        checked[name] = value
    return checked


def _unknown(schema: type[Any], key: str, prefix: str, origin: str) -> str:
    known = [prefix + entry.key for entry in _entries(schema, "")]
    leaves = {entry.rsplit(".", 1)[-1]: entry for entry in known}
    close = difflib.get_close_matches(key, known, 1, 0.7)
    if not close:
        close = [leaves[leaf] for leaf in difflib.get_close_matches(key, list(leaves), 1, 0.7)]
    if close:
        hint = f"did you mean {close[0]!r}?"
    elif len(known) <= _MOST_LISTED:
        hint = f"known keys: {', '.join(known)}"
    else:
        near = difflib.get_close_matches(key, known, _NUM_NEAREST, 0.0)
        hint = f"the nearest of {len(known)} keys: {', '.join(near)}"
    return f"unknown key {key!r} in {origin}; {hint}"


def _explain(error: OmegaConfBaseException, origin: str) -> str:
    key = getattr(error, "full_key", None) or "value"
    return f"{key}: {_one_line(error)} (in {origin})"


def _one_line(error: BaseException) -> str:
    """An error's first line; OmegaConf and PyYAML append internals on further ones."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem or error.context}, line {error.problem_mark.line + 1}"
    return lines[0] if lines else type(error).__name__


def _build(schema: type[T], values: Mapping[str, Any], prefix: str) -> T:
    hints = typing.get_type_hints(schema)
    arguments = {}
    for name, value in values.items():
        nested = _nested(hints[name])
        if nested is not None and isinstance(value, Mapping):
            value = _build(nested, value, f"{prefix}{name}.")
        elif typing.get_origin(hints[name]) is tuple and isinstance(value, list):
            value = tuple(value)
        arguments[name] = value
    try:
        return schema(**arguments)
    except (ValueError, TypeError) as error:
        message = _one_line(error)
        known = message.startswith(tuple(f"{name}:" for name in hints))
        where = prefix if known else (prefix.rstrip(".") + ": " if prefix else "")
        raise ConfigError(f"{where}{message}") from error
