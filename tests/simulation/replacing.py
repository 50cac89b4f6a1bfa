"""What static membership adds to the world: a member is replaced at once, and does not know it."""

from tests.simulation.group import abandon, assign, heartbeat, make, rebalance
from tests.simulation.member import Member
from tests.simulation.world import PARTITIONS, SESSION_SECONDS, STEP_SECONDS, UNKNOWN, World


def replace(world: World, member: Member) -> None:
    """A new process has the name of this one, and its partitions at once; the old one is cut off from Kafka, and goes
    on sending for as long as it has its lease. Sometimes the group rebalances meanwhile."""
    world.struck["replaced while it may send"] += 1
    member.is_cut_off = True
    world.members[world.members.index(member)] = new = make(world)
    world.replaced.append(member)
    assign(world, new, list(member.positions))
    if world.chance.random() < 0.3:
        rebalance(world)
    until = world.seconds + SESSION_SECONDS + 10.0
    while world.seconds < until:
        for other in world.running():
            heartbeat(world, other)
            if world.chance.random() < 0.2:
                world.poll(other, world.chance.randrange(PARTITIONS), 4)
            world.answer_any(other, "ok")
            world.finish_write(other, "ok")
        world.pass_time(2 * STEP_SECONDS)
        world.answer_any(member, world.chance.choice(("busy", "ok", *UNKNOWN)))
    abandon(world, member)
    world.replaced.remove(member)
