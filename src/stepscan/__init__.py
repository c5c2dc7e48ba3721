"""Sequence models you train as a scan and ship as a step."""
