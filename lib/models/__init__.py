"""Models of one user-ad pair's score, and of a click: size parameters -> model -> FLOPs.

size_parameters   what they must be, without Keras
flop_count        FLOPs of a size, of a model, of a graph, of a training step
layers            batch norm, linear, PReLU; the split first layer
mlp_model, twin_tower_model
feature_tables    which rows of which table belong to a feature, without Keras
scorer            from a log's features to an impression's scores
click_size        fields, tables and layers of a click model, without Keras
click_counts      its parameters, FLOPs and memory traffic by part
click_model       DLRM and its baselines: logistic regression, FM, MLP, DCN v2
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "click_counts": ["click_counts"],
        "click_model": ["ClickModel", "dlrm"],
        "click_size": ["CLICK_FAMILIES", "ClickSize", "Field"],
        "flop_count": ["flops", "graph_flops", "matrix_flops", "training_flops"],
        "mlp_model": ["MLP", "mlp"],
        "scorer": ["Scorer"],
        "size_parameters": ["check_size_parameters"],
        "twin_tower_model": ["TwinTower", "twin_tower"],
    },
)
