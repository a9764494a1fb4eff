"""stub"""

from typing import Any

from pipelines.settings import KafkaSettings

__all__ = ["client_arguments"]


def client_arguments(kafka: KafkaSettings) -> dict[str, Any]:
    return {
        "bootstrap_servers": kafka.bootstrap,
        "client_id": kafka.client_id,
        "request_timeout_ms": int(kafka.request_s * 1000),
    }
