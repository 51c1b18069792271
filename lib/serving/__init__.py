"""Serving: a model as an ONNX graph, the engines that run it, the load test.

graphs/                a request's graph: forms, batches, free axes, half precision
engines/               what runs a graph
load/                  Algorithm 1's measurement
equivalence            whether forms, engines and half precision give the same scores
queueing               between a request's time and the load at a latency limit
model_files            any model file as a graph, read without running what is in it
numpy_scorer           a trained model as the simulated system calls it
served_model           a trained Pre-ranking model as servers hold it, without Keras
brute_force_retrieval  exact top k of inner products over a corpus
"""
