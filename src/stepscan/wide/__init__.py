"""The wide part of a model: a linear model on fixed features of the inputs, next to the network.

As in "wide and deep" learning (Cheng et al. 2016, Wide & Deep Learning for Recommender Systems), the scores of the wide
part are added to those of the network (the deep part), each with its own weight. The features are n-grams of texts
(`ngrams`), features of tokens and their neighbours (`token_features`), or random convolutions of series
(`convolutions`). It needs only NumPy; `stepscan.estimators.wide_model` and
`stepscan.estimators.linear_chain_crf` fit it.
"""
