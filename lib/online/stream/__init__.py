"""Impressions in order, from those who log them to those who train on them (section 3.4).

streams       what a stream is, whatever keeps it
records       a micro-batch of whole impressions as bytes
segments      the embedded stream: append-only files in a folder
kafka         a Kafka topic as a stream
producers     write a simulated system's exposures, or a log, to a stream
edge          records as arrays, checked
dead_letters  what cannot be used, kept
partition     which window of event time an impression belongs to
source        windows, shuffled, as a training's batches
"""
