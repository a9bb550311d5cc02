"""The API for who works on it: :mod:`local` in ``DEV_MODE``, started anew whenever a file changes. ``make dev`` starts it.

The socket is opened here and stays: the address is the same, and who calls while the API starts anew waits for it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path

from settings import SettingsError, load_settings
from settings.env_file import ENV_FILE
from settings.listener import open_listener

ROOT = Path(__file__).parent
SUFFIXES = {".py", ".toml", ".md", ".html", ".js", ".mjs", ".css", ".svg", ".png", ".json"}
# What the API does not read. Hidden folders are left out, too.
NOT_WATCHED = {"__pycache__", "docs", "examples", "infra", "node_modules", "requirements", "scripts", "tests"}
INTERVAL_SECONDS = 0.4
# The developer waits for it: a turn that runs, or a stream that is open, gets no longer.
GRACE_SECONDS = 1
END_SECONDS = 5.0
Versions = dict[Path, tuple[int, int]]


def serve(listener: socket.socket) -> None:
    """Serve in this process until a signal comes, or the end of the process that watches."""
    # Not before: what cannot be imported now may be fixed by the next change.
    import local

    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(local.serve(listener, grace_seconds=GRACE_SECONDS))


def versions(folders: Iterable[Path], files: Iterable[Path] = ()) -> Versions:
    """Return the files that count, each with what changes when it is written."""
    found: Versions = {}
    for file in (*(each for folder in folders for each in _files(folder)), *files):
        try:
            stat = file.stat()
        except FileNotFoundError:
            continue
        found[file] = stat.st_mtime_ns, stat.st_size
    return found


class Reloader:
    """Keeps a process running that is started anew when ``look`` sees another version of a file, until ``stop`` is set."""

    def __init__(self, start: Callable[[], SpawnProcess], look: Callable[[], Versions], stop: threading.Event) -> None:
        self._start = start
        self._look = look
        self._stop = stop

    def run(self, interval: float = INTERVAL_SECONDS) -> None:
        """Run until the end."""
        seen, process = self._look(), self._start()
        is_told = False
        while not self._stop.wait(interval):
            now = self._look()
            if changed := sorted(path for path, _ in seen.items() ^ now.items()):
                _tell(f"Changed: {', '.join(_shown(path) for path in dict.fromkeys(changed))}")
                _end(process)
                seen, process, is_told = now, self._start(), False
            elif not is_told and not process.is_alive():
                _tell("It has ended; the next change starts it anew, Ctrl-C stops it.")
                is_told = True
        _end(process)


def main() -> int:
    """Serve until a signal comes; return the exit code."""
    os.environ["DEV_MODE"] = "true"
    try:
        settings = load_settings(env_file=ENV_FILE)
        listener = open_listener(settings)
    except SettingsError as error:
        _tell(f"These settings cannot be used:\n{error}")
        return 2
    multiprocessing.allow_connection_pickling()
    spawn = multiprocessing.get_context("spawn")
    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())

    def start() -> SpawnProcess:
        process = spawn.Process(target=serve, args=[listener])
        process.start()
        return process

    with listener:
        Reloader(start, lambda: versions({ROOT, settings.assistant_dir}, [ENV_FILE]), stop).run()
    return 0


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_WATCHED and not name.startswith(".")]
        yield from (Path(parent, name) for name in names if Path(name).suffix in SUFFIXES)


def _end(process: SpawnProcess) -> None:
    process.terminate()
    process.join(END_SECONDS)
    if process.is_alive():
        # A tool may hold a thread that nobody can stop.
        process.kill()
        process.join()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the terminal is this program's user interface


if __name__ == "__main__":
    sys.exit(main())
