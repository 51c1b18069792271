"""What parameters mean whose notebook says nothing behind their values.

A name stands here or is explained in the notebook's cell of parameters, never both
(tests/run/new/test_unsaid.py).
"""

from lib.run.parameters import explanations

UNSAID = {
    "00_logs": {"impressions_per_round": "of the closed loop, on which its models are trained"},
    "02_bnsl_fitting": {
        "features": "which says what the columns of the log are",
        "train_impressions": "the log's first, on which each size is trained",
        "k": "true best ads that Recall asks for",
        "batch_impressions": "of a training step",
    },
    "03_cost_simulation": {
        "twin_tower_base": "Matching's base: input, hidden layers, width of the inner product",
        "precision": "or fp16, which needs a GPU",
    },
    "04_roi_design": {
        "metric": "column of measurements and models that law and G are fitted to",
        "flops_max": "of a user-ad pair: larger sizes are left out",
        "dense_width": "of the input that is no embedding",
        "embedding_min": "narrowest embedding of a feature",
        "embedding_step": "from one width of embeddings to the next",
        "hidden_layers": "of every size",
        "units_min": "narrowest hidden layer",
        "units_step": "from one width of hidden layers to the next",
        "first_layer_max": "widest first hidden layer",
        "candidates": "ads in a request",
        "latency_limit_ms": "of 99 % of the requests",
        "workers": "requests that a machine serves at a time",
        "training_price_per_hour": "of one of these machines",
        "update_minutes": "between two updates of all ads' parts",
        "producer_memory_bytes": "of a machine of the Embedding Producer",
        "producer_price_per_hour": "of one of these machines",
        "memory_price_per_gigabyte_hour": "of the machines that hold the tables",
        "revenue_growth": "a year, a fraction",
        "horizon_years": "over which growth is averaged",
        "decision_hours": "how long the decision stands",
        "training_price": "of one more training",
        "load_test_price": "of one more load test",
        "seed": "of the draws",
    },
    "05_allocation": {
        "batch_impressions": "of a training step",
        "k": "true best ads that Recall asks for",
        "metric": "column of measurements that law and G are fitted to",
        "latency_limit_ms": "of 99 % of the requests",
        "workers": "requests that a machine serves at a time",
        "machines_pre_ranking": "that serve Pre-ranking now",
        "draws": "joint draws of law and G",
        "n_jobs": "trainings at a time",
    },
}


def explained(notebook, stem: str) -> dict[str, tuple[str, str]]:
    """`lib.run.parameters.explanations`, with a text for every parameter."""
    said = explanations(notebook, source=stem)
    return {name: (heading, text or UNSAID[stem][name]) for name, (heading, text) in said.items()}
