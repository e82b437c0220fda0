"""What a tool gets to see: an allowlisted environment, a home of its own, and bubblewrap around it where asked for.

Inside bubblewrap there is no network but a loopback of its own, no process but the tool's, and the file system is
read-only; homes, /tmp and /run are empty but for the folders where programs live. A check that loads code gets a copy
of the repository to write to, at the repository's own place, so that the target stays untouched.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from air_executor.fixing.check import CouldNotRun
from air_executor.fixing.files import INSTALLED

__all__ = ["ALLOWED", "available", "copy_tree", "tool_environment", "wrapped"]

ALLOWED: Final = (
    "PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ",
    "PYENV_ROOT", "PYENV_VERSION", "NVM_DIR", "ASDF_DIR", "ASDF_DATA_DIR", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN",
    "GOROOT", "GOTOOLCHAIN", "JAVA_HOME", "FLUTTER_ROOT", "ANDROID_HOME", "LD_LIBRARY_PATH",
)  # fmt: skip
"""Variables that tools get as the user has them; the configuration may name more."""
PROGRAMS: Final = (
    ".pyenv", ".local/bin", ".local/lib", ".local/share/uv", ".local/share/pipx", ".local/pipx", ".local/share/mise",
    ".cache/pypoetry/virtualenvs", ".cache/pyright-python", ".asdf", ".nvm", ".volta", ".local/share/fnm", ".bun/bin",
    ".cargo/bin", ".cargo/registry", ".cargo/git", ".rustup", "go", "sdk", ".pub-cache", "flutter", "miniconda3",
    "anaconda3", "miniforge3",
)  # fmt: skip
"""Folders below the user's home that hold programs and what they are made of, and no credentials."""
CACHE_TAG: Final = "CACHEDIR.TAG"
"""By which a program marks a folder that it can make again, as cargo does with its `target`."""
COPY_LIMIT: Final = 1_000_000_000


def tool_environment(home: Path, more: Iterable[str] = ()) -> dict[str, str]:
    """The environment of a tool whose private home is `home`: `home/tmp` is its TMPDIR."""
    env = {name: os.environ[name] for name in (*ALLOWED, *more) if name in os.environ}
    env.setdefault("PATH", os.defpath)
    # rustup's programs look for toolchains below the home, which is another one here.
    if "RUSTUP_HOME" not in env and os.path.isdir(toolchains := os.path.expanduser("~/.rustup")):
        env["RUSTUP_HOME"] = toolchains
    if not any(name in env for name in ("LANG", "LC_ALL", "LC_CTYPE")):
        env["LC_ALL"] = "C.UTF-8"
    return {
        **env,
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@cache
def available() -> str | None:
    """None where a sandbox can be had, else why not."""
    if shutil.which("bwrap") is None:
        return "bubblewrap (bwrap) is not installed"
    words = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "true"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return (
        None if done.returncode == 0 else f"bubblewrap does not work here: {done.stderr.strip() or done.returncode}"
    )


def wrapped(
    argv: Iterable[str],
    *,
    cwd: Path,
    repository: Path,
    copy: Path | None,
    writable: Iterable[Path],
    programs: Iterable[Path],
) -> list[str]:
    """`argv` inside bubblewrap. `copy` stands at the repository's place and may be written to, if given."""
    words = ["bwrap", "--die-with-parent", "--unshare-all", "--new-session", "--ro-bind", "/", "/"]
    words += ["--dev", "/dev", "--proc", "/proc"]
    hidden = [folder for folder in _hidden() if folder.is_dir()]
    for folder in hidden:
        words += ["--tmpfs", str(folder)]
    for folder in _shown(programs, hidden):
        words += ["--ro-bind", str(folder), str(folder)]
    if copy is None:
        words += ["--ro-bind", str(repository), str(repository)]
    else:
        words += ["--bind", str(copy), str(repository)]
        for folder in _installed(repository):
            words += ["--ro-bind", str(folder), str(folder)]
    for folder in writable:
        words += ["--bind", str(folder), str(folder)]
    return [*words, "--chdir", str(cwd), "--", *argv]


def _homes() -> set[Path]:
    return {Path(os.path.expanduser("~")), Path(pwd.getpwuid(os.getuid()).pw_dir)}


def _hidden() -> list[Path]:
    """Folders that hold secrets, of other users too (who may be root's), and sockets; none of them below another."""
    found: list[Path] = []
    shared = (Path(name) for name in ("/home", "/root", "/run", "/tmp", "/var/tmp"))
    for folder in sorted({path.resolve() for path in (*_homes(), *shared)}):
        if folder != Path("/") and not any(folder.is_relative_to(other) for other in found):
            found.append(folder)
    return found


def _shown(programs: Iterable[Path], hidden: list[Path]) -> list[Path]:
    """Folders below hidden ones that are needed to start programs, outer ones first."""
    wanted = {home / place for home in _homes() for place in PROGRAMS}
    for program in programs:
        for path in (program, Path(os.path.realpath(program))):
            wanted.update(_prefixes(path))
    return sorted(
        folder
        for folder in wanted
        if folder.exists() and folder not in hidden and any(folder.is_relative_to(other) for other in hidden)
    )


def _prefixes(program: Path) -> Iterator[Path]:
    """The installation a program belongs to, and the Python its virtual environment was made with."""
    folder = program.parent
    if folder.name != "bin":
        yield folder
        return
    yield folder
    if (folder.parent / "lib").is_dir() or (folder.parent / "pyvenv.cfg").exists():
        yield folder.parent
    try:
        lines = (folder.parent / "pyvenv.cfg").read_text("utf-8").split("\n")
    except OSError:
        return
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == "home":
            yield Path(value.strip()).parent


def _installed(repository: Path) -> Iterator[Path]:
    """Folders of installed packages in the repository, which are not copied."""
    for folder, names, _ in os.walk(repository):
        for name in [name for name in names if name in INSTALLED]:
            names.remove(name)
            if name != "__pycache__" and not os.path.islink(os.path.join(folder, name)):
                yield Path(folder, name)


def copy_tree(repository: Path, copy: Path) -> None:
    """Everything but installed packages and caches, links as links. Raises `CouldNotRun` for what is too large."""
    size = 0
    for folder, names, files in os.walk(repository):
        target = copy / os.path.relpath(folder, repository)
        target.mkdir(exist_ok=True)
        for name in list(names):
            if os.path.islink(os.path.join(folder, name)):
                names.remove(name)
                files.append(name)
            elif name in INSTALLED:
                names.remove(name)
                if name != "__pycache__":
                    (target / name).mkdir()  # what stands there in the sandbox
            elif os.path.isfile(os.path.join(folder, name, CACHE_TAG)):
                names.remove(name)
        for name in files:
            source = os.path.join(folder, name)
            if os.path.islink(source):
                os.symlink(os.readlink(source), target / name)
            elif os.path.isfile(source):
                size += os.path.getsize(source)
                if size > COPY_LIMIT:
                    raise CouldNotRun(
                        f"{repository} holds over {COPY_LIMIT // 1_000_000_000} GB, too much to copy for the sandbox",
                        "trust the repository (`--trust`), or move what is not code out of it",
                    )
                shutil.copy2(source, target / name)
