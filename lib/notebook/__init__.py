"""What notebooks show and leave behind.

report    tables, figures, claims and summary.json
staging   results that count all at once, when a run is done
checks    parameters refused by name, before long work
figures/  what each notebook draws, every function on axes of the caller's
claims/   what each notebook claims and answers, in sentences
choices   sizes chosen by the methods of notebooks 04 and 05
tables    tables as a reader sees them
plots     the figures' common look
markdown  names of the reader's in Markdown
"""
