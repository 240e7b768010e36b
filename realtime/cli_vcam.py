"""`reenactd vcam`: the avatar as a camera of this machine. Parses, and hands over to `vcam.py`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from realtime.cli_bench import ConfigFile, size_of

MIN_WIDTH_PX, MIN_HEIGHT_PX = 160, 120


def vcam(
    session: Annotated[
        str,
        typer.Option(
            metavar="SESSION",
            help="A session's name or id, as `reenactd top` shows them.",
            show_default="the only one, or the latest",
        ),
    ] = "",
    device: Annotated[
        str | None,
        typer.Option(help="As /dev/video9.", show_default="the first that is free"),
    ] = None,
    fps: Annotated[float, typer.Option(min=1, max=60, help="Pictures per second.")] = 30.0,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Of the camera; the avatar is fitted in, with bars.",
            show_default="of the settings",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="As the daemon printed it.", show_default="of the settings"
        ),
    ] = None,
    config_file: ConfigFile = None,
) -> None:
    """Show the running daemon's avatar as a camera of this machine. End it with Ctrl-C.

    A card stands in while there is no session, and the daemon may be started again meanwhile.
    """
    from realtime import client, vcam, whep_client
    from realtime.clock import MonotonicClock
    from realtime.config import load
    from realtime.naming import check_called

    config = load(config_file, {})
    address = client.find(config, url)
    visit = whep_client.visitor(config.rtc, address, check_called(session) if session else "")
    width, height = (config.video.width_px, config.video.height_px) if not size else size_of(size)
    if width % 2 or height % 2 or width < MIN_WIDTH_PX or height < MIN_HEIGHT_PX:
        raise typer.BadParameter(
            f"{width}x{height}: width and height must be even, and at least "
            f"{MIN_WIDTH_PX}x{MIN_HEIGHT_PX}"
        )
    shape = vcam.Shape(width, height, fps)
    camera = vcam.open_camera(shape, device)
    print(f"{camera.device}: {width}x{height} at {fps:g} fps; end it with Ctrl-C", flush=True)
    feed = vcam.Feed(shape, config.output, MonotonicClock())
    try:
        asyncio.run(
            vcam.run(
                camera,
                feed,
                shape,
                visit,
                lambda line: print(line, flush=True),
            )
        )
    finally:
        camera.close()
