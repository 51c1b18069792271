"""The DLRM of `benchmarks.dlrm` in PyTorch with fbgemm's tables; imports nothing of ours.

python benchmarks/torch_dlrm.py SETUP: as the other sides of `benchmarks.dlrm`, it builds the model
of the JSON `SETUP`, writes a line when it is ready, and for each line read makes the steps and
writes their seconds.
"""

import itertools
import json
import os
import sys
import time


def main(setup):
    import fbgemm_gpu  # noqa: F401, registers the operators
    import numpy as np
    import torch
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
        ComputeDevice,
        SplitTableBatchedEmbeddingBagsCodegen,
    )

    torch.set_num_threads(setup["threads"])
    torch.manual_seed(0)
    fields, rows, width, batch = (setup[x] for x in ("fields", "rows", "width", "batch"))
    tables = SplitTableBatchedEmbeddingBagsCodegen(
        [(rows, width, EmbeddingLocation.HOST, ComputeDevice.CPU)] * fields,
        optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
        learning_rate=0.05,
        eps=1e-8,
    )

    def mlp(sizes):
        return torch.nn.ModuleList(torch.nn.Linear(*pair) for pair in itertools.pairwise(sizes))

    pairs = (fields + 1) * fields // 2
    bottom = mlp([setup["dense"], *setup["bottom"], width])
    top = mlp([width + pairs, *setup["top"], 1])
    optimizer = torch.optim.Adagrad(
        [*bottom.parameters(), *top.parameters()], lr=0.05, initial_accumulator_value=0.1
    )
    lower = torch.tril_indices(fields + 1, fields + 1, -1)
    loss = torch.nn.BCEWithLogitsLoss()
    rng = np.random.default_rng(0)
    steps = setup["steps"]
    # fbgemm takes ids field by field.
    ids = torch.from_numpy(rng.integers(0, rows, (steps, fields, batch)).reshape(steps, -1))
    dense = torch.from_numpy(rng.normal(size=(steps, batch, setup["dense"])).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 2, (steps, batch, 1)).astype(np.float32))
    offsets = torch.arange(fields * batch + 1)

    def step(i):
        x = dense[i]
        for layer in bottom:
            x = torch.relu(layer(x))
        vectors = tables(ids[i], offsets).view(batch, fields, width)
        vectors = torch.cat([x[:, None], vectors], 1)
        dots = torch.bmm(vectors, vectors.transpose(1, 2))[:, lower[0], lower[1]]
        x = torch.cat([x, dots], 1)
        for layer in top[:-1]:
            x = torch.relu(layer(x))
        optimizer.zero_grad()
        loss(top[-1](x), labels[i]).backward()
        optimizer.step()

    serve(lambda: [step(i) for i in range(steps)])


def serve(steps):
    """Make the steps once, say so, then once for each line read, saying their seconds."""
    steps()
    # What libraries print goes elsewhere.
    print("ready", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        steps()
        print(f"seconds {time.perf_counter() - begin}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    main(json.loads(sys.argv[1]))
