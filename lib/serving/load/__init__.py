"""The load test: Algorithm 1's measurement.

load_tests     a size, or any model, as a row of the costs table
random_inputs  random fixed-length tensors
loadgen        MLPerf LoadGen's scenarios around an engine
bracketing     the search for the highest load that passes, and its interval
peak           that search in a process of its own
service_time   the time of a request alone
"""
