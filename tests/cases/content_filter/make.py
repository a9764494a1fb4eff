from collections.abc import Iterator

from tests.cases.mail import delivered, story

NEWSLETTER = 5


def lines() -> Iterator[bytes]:
    """Give each message as it comes and, under a new queue id, as the filter hands it back.

    Each tenth one is a message of this machine to several recipients.
    """
    for number, mail in enumerate(story()):
        yield from delivered(number, mail)
        back = delivered(0x40000 + number, mail | {"client_ip": "127.0.0.1"})
        yield from back[:-1]
        if number % 10 == 0:
            for other in range(NEWSLETTER):
                yield back[-2].replace(b"to=<", b"to=<n%d" % other)
        yield back[-1]
