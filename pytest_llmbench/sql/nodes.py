"""The nodes of a syntax tree, listed and told apart.

An answer is read in eleven dialects, so every pass over a tree runs eleven times for each answer.  Two things keep
that cheap: a list made in a plain loop, where sqlglot's `walk` nests three generators, and one look-up by which a pass
leaves alone the nodes that are none of its business.
"""

from sqlglot import exp


class Kinds(dict[type, bool]):
    """Tells whether a type is among some kinds of nodes or below one of them, found once for each type."""

    def __init__(self, *kinds: type[exp.Expr]) -> None:
        super().__init__()
        self._kinds = kinds

    def __missing__(self, kind: type) -> bool:
        found = self[kind] = issubclass(kind, self._kinds)
        return found


def level_by_level(tree: exp.Expr) -> list[exp.Expr]:
    """List the nodes of a tree in the order of sqlglot's `walk`."""
    found = [tree]
    for node in found:  # grows meanwhile
        for value in node.args.values():
            if value is None:
                continue
            if isinstance(value, exp.Expr):
                found.append(value)
            elif isinstance(value, list):
                found += [one for one in value if isinstance(one, exp.Expr)]
    return found


def depth_first(tree: exp.Expr) -> list[exp.Expr]:
    """List the nodes of a tree in the order of sqlglot's `walk(bfs=False)`: each before what is inside it."""
    found: list[exp.Expr] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        found.append(node)
        for value in reversed(node.args.values()):
            if value is None:  # most are
                continue
            if isinstance(value, exp.Expr):
                waiting.append(value)
            elif isinstance(value, list):
                waiting += [one for one in reversed(value) if isinstance(one, exp.Expr)]
    return found


def of_kinds(tree: exp.Expr, kinds: Kinds) -> list[exp.Expr]:
    """List the nodes of some kinds, level by level."""
    return [node for node in level_by_level(tree) if kinds[node.__class__]]
