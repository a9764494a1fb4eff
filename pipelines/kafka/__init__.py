"""Kafka: clients, the input group, the log, the listings and the topics."""
