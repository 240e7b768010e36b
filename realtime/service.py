"""What a machine needs to run the daemon by itself: the unit for systemd, the man page. Texts.

Walks typer's commands without importing click, of which newer ones bring their own.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from realtime import __version__

UNIT = """\
# reenactd as a service of its user. Keep it as ~/.config/systemd/user/reenactd.service, then
#     systemctl --user daemon-reload
#     systemctl --user enable --now reenactd
# It runs while you are logged in; `loginctl enable-linger` lets it run from boot on.
# Logs: journalctl --user -u reenactd. The page: http://127.0.0.1:8700/#token=TOKEN with the token
# of ~/.local/state/reenactd/token; it is not logged, for whoever may read logs would have it.

[Unit]
Description=reenactd, a webcam that comes back as a fictional person
StartLimitIntervalSec=60
StartLimitBurst=3

[Service]
Type=notify
ExecStart={command}
ExecReload=kill -HUP $MAINPID
StandardOutput=null
Restart=on-failure
RestartPreventExitStatus=2
RestartSec=2
TimeoutStartSec=120
TimeoutStopSec=120
KillMode=mixed
WatchdogSec=20
Slice=session.slice

NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
UMask=0077

[Install]
WantedBy=default.target
"""


def unit(program: Path, config_file: Path | None) -> str:
    """The unit file.

    Args:
        program: the `reenactd` to start.
    """
    command = [str(program), "serve"]
    if config_file is not None:
        command += ["--config", str(config_file.resolve())]
    return UNIT.format(command=" ".join(_quoted(word) for word in command))


def _quoted(word: str) -> str:
    """As systemd.service(5) reads it; % and $ mean something there."""
    return shlex.quote(word.replace("%", "%%").replace("$", "$$"))


def man_page(root: Any) -> str:
    """reenactd(1) in man(7)'s language, from the texts of --help.

    Args:
        root: the command line's root, as of click.
    """
    context = root.context_class(root, info_name="reenactd")
    summary = _roff(root.get_short_help_str(200))
    lines = [
        f'.TH REENACTD 1 "" "reenactd {__version__}" "User Commands"',
        ".SH NAME",
        f"reenactd \\- {summary}",
        ".SH SYNOPSIS",
        ".B reenactd",
        "[OPTIONS] COMMAND [ARGS]...",
        ".SH COMMANDS",
    ]
    for name, command, inner in _commands(root, context):
        lines += list(_command(name, command, inner))
    lines += [
        ".SH ENVIRONMENT",
        ".TP",
        ".B REENACTD_SECTION__KEY",
        "A setting, as REENACTD_SERVER__PORT. See",
        ".B reenactd config show \\-\\-toml",
        "for all of them.",
        ".SH EXIT STATUS",
        "0 on success, 2 on a failure that is told in one line, 130 after Ctrl\\-C. Of",
        ".B verify",
        "0 to 3 are verdicts, and 4 is every failure: see there.",
        ".SH FILES",
        ".TP",
        ".I ~/.local/state/reenactd/token",
        "The access token, made at the first start, mode 0600.",
    ]
    return "\n".join(lines) + "\n"


def _commands(group: Any, context: Any, above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every command that can be typed, groups expanded."""
    for name, command in sorted(getattr(group, "commands", {}).items()):
        inner = command.context_class(command, parent=context, info_name=name)
        if getattr(command, "commands", None):
            yield from _commands(command, inner, f"{above}{name} ")
        elif not command.hidden:
            yield f"{above}{name}", command, inner


def _command(name: str, command: Any, context: Any) -> Iterator[str]:
    arguments = [
        parameter.metavar or parameter.name.upper()
        for parameter in command.params
        if parameter.param_type_name == "argument"
    ]
    yield f".SS {_roff(' '.join([name, *arguments]))}"
    for paragraph in (command.help or "").split("\n\n"):
        yield ".PP"
        yield _roff(" ".join(paragraph.split()))
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            yield ".TP"
            yield f".B {_roff(record[0])}"
            yield _roff(" ".join(record[1].split())) or "\\&"


def _roff(text: str) -> str:
    """Text that no formatter takes for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
