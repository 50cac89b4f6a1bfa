"""How the one node is set up: Kafka's own settings, chosen for one machine, quick restarts and small memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meter.localkafka.ports import HOST


@dataclass(frozen=True)
class Login:
    """A second listener, SASL_SSL, beside the open one.

    `certificate` is a PEM file with the private key (PKCS#8) and the certificate chain, `authority` a PEM file with
    the authority that clients trust. Users of PLAIN and of SCRAM-SHA-256, name -> password; SCRAM users are written
    when the data folder is formatted, later ones are not added.
    """

    certificate: Path
    authority: Path
    plain_users: Mapping[str, str] = field(default_factory=dict, repr=False)
    scram_users: Mapping[str, str] = field(default_factory=dict, repr=False)
    needs_rights: bool = False
    """Whether users may do only what ACLs allow; through the open listener everything is allowed, ACLs included."""


@dataclass(frozen=True)
class Ports:
    """Where the node listens, all on 127.0.0.1; `login` None means no SASL_SSL listener."""

    plain: int
    controller: int
    login: int | None = None


def server_properties(records: Path, ports: Ports, login: Login | None) -> str:
    """The text of `server.properties` for a node that keeps its records in the folder `records`."""
    settings = _node(records, ports) | _one_copy_of_everything() | _quick()
    if login is not None:
        settings |= _login(login) | (_rights() if login.needs_rights else {})
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def _node(records: Path, ports: Ports) -> dict[str, str]:
    clients = f"PLAINTEXT://{HOST}:{ports.plain}"
    protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    if ports.login is not None:
        clients += f",SASL_SSL://{HOST}:{ports.login}"
        protocols += ",SASL_SSL:SASL_SSL"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{ports.controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{clients},CONTROLLER://{HOST}:{ports.controller}",
        "advertised.listeners": clients,
        "listener.security.protocol.map": protocols,
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(records),
        "auto.create.topics.enable": "false",  # a misspelt topic must show, not appear
    }


def _one_copy_of_everything() -> dict[str, str]:
    return {
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }


def _quick() -> dict[str, str]:
    return {
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",  # tests lose a member within seconds
        # a killed node may come back only when its former registration has expired: 4 s instead of 12 s
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        "log.cleaner.dedupe.buffer.size": "16777216",  # of a small heap; the default takes 128 MiB
    }


def _login(login: Login) -> dict[str, str]:
    listener = "listener.name.sasl_ssl"
    users = "".join(f" user_{name}={_quoted(password)}" for name, password in login.plain_users.items())
    modules = "org.apache.kafka.common.security"
    return {
        f"{listener}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        f"{listener}.plain.sasl.jaas.config": f"{modules}.plain.PlainLoginModule required{users};",
        f"{listener}.scram-sha-256.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
        f"{listener}.ssl.keystore.type": "PEM",
        f"{listener}.ssl.keystore.location": str(login.certificate),
        f"{listener}.ssl.truststore.type": "PEM",
        f"{listener}.ssl.truststore.location": str(login.authority),
    }


def _rights() -> dict[str, str]:
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(value: str) -> str:
    """A value as Java's properties format wants it: one line, backslashes doubled."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
