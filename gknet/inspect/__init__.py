"""`gknet inspect`: an illustrated page on how the network harmonized one picture (the paper's Fig. 8 to 10, and
colors).

`record` records a pass of the network, one module per kind of picture draws the recording, `sections` assembles them in
order, and `page` writes them. Needs the extra `figures` (matplotlib, scikit-learn).
"""
