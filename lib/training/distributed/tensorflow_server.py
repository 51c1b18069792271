"""A server or a worker of TensorFlow: it holds and computes what a coordinator hands it."""

import tensorflow as tf


def cluster_of(addresses: dict):
    """TensorFlow's description of a plan's addresses."""
    jobs = {"ps": addresses["server"], "worker": addresses["worker"]}
    return tf.train.ClusterSpec({**jobs, "chief": addresses["coordinator"]})


def serve(addresses: dict, role: str, index: int):
    """Be a server or a worker until the process ends."""
    server = tf.distribute.Server(
        cluster_of(addresses),
        job_name={"server": "ps", "worker": "worker"}[role],
        task_index=index,
        protocol="grpc",
    )
    server.join()
