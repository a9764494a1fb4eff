"""rsyslog writes equal lines once, and says how often they came."""

from collections.abc import Iterator

from tests.cases.mail import delivered, stamp, story


def lines() -> Iterator[bytes]:
    for number, mail in enumerate(story()):
        if not mail["recipient"].startswith("ann@"):
            yield from delivered(number, mail)
        elif number % 2:
            head = f"{stamp(mail['time'])} mx1 postfix/smtpd[9]:"
            fields = f"from=<{mail['sender']}> to=<{mail['recipient']}> proto=ESMTP helo=<x>"
            text = f"NOQUEUE: reject: RCPT from x[{mail['client_ip']}]: 554 5.7.1 no; {fields}"
            yield f"{head} {text}".encode()
            yield f"{head} message repeated 2 times: [ {text}]".encode()
