"""The log format (Eq 1) and the tables beside it.

features         the declaration of a log's features
encoding         raw values as what a model reads
impressions      impressions as arrays
reader           read, check, stream, write a log (over log_files, log_folder, columns and
                 column_types)
log_preview      what a log is, in about a second
tables           the other tables a reader may bring (over table_files)
suspicions       what looks wrong in them and yet can be used
description      what a log is, in sentences
errors           what is said of a file that cannot be used
public_datasets  trivago and MovieLens as logs
click_data       rows of ids and numbers with a click each, larger than memory
click_sources    Criteo and Avazu as click data
movielens_clicks MovieLens 1M as click data
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "click_data": ["ClickData", "ClickWriter", "Clicks"],
        "encoding": ["encode", "fold"],
        "errors": ["InputError", "LogError", "TableError"],
        "features": ["Feature", "Features", "load_features", "save_features"],
        "impressions": ["Impressions", "concatenate"],
        "log_preview": ["preview"],
        "reader": ["LogSummary", "check", "count", "longest_list", "read", "stream", "write_logs"],
        "tables": [
            "join_tests",
            "load_ab_tests",
            "load_costs",
            "load_grid",
            "load_lifts",
            "load_measurements",
            "load_scenarios",
            "load_sizes",
            "load_training_costs",
            "load_trainings",
        ],
    },
)
