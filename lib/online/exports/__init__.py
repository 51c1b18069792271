"""Exports: versions of a model in a store that servers poll (appendix A: HDFS every 20 minutes).

store   versioned, checksummed folders on any file system that fsspec knows
guard   whether a model may be published
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"guard": ["Guard"], "store": ["ExportStore", "Manifest"]}
)
