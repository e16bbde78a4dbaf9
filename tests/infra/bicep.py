"""Evaluates the Bicep in infra/: which resources a deployment creates, with which properties, for given parameters.

The Bicep CLI compiles the files in CI and checks the language, types and linter rules; it is on neither PyPI nor npm. This
checks what no compiler does: what the app is configured with, who gets which role, what is reachable from where. It knows
only the part of the language that infra/ uses and raises `BicepError` for everything else.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

type Value = Any
"""A Bicep value as its Python equivalent."""

_BICEP = Language(tree_sitter_bicep.language())


class BicepError(Exception):
    """An error that the compiler or a deployment would report, or a part of the language that is not known here."""


@dataclass(frozen=True)
class Parameter:
    """A parameter's declaration."""

    type: str
    default: Node | None
    decorators: dict[str, Node]

    @property
    def secure(self) -> bool:
        return "secure" in self.decorators


@dataclass(frozen=True)
class Declared:
    """A declared resource or module; `kind` is a type with its API version, or a module's path."""

    kind: str
    existing: bool
    condition: Node | None
    body: Node
    parent: str | None = None


@dataclass
class Template:
    """One Bicep file."""

    path: Path
    parameters: dict[str, Parameter] = field(default_factory=dict)
    variables: dict[str, Node] = field(default_factory=dict)
    resources: dict[str, Declared] = field(default_factory=dict)
    modules: dict[str, Declared] = field(default_factory=dict)
    outputs: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Resource:
    """A deployed resource, or an `existing` one that is referred to; a value known only after deployment is `<…>`."""

    symbol: str
    type: str
    api_version: str
    existing: bool
    scope: str | None
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.body["name"])


def parse(text: bytes, name: str) -> Node:
    """The root of the syntax tree; raises `BicepError` for a syntax error."""
    root = Parser(_BICEP).parse(text).root_node
    if root.has_error:
        raise BicepError(f"{name}: syntax error near line {_first_error(root).start_point[0] + 1}")
    return root


@cache
def read(path: Path) -> Template:
    """Parses a file; raises `BicepError` for a syntax error."""
    root = parse(path.read_bytes(), path.name)
    template = Template(path)
    decorators: dict[str, Node] = {}
    for node in root.named_children:
        if node.type == "decorators":
            decorators = {_text(call.named_children[0]): call.named_children[1] for call in _calls(node)}
            continue
        _declare(template, node, decorators)
        decorators = {}
    return template


def _declare(template: Template, node: Node, decorators: dict[str, Node]) -> None:
    children = [child for child in node.named_children if child.type != "comment"]
    match node.type:
        case "parameter_declaration":
            default = children[2] if len(children) > 2 else None
            template.parameters[_text(children[0])] = Parameter(_text(children[1]), default, decorators)
        case "variable_declaration":
            template.variables[_text(children[0])] = children[1]
        case "output_declaration":
            template.outputs[_text(children[0])] = children[2]
        case "resource_declaration":
            _declare_resource(template, node, None)
        case "module_declaration":
            template.modules[_text(children[0])] = _declared(node, None)
        case "target_scope_assignment" | "comment" | "diagnostic_comment":
            pass
        case _:
            raise BicepError(f"{template.path.name}: {node.type} is not known here")


def _declare_resource(template: Template, node: Node, parent: str | None) -> None:
    symbol = _text(node.named_children[0])
    declared = template.resources[symbol] = _declared(node, parent)
    for child in _properties_of(declared.body):
        if child.named_children[0].type == "resource_declaration":
            _declare_resource(template, child.named_children[0], symbol)


def _declared(node: Node, parent: str | None) -> Declared:
    kind, body = _text(node.named_children[1]).strip("'"), node.named_children[-1]
    condition = None
    if body.type == "if_statement":
        condition, body = body.named_children[0], body.named_children[-1]
    return Declared(kind, any(child.type == "existing" for child in node.children), condition, body, parent)


