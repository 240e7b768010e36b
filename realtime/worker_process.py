"""A worker: one of several processes that share the performers, started by the daemon (`crew.py`).

    python -m realtime.worker_process

It is the daemon as it is, but it listens on a Unix socket for its parent alone. It ends when its
standard input does: with its parent, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pkgutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from realtime import logs
from realtime.config import Config
from realtime.daemon import Daemon, build_services
from realtime.ending import Ending, end_on_signals
from realtime.errors import ReenactdError
from realtime.loops import LoopChoice, choose_loop, finish
from realtime.server import SHUTDOWN_S, Uvicorn, create_worker_app
from realtime.worker_talk import Order, Report, Start

EXIT_FAILED = 2


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as raw:
        line = raw.readline()  # unbuffered: what follows is for the event loop
    if line:
        sys.exit(run(Start.read(line), _own_reports()))


def _own_reports() -> int:
    """Where reports are written; what any library prints goes to the log instead."""
    reports = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return reports


def run(start: Start, reports: int) -> int:
    """Serve until the parent says so or is gone. Returns the exit code."""
    config = start.settings
    logs.set_up(config.log)
    _sign_log_lines(start.index)
    choice = choose_loop(config.server.loop)
    loop = choice.new()
    try:
        asyncio.set_event_loop(loop)
        daemon = Daemon(build_services(config, pkgutil.resolve_name(start.studio)(config)))
        daemon.sessions.judges_late = False
        loop.run_until_complete(_serve(start, daemon, choice, reports))
    except ReenactdError as error:
        _report(reports, Report(failure=str(error)))
        return EXIT_FAILED
    finally:
        finish(loop)
        asyncio.set_event_loop(None)
        loop.close()
    return 0


async def _serve(start: Start, daemon: Daemon, choice: LoopChoice, reports: int) -> None:
    app = create_worker_app(daemon, start.secret, str(choice))
    server = Uvicorn(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )
    orders = await _orders()
    # Who stops a whole group of processes, as systemd, means this one, too.
    end_on_signals(Ending(server, daemon), interrupt=False)
    with _listening(start.socket) as listener:
        await daemon.start()
        try:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            _report(reports, Report(listening=True))
            failing = asyncio.create_task(daemon.wait_for_failure())
            obeying = asyncio.create_task(_obey(orders, daemon))
            await asyncio.wait({serving, failing, obeying}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            failing.cancel()
            await serving
        finally:
            await daemon.stop("the daemon is shutting down")
    if daemon.failure is not None:
        raise daemon.failure


@contextlib.contextmanager
def _listening(path: Path) -> Any:
    """A socket in a folder that only this user may enter; and without it, once it is not needed."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    parent = os.getppid()
    try:
        listener.bind(str(path))
        listener.listen(128)
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)
        if os.getppid() != parent:  # it is gone, and cannot do this; the next worker will not come
            with contextlib.suppress(OSError):  # others listen there still
                path.parent.rmdir()


async def _orders() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


async def _obey(orders: asyncio.StreamReader, daemon: Daemon) -> None:
    """Returns when there will be no order any more: the parent wants the end, or has ended."""
    while line := await orders.readline():
        order = Order.read(line)
        if order.drain:
            daemon.drain(order.within_s)
        for room, named in ((True, order.seated), (False, order.turned_away)):
            for session_id in named:
                daemon.sessions.judge(session_id, room=room)
        if order.adopt is not None:
            daemon.adopt(Config(**order.adopt))


def _report(reports: int, report: Report) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and so are we soon
        os.write(reports, report.line())


def _sign_log_lines(index: int) -> None:
    """All processes write to one log."""
    make = logging.getLogRecordFactory()

    def signed(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.msg = f"[worker {index}] {record.msg}"
        return record

    logging.setLogRecordFactory(signed)


if __name__ == "__main__":
    main()
