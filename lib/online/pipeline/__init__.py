"""All parts of the online system as processes of this machine (Figure 8), with a live page.

parameters   what is started, checked before anything is
supervisor   starts the processes, starts them again when they die, stops them
roles        what each process does: `python -m lib.online.pipeline.roles ROLE FILE`
streams      the stream's folder, topic, or broker for tests
exposures    the simulated system, whose Pre-ranking asks the servers, writes what it exposes
client       asks prediction servers for scores, and the next one where one fails
status       what a process says of itself, for the page
page         the live page on 127.0.0.1, page.html
run          all of it from the parameters
one_process  its parts one after the other, for a notebook
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "client": ["PredictionClient"],
        "parameters": ["PipelineParameters"],
        "one_process": ["run_parts"],
        "run": ["run_pipeline"],
        "supervisor": ["Supervisor"],
    },
)
