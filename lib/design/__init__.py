"""Which size to build.

size_grids            the grid of sizes (appendix B.1)
size_economics        what each of them earns and costs beside the base
roi_choice            the best one under an ROI limit (Eq 7, 8)
size_search           the best one from a few measurements
cost_models_compared  from FLOPs to cost, step by step
click_budget          data or parameters of a click model under one budget
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "click_budget": ["ClickModelPrices", "best_under", "price_options", "seconds_at_the_roof"],
        "roi_choice": [
            "ROIS",
            "best_size",
            "check_money",
            "highest_roi",
            "meets_roi",
            "revenue_and_cost",
            "share_best",
        ],
        "size_economics": ["SizeEconomics", "machine_cost", "service_time_model", "sizes_table"],
        "size_grids": ["Sizes", "find_size", "index_of", "join_grids", "size_grid"],
        "size_search": ["Goal", "Requests", "search"],
    },
)
