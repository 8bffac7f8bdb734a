"""What the daemon tells as it runs: lines of text for people, or of JSON for those who collect them."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

Style = Literal["text", "json"]
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record has; the rest was given by `extra`."""


class TextLines(logging.Formatter):
    """`2026-11-22T10:00:00.123Z INFO message pool=m/v1`."""

    def format(self, record: logging.LogRecord) -> str:
        extra = "".join(f" {name}={_text(value)}" for name, value in given(record).items())
        line = f"{moment(record)} {record.levelname} {_one_line(record.getMessage())}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, what `extra` gave, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {"time": moment(record), "level": record.levelname.lower(), "logger": record.name}
        told |= {"message": record.getMessage(), **given(record)}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def start(style: Style, level: str = "info", stream: TextIO | None = None) -> None:
    """Let everything that is logged go to stderr, or another stream, in this style, and nowhere else."""
    to = logging.StreamHandler(stream or sys.stderr)
    to.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers = [to]
    root.setLevel(level.upper())
    # Retries of connections are told by those who asked, with the reason.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def given(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}


def moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _one_line(text: str) -> str:
    """Nobody outside can make a line that looks like one of ours."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _text(value: object) -> str:
    text = _one_line(str(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text or not text else text
