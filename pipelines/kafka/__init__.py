"""Kafka: the input, the log and the decisions as topics; nobody else imports aiokafka."""
