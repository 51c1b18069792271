"""A decision from a reader's own tables, as one page: `python -m lib decide`.

question   what the reader gives, checked before anything runs
notebooks  which notebooks answer it, with which parameters
draws      the draws that the page computes with: few sizes, none missing that it may choose
page       one HTML file that needs nothing from elsewhere
command    all of it in order

`page.html`, `page.css` and `page.js` are the page: what is told, how it looks, what it computes.
"""
