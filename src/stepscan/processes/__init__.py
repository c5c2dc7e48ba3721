"""Training on several processes: how they are started, what each has to do, and what they tell one another."""
