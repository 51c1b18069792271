"""What every other part stands on, and what knows nothing of ads.

files          whole or absent; fingerprints
locks          one process at a time at a folder
leftovers      what killed processes leave behind
parent         processes that end with the one that started them
yaml_files     plain YAML without repeated keys
arrays         numbers from outside as arrays of floats
intervals      the interval of a quantity from draws of it
grid           numbers that are the same on every processor
machine        what this machine is, and how fast
child_process  a measurement in a process of its own
confined       a function in a child process without rights
code_digest    which code a result depends on
json_logs      structured logs of a process
settings       what is set in a process before TensorFlow starts there
arithmetic     whether TensorFlow rounds here as where the outputs were made
clusters       calls on Dask or Ray, and which of them lost their worker
shared_folders folders of sweeps that several machines see
sweep          many tasks: parallel, resumable
timings        tasks that hang on a clock: measured, or taken from a record
"""
