"""What only the whole folder can tell: names that stand for nothing, and circles."""

from collections.abc import Collection, Iterable, Mapping

from supervisor.config.place import Place
from supervisor.config.shapes import Table, pick
from supervisor.config.values import nearest, show


def check_names(names: Iterable[str], known: Collection[str], place: Place) -> None:
    for name in names:
        if name not in known:
            place.report(f"{show(name)} is not a container here{nearest(name, known)}")


def check_depends(given: Mapping[str, tuple[Table, Place]], known: Collection[str]) -> None:
    """Report unknown names and circles of `depends`; `given` has each container's merged table, `known` all names."""
    edges: dict[str, list[str]] = {}
    for name, (container, _) in given.items():
        depends = pick(container, "depends", Table())
        for key in ("after", "requires"):
            if key in depends:
                wanted: tuple[str, ...] = tuple(pick(depends, key, ()))
                check_names(wanted, known, depends[key].place)
                # A replica stands and falls with its service.
                edges.setdefault(name, []).extend(each.partition(".")[0] for each in wanted)
    for circle in find_circles(edges):
        first = given[circle[0]][0]["depends"].place
        first.report(f"goes in a circle: {' → '.join((*circle, circle[0]))}")


def find_circles(edges: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Circles of a graph, each node in at most one of them, each beginning with its first node in the files."""
    done: set[str] = set()
    circles = []
    for start in edges:
        path: dict[str, None] = {}
        stack = [(start, iter(edges[start]))] if start not in done else []
        path.update(dict.fromkeys([start] if stack else []))
        while stack:
            node, following = stack[-1]
            for each in following:
                if each in path:
                    trail = list(path)
                    circles.append(tuple(trail[trail.index(each) :]))
                elif each in edges and each not in done:
                    path[each] = None
                    stack.append((each, iter(edges[each])))
                    break
            else:
                stack.pop()
                path.pop(node)
                done.add(node)
    return _distinct(circles, list(edges))


def _distinct(circles: list[tuple[str, ...]], order: list[str]) -> list[tuple[str, ...]]:
    turned = []
    for circle in circles:
        first = min(range(len(circle)), key=lambda index: order.index(circle[index]))
        turned.append(circle[first:] + circle[:first])
    return list(dict.fromkeys(turned))
