"""What happens around the broker on this machine before, and without, Java."""

import socket
import threading
from pathlib import Path

import pytest

from meter.errors import CommandFailed, UserMistake
from meter.localkafka.jars import KAFKA_VERSION, cache_folder, class_path
from meter.localkafka.ports import FREE_PORTS, HOST, any_free, free_ports, require_free
from meter.localkafka.probe import answers
from meter.localkafka.properties import Login, Ports, server_properties


def put_one_jar(_coordinates: tuple[str, ...], folder: Path) -> None:
    (folder / "kafka.jar").write_bytes(b"jar")


def test_the_cache_is_the_users() -> None:
    """The XDG variable decides; a relative one counts as not set."""
    assert cache_folder({"XDG_CACHE_HOME": "/var/cache/me"}) == Path("/var/cache/me/meter/kafka")
    assert cache_folder({"XDG_CACHE_HOME": "somewhere"}) == cache_folder({}) == Path.home() / ".cache/meter/kafka"


def test_kafka_is_downloaded_once(tmp_path: Path) -> None:
    """A full cache is used without asking anybody."""

    def never(_coordinates: tuple[str, ...], _folder: Path) -> None:
        raise AssertionError("downloaded again")

    first = class_path(tmp_path, put_one_jar)

    assert first == class_path(tmp_path, never) == f"{tmp_path}/kafka-{KAFKA_VERSION}/*"
    assert [jar.name for jar in Path(first).parent.iterdir()] == ["kafka.jar"]


def test_an_interrupted_download_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    """After a failure halfway the next try starts over, and succeeds."""

    def break_half_way(_coordinates: tuple[str, ...], folder: Path) -> None:
        (folder / "half.jar").write_bytes(b"ha")
        raise CommandFailed("the network is gone")

    with pytest.raises(CommandFailed, match="the network is gone"):
        class_path(tmp_path, break_half_way)

    jars = Path(class_path(tmp_path, put_one_jar)).parent
    assert [jar.name for jar in jars.iterdir()] == ["kafka.jar"]


def test_two_that_need_it_at_once_download_it_once(tmp_path: Path) -> None:
    """The second one waits for the first and uses what it has fetched."""
    fetching, go_on, fetched = threading.Event(), threading.Event(), []

    def slow(coordinates: tuple[str, ...], folder: Path) -> None:
        fetching.set()
        assert go_on.wait(10)
        fetched.append(coordinates)
        put_one_jar(coordinates, folder)

    both = [threading.Thread(target=class_path, args=(tmp_path, slow)) for _ in range(2)]
    for thread in both:
        thread.start()
    assert fetching.wait(10)
    go_on.set()
    for thread in both:
        thread.join(10)

    assert len(fetched) == 1


def test_a_port_in_use_is_a_mistake_that_names_the_way_out() -> None:
    """Asked for before anything is downloaded or started."""
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]

        with pytest.raises(UserMistake, match=f"port {port} is in use .*or choose another with --port"):
            require_free(port, "--port")


def test_free_ports_are_none_that_the_system_gives_to_clients() -> None:
    """Else a client that calls a dead broker could take its port."""
    port = any_free()

    assert port in FREE_PORTS
    assert any_free(frozenset(FREE_PORTS) - {port}) == port


@pytest.mark.parametrize(
    ("outgoing", "expected"),
    [
        ("32768\t60999\n", range(20_000, 30_000)),
        ("", range(20_000, 30_000)),
        ("16000 65535", range(1_024, 16_000)),
        ("2000 50000", range(50_001, 65_536)),
        ("1024 65535", range(20_000, 30_000)),
    ],
)
def test_no_port_is_one_of_those_for_outgoing_connections(outgoing: str, expected: range) -> None:
    """Whoever calls a dead broker must not be given its port; where nearly all are for that, there is no choice."""
    assert free_ports(outgoing) == expected


def test_an_open_port_alone_is_no_broker() -> None:
    """Nothing there, or somebody who listens and says nothing: not ready."""
    assert not answers(HOST, any_free(), 0.05)
    with socket.create_server((HOST, 0)) as silent:
        assert not answers(HOST, silent.getsockname()[1], 0.05)


def test_the_open_listener_stands_alone_without_a_login() -> None:
    """Everything is bound to this machine."""
    text = server_properties(Path("/data/records"), Ports(plain=1, controller=2), None)

    assert "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2\n" in text
    assert "log.dirs=/data/records\n" in text
    assert "SASL" not in text


def test_passwords_survive_both_quotings() -> None:
    """A quote and a backslash in a password, through the JAAS syntax and Java's properties syntax."""
    login = Login(Path("/broker.pem"), Path("/authority.pem"), plain_users={"me": 'a"b\\c'})

    text = server_properties(Path("/data"), Ports(1, 2, 3), login)

    assert r'PlainLoginModule required user_me="a\\"b\\\\c";' in text
    assert 'a"b' not in repr(login)
