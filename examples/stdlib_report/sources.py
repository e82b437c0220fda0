"""Which files belong to the report: the one thing that all steps must agree on."""

import os
import sysconfig

# Third-party packages are installed inside the standard library's folder, but are not part of it.
NOT_OURS = {"site-packages", "dist-packages", "__pycache__"}


def source_root(folder: str) -> str:
    """The absolute path of `folder`; of the running interpreter's standard library if it is empty."""
    root = os.path.abspath(folder or sysconfig.get_paths()["stdlib"])
    if not os.path.isdir(root):
        raise SystemExit(f"{root}: no such folder; give one that holds Python files (--param source=FOLDER)")
    return root


def source_files(root: str) -> list[str]:
    """All Python files below `root`, as sorted paths relative to it."""
    found = []
    for folder, subfolders, names in os.walk(root):
        # Task ids are printable text, and the path becomes part of an id.
        subfolders[:] = [name for name in subfolders if name not in NOT_OURS and name.isprintable()]
        sources = (name for name in names if name.endswith(".py") and name.isprintable())
        found += [os.path.relpath(os.path.join(folder, name), root) for name in sources]
    return sorted(found)
