"""Which size to build.

size_grids            the grid of sizes (appendix B.1)
size_economics        what each of them earns and costs beside the base
total_cost            what they cost beside serving: training, Embedding Producer, tables
roi_choice            the best one under an ROI limit (Eq 7, 8)
decision              expected regret of each, the bound's probability, a choice with confidence
next_measurements     what one more training, test or load test is worth
ab_test_plan          traffic and days that a test of a lift needs
paper_case            what must be assumed for the paper's size to be the answer
size_search           the best one from a few measurements
cost_models_compared  from FLOPs to cost, step by step
click_budget          data or parameters of a click model under one budget
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ab_test_plan": ["plan_tests"],
        "click_budget": ["ClickModelPrices", "best_under", "price_options", "seconds_at_the_roof"],
        "decision": ["Decision", "choices"],
        "next_measurements": ["Measurement", "measure_each", "rank_measurements"],
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
        "size_grids": [
            "Sizes",
            "find_size",
            "index_of",
            "join_grids",
            "limited",
            "own_sizes",
            "size_grid",
            "with_size",
        ],
        "size_search": ["Goal", "Requests", "search"],
        "total_cost": [
            "Growth",
            "Producer",
            "Tables",
            "Training",
            "economics_by_step",
            "weight_bytes",
        ],
    },
)
