"""Data sets that need no download, one for each pattern, each with a simple baseline.

| pattern | data set | source | baseline |
|---|---|---|---|
| Encoder | `reviews` | a small grammar (generated) | `bag_of_words_accuracy` |
| Generator | `documentation` | Python's own help topics | `trigram_nats`, `sample_trigrams` |
| Transducer | `python_source` | Python's own standard library | `most_frequent_tag_accuracy` |
| ConditionedGenerator | `dates` | Babel's calendars | `digits_rule_accuracy` |

The same seed gives the same data with the same version of Python (and, for `dates`, of Babel).
"""

from __future__ import annotations

from stepscan.data.builtin.date_pairs import dates, digits_rule_accuracy
from stepscan.data.builtin.help_topics import documentation, sample_trigrams, trigram_nats
from stepscan.data.builtin.python_lexemes import label_source, most_frequent_tag_accuracy, python_source
from stepscan.data.builtin.review_grammar import bag_of_words_accuracy, reviews
from stepscan.data.builtin.split import Split

__all__ = [
    "Split",
    "bag_of_words_accuracy",
    "dates",
    "digits_rule_accuracy",
    "documentation",
    "label_source",
    "most_frequent_tag_accuracy",
    "python_source",
    "reviews",
    "sample_trigrams",
    "trigram_nats",
]
