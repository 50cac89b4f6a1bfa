"""Who belongs to the group: members join, die, sleep and come back, and partitions go from one to the other."""

from meter.pipeline.start import CommitNote, Committed, Start, decode_note, encode_note, were_given_back
from tests.simulation.member import Member
from tests.simulation.world import CHOICE, PARTITIONS, SESSION_SECONDS, STEP_SECONDS, UNKNOWN, World

HAND_OVER_SECONDS = 14.0


def make(world: World) -> Member:
    """A process that has not joined."""
    world.made += 1
    return Member(world.made, world.chance.randrange(2**32))


def join(world: World) -> None:
    """One more member."""
    world.members.append(make(world))
    rebalance(world)


def kill(world: World, member: Member) -> None:
    """SIGKILL: what it has at the provider may still be inserted; its session has to run out."""
    world.struck["killed between receipt and commit" if _has_uncommitted_receipts(world, member) else "killed"] += 1
    abandon(world, member)
    world.members.remove(member)
    world.pass_time(max(0.0, member.session_until - world.seconds) + 0.1)
    rebalance(world)


def stop(world: World, member: Member) -> None:
    """SIGSTOP past the session: the others go on without it."""
    world.struck["stopped past its session"] += 1
    member.is_stopped = True
    abandon(world, member)
    world.pass_time(max(0.0, member.session_until - world.seconds) + 0.1)
    rebalance(world)


def wake(world: World, member: Member) -> None:
    """SIGCONT: it may write what it had to write, but must not send; then it learns that it is out."""
    member.is_stopped = False
    world.pump(member)
    for name, outcome in member.unheard:
        member.machine.answered(name, outcome, world.now())
        world.pump(member)
    member.unheard.clear()
    world.struck["woken as a zombie that has writes to finish"] += bool(member.writes)
    while member.writes:
        world.finish_write(member, world.chance.choice(("ok", "unacknowledged", "failed")))
    if member.commit is not None:
        world.finish_commit(member, "applied")
    rebalance(world)


def cut_off(world: World, member: Member) -> None:
    """Kafka cannot be reached, the provider can: sending must end before the session does."""
    world.struck["cut off from Kafka"] += 1
    member.is_cut_off = True
    until = member.session_until + 10.0
    while world.seconds < until:
        world.pass_time(STEP_SECONDS)
        world.answer_any(member, world.chance.choice(("busy", "busy", "ok")))
    member.is_cut_off = False
    rebalance(world)


def come_back(world: World, member: Member) -> None:
    """Its partitions are taken and given back at once, whatever is under way; only for a member that is alone."""
    world.struck["partitions taken and given back at once"] += 1
    if member.commit is not None:
        member.commit = None
        member.machine.commit_failed(lost=True)
    member.machine.revoked(world.now())
    world.pump(member)
    world.generation += 1
    assign(world, member, list(range(PARTITIONS)))


def rebalance(world: World) -> None:
    """Eager: everybody gives everything back, and gets partitions anew."""
    for member in world.running():
        if member.generation >= 0:
            _hand_over(world, member)
    world.generation += 1
    running = world.running()
    for index, member in enumerate(running):
        assign(world, member, [p for p in range(PARTITIONS) if p % len(running) == index])


def assign(world: World, member: Member, partitions: list[int]) -> None:
    """These are its partitions: their starts are committed, and the receipts of their tails read."""
    starts = {}
    for partition in partitions:
        commit = world.broker.commits.get(partition, Committed(0, ""))
        starts[partition] = Start(commit.offset, decode_note(commit.metadata).receipts_offset)
    gave_back = were_given_back(partitions, world.broker.commits)
    note = {p: Committed(s.offset, encode_note(CommitNote(CHOICE, s.receipts_offset))) for p, s in starts.items()}
    world.broker.commit(note)
    member.generation = world.generation
    member.session_until = world.seconds + SESSION_SECONDS
    member.positions = {partition: start.offset for partition, start in starts.items()}
    waits = world.is_static and not gave_back
    member.machine.commits.wait(world.seconds + (SESSION_SECONDS if waits else 0.0))
    member.machine.assigned("cluster", starts, CHOICE, world.seconds, world.now())
    for partition in partitions:
        log = world.broker.receipts.get(partition, [])
        for offset in range(member.machine.assignment.fill_from(partition, 0), len(log)):
            member.machine.remember(partition, offset, log[offset])
        member.machine.window_filled(partition)
    world.pump(member)


def heartbeat(world: World, member: Member) -> None:
    """Whoever holds nothing has nothing to commit, and remains a member."""
    if not member.machine.counts.held and world.seconds < member.session_until:
        member.session_until = max(member.session_until, world.seconds + SESSION_SECONDS)


def abandon(world: World, member: Member) -> None:
    """The provider goes on with what it has of a client that is gone; a stopped one hears of it later."""
    for request in world.requests(member):
        outcome = world.outcome(request, world.chance.choice(("ok", *UNKNOWN)))
        member.unheard.append((request.batch, outcome))


def _has_uncommitted_receipts(world: World, member: Member) -> bool:
    return any(
        offset >= world.broker.commits.get(partition, Committed(0, "")).offset
        for partition, offset in world.broker.ends
        if partition in member.positions
    )


def _hand_over(world: World, member: Member) -> None:
    member.machine.hand_over()
    deadline = world.seconds + HAND_OVER_SECONDS
    while not (member.machine.is_quiet(world.now()) and member.commit is None) and world.seconds < deadline:
        world.pump(member)
        world.finish_write(member, "ok")
        if member.commit is not None:
            world.finish_commit(member, "applied")
        if world.chance.random() < 0.3:
            world.answer_any(member, world.chance.choice(("ok", *UNKNOWN)))
        world.pass_time(STEP_SECONDS)
    _final_commit(world, member)
    member.positions = {}
    member.machine.revoked(world.now())
    world.pump(member)


def _final_commit(world: World, member: Member) -> None:
    member.commit = None
    if member.generation == world.generation and world.seconds < member.session_until:
        world.broker.commit(member.machine.last_commits(world.now()))
