"""MailScanner holds each message, and queues it again under another id."""

from collections.abc import Iterator

from tests.cases.mail import delivered, stamp, story


def lines() -> Iterator[bytes]:
    for number, mail in enumerate(story()):
        first, *rest = delivered(number, mail)
        old = f"{0xA0000 + number:X}"
        new = f"{0xC0000 + number:X}"
        head = f"{stamp(mail['time'])} mx1"
        fields = f"from=<{mail['sender']}> to=<{mail['recipient']}> proto=ESMTP helo=<x>"
        yield first
        hold = f"hold: header Received: from x (x [{mail['client_ip']}]) from"
        yield f"{head} postfix/cleanup[3]: {old}: {hold} x[{mail['client_ip']}]; {fields}".encode()
        yield f"{head} MailScanner[7]: Requeue: {old}.A1B2C to {new}".encode()
        for line in rest:
            yield line.replace(f" {old}: ".encode(), f" {new}: ".encode())
