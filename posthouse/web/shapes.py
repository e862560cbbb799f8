"""The shapes of what the API answers with: every value a client returns, as a JSON object with named fields.

On the wire records are arrays; here each gets a twin of the same fields that is written as an object. The twins are
what the OpenAPI document describes, and every answer is made into one before it goes out, so that the two agree.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, Union

import msgspec


def shown_as(value: Any, annotation: Any) -> Any:
    """A value in its shape. Raises msgspec.ValidationError when it is none of that type, which is a bug."""
    return msgspec.convert(value, shape_of(annotation), from_attributes=True)


def shape_of(annotation: Any) -> Any:
    """The twin of a type: records become objects, and so does everything within."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        if issubclass(annotation, msgspec.Struct):
            return _twin_of_struct(annotation)
        return _twin_of_data_class(annotation) if dataclasses.is_dataclass(annotation) else annotation
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is typing.Literal:
        return annotation
    if origin in (Union, types.UnionType):
        return Union[tuple(shape_of(one) for one in inner)]  # noqa: UP007  # the members are known only now
    if origin is typing.Annotated:
        return typing.Annotated[(shape_of(inner[0]), *inner[1:])]
    return origin[tuple(one if one is Ellipsis else shape_of(one) for one in inner)]


@functools.cache
def _twin_of_struct(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        shape = shape_of(hints[field.name])
        if field.default_factory is not msgspec.NODEFAULT:
            fields.append((field.encode_name, shape, msgspec.field(default_factory=field.default_factory)))
        elif field.default is not msgspec.NODEFAULT and not isinstance(field.default, msgspec.Struct):
            fields.append((field.encode_name, shape, field.default))
        else:
            fields.append((field.encode_name, shape))
    return msgspec.defstruct(kind.__name__, fields, namespace={"__doc__": kind.__doc__}, kw_only=True)


@functools.cache
def _twin_of_data_class(kind: type) -> type[msgspec.Struct]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [(field.name, shape_of(hints[field.name])) for field in dataclasses.fields(kind)]
    return msgspec.defstruct(kind.__name__, fields, namespace={"__doc__": kind.__doc__}, kw_only=True)
