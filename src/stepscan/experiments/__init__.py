"""The field's own experiments on generated tasks: what `stepscan reproduce` runs beside the recipes."""
