"""The wide part of a classifier: a linear model on fixed features of the text or series (Cheng et al. 2016).

It is beside the network, and the decision is made from the sum of both scores. Needs NumPy alone.
"""
