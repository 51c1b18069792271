"""Training on several processes and machines, and what it does to the model.

work               what is to be trained, in plain values
launcher           train_distributed: one call for all ways, one machine or several
cluster            the processes: who is where, started, watched, gone together
process            one of them
read_ahead         a source whose next batches are read meanwhile
synchronous        all workers take each step together: JAX with gloo
parameter_servers  what a training changes, on servers: dense part, tables in shards by id
asynchronous       each worker steps by itself, at weights that the others change
hybrid             embeddings asynchronous, dense part synchronous
tensorflow_server  a process that is a server or a worker of these two
delayed            asynchrony in one process: gradients late by a given number of steps
speed_model        seconds a step on N workers, of computation and communication
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "delayed": ["DelayedLearner"],
        "launcher": ["DistributedReport", "train_distributed"],
        "speed_model": ["SpeedModel"],
        "work": ["Work"],
    },
)
