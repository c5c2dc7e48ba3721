"""Classic experiments on generated tasks, which `stepscan reproduce` runs next to the recipes."""
