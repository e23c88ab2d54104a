"""Log lines: JSON where a machine reads them, coloured text on a terminal. One place sets them up."""

import logging
import sys
from typing import Literal

import structlog


class Levels(logging.Filter):
    """Which levels are logged, each by itself; may be changed while the server runs."""

    def __init__(self, least: str = "info") -> None:
        super().__init__()
        self.verbose = int(least == "debug")
        """Above 0, `debug` is logged: a line a request."""
        self.info = least in ("debug", "info")
        self.warning = least != "error"
        self.error = True

    def change(self, **levels: int) -> None:
        """Set those that are named."""
        for name, value in levels.items():
            setattr(self, name, value)
        self.apply()

    def apply(self) -> None:
        """Have the loggers make no line of a level below all that are logged."""
        levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
        logging.getLogger().setLevel(next(filter(self._logs, levels), _NOTHING))

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line passes."""
        return self._logs(record.levelno)

    def _logs(self, level: int) -> bool:
        if level >= logging.ERROR:
            return self.error
        if level >= logging.WARNING:
            return self.warning
        return self.info if level >= logging.INFO else self.verbose > 0


_NOTHING = logging.CRITICAL + 1


def set_up_logs(levels: Levels, form: Literal["auto", "json", "console"]) -> None:
    """Send our events and the libraries' records through one handler to stderr. Called once, by the command."""
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    render: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    handler.addFilter(levels)
    logging.basicConfig(handlers=[handler], force=True)
    levels.apply()
    for noisy in ("uvicorn.error", "asyncio"):  # what they say at info, the service says in its own words
        logging.getLogger(noisy).setLevel(logging.WARNING)
