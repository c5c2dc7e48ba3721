"""Sentences of tokens, with or without tags: CoNLL-U, CoNLL columns, JSON Lines and data sets, plain text."""
