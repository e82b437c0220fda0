"""Which files belong to the report: the one thing that all steps must agree on."""

import os
import sysconfig

# Third-party packages are installed inside the standard library's folder, but are not part of it.
NOT_OURS = {"site-packages", "dist-packages", "__pycache__"}
# Linux distributions may leave out half of the standard library (its tests); installed packages fill up to this.
ENOUGH = 1_000


def source_trees(folder: str) -> list[tuple[str, list[str]]]:
    """The folders to look at, each with its Python files as sorted paths relative to it.

    An empty `folder` stands for the running interpreter's standard library, and as many of the packages
    installed beside it as it takes to have a thousand files.
    """
    root = os.path.abspath(folder or sysconfig.get_paths()["stdlib"])
    if not os.path.isdir(root):
        raise SystemExit(f"{root}: no such folder; give one that holds Python files (--param source=FOLDER)")
    trees = [(root, source_files(root, root))]
    missing = ENOUGH - len(trees[0][1])
    if not folder and missing > 0:
        site_packages = sysconfig.get_paths()["purelib"]
        above = os.path.dirname(site_packages)
        more: list[str] = []
        for name in sorted(os.listdir(site_packages)) if os.path.isdir(site_packages) else []:
            if len(more) < missing:
                more += source_files(above, os.path.join(site_packages, name))
        trees.append((above, more))
    return trees


def source_files(root: str, below: str) -> list[str]:
    """All Python files in the folder `below` and deeper, as sorted paths relative to `root`."""
    found = []
    for folder, subfolders, names in os.walk(below):
        # Task ids are printable text, and the path becomes part of an id.
        subfolders[:] = [name for name in subfolders if name not in NOT_OURS and name.isprintable()]
        sources = (name for name in names if name.endswith(".py") and name.isprintable())
        found += [os.path.relpath(os.path.join(folder, name), root) for name in sources]
    return sorted(found)
