"""`gknet inspect`: what the network did with one picture, shown to people (the paper's Fig. 8 to 10, and its colors).

`record` listens to a pass of the network, a module for each kind of picture draws what it heard, `sections` asks for
them in order, and `page` puts them together. Needs the extra `figures` (matplotlib, scikit-learn).
"""
