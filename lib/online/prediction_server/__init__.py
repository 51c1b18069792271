"""The prediction server: polls exports, swaps versions, speaks the Open Inference Protocol.

options         what a server is told
protocol        requests and answers of the Open Inference Protocol (KServe V2), as bytes
inputs          a request's tensors as what the model reads
loaded_version  one version that can answer: model, engine, ad parts
loading         reads and checks a version in a process of its own
versions        polls the store, verifies, warms up, swaps; pins and rolls back
admission       a bounded queue before a few threads; deadlines, load shedding
metrics         what Prometheus reads
application     the routes
server          sockets, credentials, logs, graceful stop
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loaded_version": ["LoadedVersion"],
        "options": ["Options"],
        "server": ["PredictionServer", "serve"],
        "versions": ["Versions"],
    },
)
