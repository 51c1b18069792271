"""Models trained, measured and tested.

train_and_evaluate  one trained model as a row of the measurements table
converged_system    the simulated system with its trained base, kept in a folder
scaling_study       sizes trained on a log, for a law
matching_study      twin towers trained for Matching and tested there
held_out_revenue    lists without tests: models ranked by the money of other sessions
own_tables          a reader's own models and tests, joined
two_stage_study/    towers, MLPs and numbers of candidates, every combination tested
study/              many models in many worlds
deployed_choice/    sizes chosen from a log, deployed and held against what was predicted
shape_study/        shapes at equal FLOPs, sizes by data, and what both are worth
dlrm_study/         click models of many sizes, by data, parameters and compute
"""
