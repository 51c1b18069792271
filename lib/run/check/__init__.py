"""What a notebook is given, checked before long work starts.

    kinds       kinds of values: a type and its words
    lines       tables of lines and dictionaries among the parameters
    parameters  of which kind each parameter of each notebook is
    relations   how parameters must fit each other
    inputs      tables, logs and model files: there, readable, fitting
    findings    all of it for one notebook, or for the notebooks of a run
    command     `python -m lib check`

The runner asks before the first kernel starts, and every notebook asks in its first cell, so that
papermill called by itself refuses the same.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"findings": ["check", "say"]}
)