class Deployment:
    """What a template deploys with the given parameters, its modules included; raises `BicepError`."""

    def __init__(self, path: Path, parameters: dict[str, Value], where: str = "subscription") -> None:
        self.template = read(path)
        self._where = where
        self._values: dict[str, Any] = {}
        self._modules: dict[str, Deployment] = {}
        self._take(parameters)
        self.modules = {name: self._module(name) for name in self.template.modules if self._deploys(name)}
        self._own = [self._resource(name) for name in self.template.resources if self._deploys(name)]
        self.outputs = {name: self.evaluate(node) for name, node in self.template.outputs.items()}

    def resources(self) -> Iterator[Resource]:
        """All resources, including those of the modules."""
        yield from self._own
        for module in self.modules.values():
            yield from module.resources()

    def _take(self, given: dict[str, Value]) -> None:
        for name, parameter in self.template.parameters.items():
            default = parameter.default
            self._values[name] = self.evaluate(default) if default and name not in given else given[name]
            self._check(name, parameter)

    def _check(self, name: str, parameter: Parameter) -> None:
        value = self._values[name]
        fits: dict[str, Callable[[Value], bool]] = {
            "allowed": lambda limit: value in limit,
            "minValue": lambda limit: value >= limit,
            "maxValue": lambda limit: value <= limit,
            "minLength": lambda limit: len(value) >= limit,
            "maxLength": lambda limit: len(value) <= limit,
        }
        for rule in fits.keys() & parameter.decorators.keys():
            limit = self.evaluate(parameter.decorators[rule].named_children[0])
            if not fits[rule](limit):
                raise BicepError(f"{self.template.path.name}: {name} is {value!r}, which violates {rule} {limit!r}")

    def _deploys(self, symbol: str) -> bool:
        declared = self._declaration(symbol)
        return declared.condition is None or bool(self.evaluate(declared.condition))

    def _declaration(self, symbol: str) -> Declared:
        return self.template.modules.get(symbol) or self.template.resources[symbol]

    def _module(self, symbol: str) -> "Deployment":
        if symbol not in self._modules:
            if not self._deploys(symbol):
                raise BicepError(f"{self.template.path.name}: {symbol} is used although its condition is false")
            declared = self.template.modules[symbol]
            body = {_text(p.named_children[0]): p.named_children[1] for p in _properties_of(declared.body)}
            where = str(self.evaluate(body["scope"])) if "scope" in body else self._where
            parameters = self.evaluate(body["params"])
            self._modules[symbol] = Deployment(self.template.path.parent / declared.kind, parameters, where)
        return self._modules[symbol]

    def _resource(self, symbol: str) -> Resource:
        declared = self.template.resources[symbol]
        kind, api_version = self._kind(declared)
        body: dict[str, Any] = self.evaluate(declared.body)
        scope = body.pop("scope", None) or body.pop("parent", None)
        body.pop("dependsOn", None)
        if declared.parent:
            scope = self._id(declared.parent)
        return Resource(symbol, kind, api_version, declared.existing, scope or self._where, body)

    def _kind(self, declared: Declared) -> tuple[str, str]:
        if declared.parent:
            parent_kind, api_version = self._kind(self.template.resources[declared.parent])
            return f"{parent_kind}/{declared.kind}", api_version
        kind, _, api_version = declared.kind.partition("@")
        return kind, api_version

    def _id(self, symbol: str) -> str:
        declared = self.template.resources[symbol]
        return f"/{self._kind(declared)[0]}/{self._property_of(symbol, 'name')}"

    def _property_of(self, symbol: str, name: str) -> Value:
        if name == "id":
            return self._id(symbol)
        for child in _properties_of(self.template.resources[symbol].body):
            if name == "name" and _text(child.named_children[0]) == "name":
                return self.evaluate(child.named_children[1])
        return f"<{symbol}.{name}>"

    def evaluate(self, node: Node) -> Value:  # noqa: PLR0911 - one case per kind of expression
        """The value of an expression."""
        children = [child for child in node.named_children if child.type not in {"comment", "diagnostic_comment"}]
        match node.type:
            case "string":
                return "".join(self._string_part(part) for part in children) or _text(node).strip("'")
            case "number" | "boolean" | "null":
                return json.loads(_text(node))
            case "identifier":
                return self._name(_text(node))
            case "object":
                return {self._key(p.named_children[0]): self.evaluate(p.named_children[1]) for p in _plain_properties(node)}
            case "array":
                return [self.evaluate(child) for child in children]
            case "for_statement":
                return self._for(*children)
            case "parenthesized_expression":
                return self.evaluate(children[0])
            case "unary_expression" if _text(node).startswith("!"):
                return not self.evaluate(children[0])
            case "binary_expression":
                return self._binary(node.children[1].type, *children)
            case "ternary_expression":
                return self.evaluate(children[1] if self.evaluate(children[0]) else children[2])
            case "member_expression":
                return self._member(*_chain(node, []))
            case "resource_expression":
                return self._id(_text(children[-1]))
            case "call_expression":
                return self._call(_text(children[0]), [self.evaluate(argument) for argument in children[1].named_children])
            case _:
                raise BicepError(f"{self.template.path.name}: {node.type} is not known here: {_text(node)}")

    def _for(self, variable: Node, items: Node, body: Node) -> list[Value]:
        values = []
        for item in self.evaluate(items):
            self._values[_text(variable)] = item
            values.append(self.evaluate(body))
        del self._values[_text(variable)]
        return values

    def _string_part(self, part: Node) -> str:
        if part.type == "interpolation":
            return str(self.evaluate(part.named_children[0]))
        return _text(part).replace("\\'", "'")

    def _key(self, node: Node) -> str:
        return str(self.evaluate(node)) if node.type == "string" else _text(node)

    def _name(self, name: str) -> Value:
        if name in self._values:
            return self._values[name]
        if name in self.template.variables:
            return self.evaluate(self.template.variables[name])
        if name in self.template.resources:
            return self._id(name)
        raise BicepError(f"{self.template.path.name}: there is no {name}")

    def _binary(self, operator: str, left: Node, right: Node) -> Value:
        operations: dict[str, Callable[[], Any]] = {
            "==": lambda: self.evaluate(left) == self.evaluate(right),
            "!=": lambda: self.evaluate(left) != self.evaluate(right),
            ">": lambda: self.evaluate(left) > self.evaluate(right),
            "<=": lambda: self.evaluate(left) <= self.evaluate(right),
            "&&": lambda: self.evaluate(left) and self.evaluate(right),
            "||": lambda: self.evaluate(left) or self.evaluate(right),
        }
        return operations[operator]()

    def _member(self, root: Node, path: list[str]) -> Value:
        if root.type == "ternary_expression":  # the grammar parses `a ? b : c.d` as `(a ? b : c).d`
            condition, then, otherwise = root.named_children
            return self.evaluate(then) if self.evaluate(condition) else self._member(*_chain(otherwise, path))
        symbol = _text(root.named_children[-1] if root.type == "resource_expression" else root)
        if symbol in self.template.modules:
            outputs = self._module(symbol).outputs
            if len(path) != 2 or path[0] != "outputs" or path[1] not in outputs:
                raise BicepError(f"{self.template.path.name}: {symbol} has no {'.'.join(path)}")
            return outputs[path[1]]
        if symbol in self.template.resources:
            return self._property_of(symbol, ".".join(path))
        value = self.evaluate(root)
        for name in path:
            value = value[name]
        return value

    def _int(self, text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise BicepError(f"{self.template.path.name}: int() cannot convert {text!r}") from None

    def _call(self, name: str, arguments: list[Any]) -> Value:
        functions: dict[str, Callable[..., Any]] = {
            "empty": lambda value: not value,
            "concat": lambda *arrays: [item for array in arrays for item in array],
            "union": lambda *objects: {key: value for each in objects for key, value in each.items()},
            "split": lambda text, separator: text.split(separator),
            "replace": lambda text, old, new: text.replace(old, new),
            "uriComponentToString": unquote,
            "string": json.dumps,
            "int": self._int,
            "loadTextContent": lambda path: (self.template.path.parent / path).read_text(),
            "uniqueString": lambda *_: "abcdefghijklm",
            "guid": lambda *parts: "guid of " + ", ".join(parts),
            "subscriptionResourceId": lambda kind, last: f"/{kind}/{last}",
            "resourceGroup": lambda name: f"/Microsoft.Resources/resourceGroups/{name}",
            "subscription": lambda: {name: f"<{name}>" for name in ("id", "subscriptionId", "tenantId")},
            "tenant": lambda: {"tenantId": "<tenantId>"},
            "environment": lambda: {"suffixes": {"storage": "core.windows.net"}},
        }
        if name not in functions:
            raise BicepError(f"{self.template.path.name}: {name}() is not known here")
        return functions[name](*arguments)


def _chain(node: Node, path: list[str]) -> tuple[Node, list[str]]:
    """Splits `a!.b.c` into `a` and `b`, `c`, followed by `path`."""
    while node.type == "member_expression":
        path = [_text(node.named_children[1]), *path]
        node = node.named_children[0]
    return node, path


def _properties_of(body: Node) -> list[Node]:
    return [child for child in body.named_children if child.type == "object_property"]


def _plain_properties(body: Node) -> list[Node]:
    return [child for child in _properties_of(body) if child.named_children[0].type != "resource_declaration"]


def _calls(decorators: Node) -> Iterator[Node]:
    for decorator in decorators.named_children:
        yield decorator.named_children[0]


def _first_error(node: Node) -> Node:
    for child in node.children:
        if child.is_missing or child.type == "ERROR":
            return child
        if child.has_error:
            return _first_error(child)
    return node


def _text(node: Node) -> str:
    return (node.text or b"").decode()
