"""The paper's Table 3: people choose between two methods' results of a composite, again and again.

A method is a folder of results, a picture a name that all folders share. Every voter is asked about every two methods
on every picture, and the votes give each method a score in the Bradley-Terry model.
"""
