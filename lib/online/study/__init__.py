"""The study behind notebook 07: a drifting ad system, trained online for simulated days.

exposures  the drifting system, and the log that a reference system makes of it
versions   which weights a server holds at which minute
tasks      one model of one draw: open loop, late gradients, closed loop
table      all runs, as two tables
results    what they say: costs of staleness, the law of size, asynchrony
published  what others have measured
"""
