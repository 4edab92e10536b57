"""The command; see the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.behaviour.comparing import differences
from tests.behaviour.data import fill_all
from tests.behaviour.recording import record


def main() -> int:
    """Do what the arguments say, and return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.behaviour")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fill").add_argument("data", type=Path)
    recording = commands.add_parser("record")
    for name in ("data", "out", "archive_command"):
        recording.add_argument(name, type=Path)
    comparing = commands.add_parser("compare")
    for name in ("before", "after"):
        comparing.add_argument(name, type=Path)
    options = parser.parse_args()
    if options.command == "fill":
        fill_all(options.data.resolve())
    elif options.command == "record":
        # A command in a virtual environment is known by its path: links are not followed.
        record(options.data.resolve(), options.out.resolve(), options.archive_command.absolute())
    else:
        report = differences(options.before, options.after)
        print("\n".join(report.lines))
        return int(not report.equal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
