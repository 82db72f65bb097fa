"""The paper's Table 3: people repeatedly choose between two methods' results for a composite.

Each method is a folder of results, and each picture a name common to all folders. Every voter compares every pair of
methods on every picture. The votes give each method a score in the Bradley-Terry model.
"""
