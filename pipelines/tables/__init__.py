"""Tables: the ASN and provider files."""
