"""What mypy says of mutated modules, asked once: ``python -m tests.mutants.mypy_once mypy OPTION… MODULE…``.

It takes minutes over thousands of mutants, and mutmut asks at the start of each run.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path


def main(command: list[str]) -> int:
    """Print what mypy says, or what it said before of the same modules."""
    asked = hashlib.sha256("\0".join(command).encode())
    for word in command:
        if word.endswith(".py"):
            asked.update(Path(word).read_bytes())
    answers = Path(".mypy_answers")
    answer = answers / asked.hexdigest()
    if not answer.exists():
        said = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if said.stderr:
            sys.stderr.write(said.stderr)
            return said.returncode
        answers.mkdir(exist_ok=True)
        answer.write_text(said.stdout, encoding="utf-8")
    sys.stdout.write(answer.read_text("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
