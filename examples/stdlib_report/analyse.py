"""The small task that runs over a thousand times: look at one source file, or sum up one package.

    python -I -S analyse.py file ROOT json/decoder.py
    python -I -S analyse.py package ROOT json

It shows that a task needs no library to talk to the engine. The result is JSON, written to the file named by
AIR_EXECUTOR_RESULT; a further task is one line of JSON, appended to the file named by AIR_EXECUTOR_INBOX.
Started by hand, without these two, it prints the result and queues nothing.
"""

# Few imports, on purpose: a start of the interpreter takes 7 ms, and `ast` or `json` (which bring in `re` and
# `enum`) would double that. `_ast` holds the same node types, and writing simple JSON takes ten lines.
import _ast
import gc
import os
import sys

MAX_RECORD = 4096  # bytes; an append of at most this size is never torn apart by another process's append
LENGTH_CLASSES = 10  # of function lengths: 1, 2, 3-4, 5-8, ... 129-256, and longer


def analyse_file(root: str, path: str) -> dict[str, object]:
    """Size, functions and imports of the file `path`, which is relative to `root`.

    A file that cannot be read or parsed is a finding, not a failure: its result says so under `error`.
    """
    result: dict[str, object] = {
        "path": path,
        "size": 0,
        "lines": 0,
        "functions": 0,
        "function_lengths": [0] * LENGTH_CLASSES,
        "longest_function": None,
        "imports": [],
        "error": None,
    }
    try:
        source = read(os.path.join(root, path))
        result["size"] = len(source)
        result["lines"] = len(source.splitlines())
        tree = parse(source, path)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        result["error"] = describe(problem)
        return result

    lengths = [0] * LENGTH_CLASSES
    longest = (0, 0, "")  # lines, minus the first line's number (of equals, the first one wins), name
    imports: set[str] = set()
    for node, scope in statements(tree):
        if isinstance(node, (_ast.FunctionDef, _ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            lengths[min((lines - 1).bit_length(), LENGTH_CLASSES - 1)] += 1
            longest = max(longest, (lines, -node.lineno, scope + node.name))
        elif isinstance(node, _ast.Import):
            imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, _ast.ImportFrom) and node.module and not node.level:  # not relative
            imports.add(node.module.partition(".")[0])

    result["functions"] = sum(lengths)
    result["function_lengths"] = lengths
    if longest[0]:
        result["longest_function"] = {"name": longest[2], "lines": longest[0]}
    result["imports"] = sorted(imports)
    return result


def summarise_package(root: str, package: str) -> dict[str, object]:
    """What lies directly in the folder `package`, which is relative to `root` and holds an `__init__.py`."""
    folder = os.path.join(root, package)
    modules = packages = size = lines = 0
    for entry in os.scandir(folder):
        if entry.name.endswith(".py") and not entry.is_dir():
            modules += 1
            try:
                source = read(entry.path)
            except OSError:
                continue  # the task of that file reports it
            size += len(source)
            lines += len(source.splitlines())
        elif entry.is_dir(follow_symlinks=False) and os.path.isfile(os.path.join(entry.path, "__init__.py")):
            packages += 1
    return {
        "package": package,
        "about": first_sentence(os.path.join(folder, "__init__.py")),
        "modules": modules,
        "packages": packages,
        "size": size,
        "lines": lines,
    }


def read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def parse(source: bytes, path: str) -> _ast.Module:
    # What `ast.parse` does. It is given bytes, so that Python finds out about the encoding itself.
    tree = compile(source, path, "exec", _ast.PyCF_ONLY_AST)
    assert isinstance(tree, _ast.Module)
    return tree


def statements(tree: _ast.AST) -> list[tuple[_ast.AST, str]]:
    """All statements with the dotted scope they stand in ("Class.method.").

    Functions and imports are statements, and those hide only in the blocks of other statements. To leave the
    expressions alone, which are most of the tree, is several times faster than `ast.walk`.
    """
    found = []
    node: _ast.AST = tree
    todo = [(node, "")]
    while todo:
        node, scope = todo.pop()
        found.append((node, scope))
        if isinstance(node, (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.ClassDef)):
            scope = f"{scope}{node.name}."
        for block in ("body", "orelse", "handlers", "finalbody", "cases"):
            todo.extend((child, scope) for child in getattr(node, block, ()))
    return found


def first_sentence(path: str) -> str:
    """The first line of a module's docstring; empty if there is none."""
    try:
        body = parse(read(path), path).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    if body and isinstance(body[0], _ast.Expr) and isinstance(body[0].value, _ast.Constant):
        text = body[0].value.value
        if isinstance(text, str) and text.strip():
            # A docstring may hold half a surrogate pair, which JSON readers refuse.
            return text.strip().splitlines()[0].encode("utf-8", "replace").decode()
    return ""


def describe(problem: Exception) -> str:
    if isinstance(problem, OSError):
        return problem.strerror or "cannot be read"
    if isinstance(problem, SyntaxError):
        return f"line {problem.lineno}: {problem.msg}" if problem.lineno else problem.msg
    return str(problem) or type(problem).__name__


def to_json(value: object) -> str:
    """JSON for what is used here: text, whole numbers, None, lists, and dictionaries with text as keys."""
    if isinstance(value, str):
        safe = (c if c >= " " and c not in '"\\' else f"\\u{ord(c):04x}" for c in value)
        return '"' + "".join(safe) + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_json(key)}: {to_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_json, value)) + "]"
    return "null" if value is None else str(value)


def give_result(result: dict[str, object]) -> None:
    text = to_json(result)
    path = os.environ.get("AIR_EXECUTOR_RESULT")
    if path is None:
        print(text)
        return
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def queue(task: dict[str, object]) -> None:
    """Queue one more task of the running job."""
    path = os.environ.get("AIR_EXECUTOR_INBOX")
    if path is None:
        return
    # A newline first as well as last: if an earlier writer died in the middle of a line, ours stays whole.
    record = f"\n{to_json(task)}\n".encode()
    if len(record) > MAX_RECORD:
        raise SystemExit(f"{task['id']}: {len(record)} bytes, but one append takes at most {MAX_RECORD}")
    # Unbuffered and opened for appending: the record is written at the end of the file, in one piece.
    with open(path, "ab", buffering=0) as stream:
        stream.write(record)


def main() -> None:
    gc.disable()  # the process ends before its garbage matters; this saves a third of the parsing time
    mode, root, path = sys.argv[1:]
    if mode == "package":
        give_result(summarise_package(root, path))
        return

    give_result(analyse_file(root, path))
    folder, name = os.path.split(path)
    if name == "__init__.py":
        # The job grows a second time: here is a package, so let it be summed up.
        package = folder or "."
        queue(
            {
                "id": f"package:{package}",
                "group": "packages",
                "command": sys.executable,
                "args": ["-I", "-S", os.path.abspath(__file__), "package", root, package],
            }
        )


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # at once: to free a syntax tree, node by node, takes longer than it took to walk through it
