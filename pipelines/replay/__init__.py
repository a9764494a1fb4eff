"""Replay: the whole product over finite inputs, with nothing of it left out but the waiting."""
