"""What notebooks show and leave behind.

report  tables, figures, claims and summary.json
plots   the figures' common look
"""
