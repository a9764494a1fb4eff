"""A run on a real broker decides what a replay does, to the byte, whatever happens to it."""

from pathlib import Path
from random import Random

from tests.live.site import Site, traffic


async def test_all_roles_in_one_process_decide_as_a_replay_does(kafka: str, tmp_path: Path) -> None:
    with Site.of_seed(tmp_path / "site", kafka, 1) as site:
        await site.prepare()
        site.run()
        await site.feed(traffic(Random(1), site.partitions), over_s=3)
        await site.end()
        await site.settled()
        assert (await site.verify())["list"]
        assert site.members[0].stop() == 0
