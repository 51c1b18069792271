"""What a bigger retrieval model is worth in money, and what it costs.

A folder an idea: see the map in docs/code.md. Notebooks call `lib`; `lib` never knows notebooks.
Importing it changes nothing in a process: `lib.infra.settings` does, when asked.
"""
