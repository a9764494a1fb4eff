"""Stages: ingest, detect and publish as steps that know no broker."""
