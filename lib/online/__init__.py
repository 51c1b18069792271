"""The online pipeline (section 3.4, appendix A, Figure 8): models that never stop training.

stream               impressions in order: the embedded log of segments, Kafka; producers
exports              versions of a model in a store: checksummed, atomic, guarded
trainer              stream -> learner -> checkpoint -> exports
embedding_producer   the ads' first-layer parts of each version, one mapped file
prediction_server    polls, warms up, swaps; the Open Inference Protocol
pipeline             all of them as processes, with a live page
study                the simulated system, trained online for days
plan                 what a platform would need, on paper, from measured rates
"""
