"""The log: the ordered records that the detector acts on, and the seconds they close."""
