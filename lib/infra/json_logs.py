"""Structured logs: one JSON object a line on stderr."""

import logging.config


def log_as_json() -> None:
    """Set up logging of this process; what is given as `extra` becomes fields of the line."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": "pythonjsonlogger.orjson.OrjsonFormatter",
                    "fmt": "%(levelname)s %(name)s %(message)s",
                    "timestamp": "time",
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": "INFO"},
            "loggers": {"uvicorn": {"level": "WARNING"}},
        }
    )
