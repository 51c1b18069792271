"""Figures, one module a notebook.

Every function takes the axes to draw on and the numbers to show, draws, and returns nothing: it
computes no statistic of its own, opens no file, and leaves the figure's size to the notebook.
What a figure is of stands on it: labels beside what they name, units on the axes, intervals where
there are any.
"""
