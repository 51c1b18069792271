"""A profile of one's own, laid out to begin with: `python -m lib new FOLDER`.

layout           the folder: written beside and moved into place, whole or not at all
parameter_files  the text of its YAML files, every value explained by the notebook that takes it
unsaid           what notebooks leave unexplained

`template/` holds its tables, a small invented case that runs, and its README.
"""
