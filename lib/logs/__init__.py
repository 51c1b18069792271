"""The log format (Eq 1) and the tables beside it.

features         the declaration of a log's features
encoding         raw values as what a model reads
reader           read, check, stream, write impressions
tables           the other tables a reader may bring
public_datasets  trivago and MovieLens as logs
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "encoding": ["encode", "fold"],
        "features": ["Feature", "Features", "LogError", "load_features", "save_features"],
        "reader": [
            "Impressions",
            "LogSummary",
            "check",
            "count",
            "longest_list",
            "read",
            "stream",
            "write_logs",
        ],
        "tables": ["CostRow", "load_costs"],
    },
)
