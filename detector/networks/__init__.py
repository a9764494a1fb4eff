"""Networks: the AS of an address and the provider of an AS."""
