"""`smtpd_proxy_filter`: half of the flood is refused by the filter before it is queued."""

from collections.abc import Iterator

from tests.cases.mail import delivered, stamp, story


def lines() -> Iterator[bytes]:
    for number, mail in enumerate(story()):
        head = f"{stamp(mail['time'])} mx1 postfix/smtpd[{200 + number % 7}]"
        client = f"unknown[{mail['client_ip']}]"
        fields = f"from=<{mail['sender']}> to=<{mail['recipient']}> proto=ESMTP helo=<x>"
        yield f"{head}: NOQUEUE: client={client}".encode()
        if mail["recipient"].startswith("ann@") and number % 2:
            reply = "554 5.7.0 Reject, id=00001-01 - SPAM"
            yield f"{head}: proxy-reject: END-OF-MESSAGE: {reply}; {fields}".encode()
            continue
        for line in delivered(number, mail):
            yield line.replace(
                f"client={client}".encode(),
                f"client=localhost[127.0.0.1], orig_client={client}".encode(),
            )
        reply = "250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as X"
        yield f"{head}: proxy-accept: END-OF-MESSAGE: {reply}; {fields}".encode()
