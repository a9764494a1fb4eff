"""Scenes that last for days or need a place in the log, on top of `pipelines.simulate`.

`days`: floods whose tails go on for days. `weapon`: a customer has a provider's pool bomb himself.
"""
