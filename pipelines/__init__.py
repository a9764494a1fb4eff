"""The adapters that connect the pure detector with files, stores, brokers and people."""
