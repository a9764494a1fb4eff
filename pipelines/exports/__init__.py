"""The list as files that mail servers and name servers read."""
