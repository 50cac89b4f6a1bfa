"""`meter audit` at the end of the demo: the same findings from outside, by somebody who knows nothing of the plan."""

from meter.accounting.audit import Question, audit
from meter.accounting.provider import SandboxRows
from meter.accounting.report import Findings
from meter.accounting.trail import trail_in
from meter.demo.processes import TOPIC, Installation
from meter.kafka.archive import open_archive
from meter.pipeline.receipt import Owner
from meter.settings import KafkaSettings


async def run(here: Installation) -> Findings:
    """What the command would find now."""
    kafka = KafkaSettings(bootstrap_servers=here.bootstrap_servers, topic=TOPIC)
    owner = Owner(kafka.group_id, here.sandbox_url, "sandbox")
    question = Question(trail_in(kafka, owner))
    async with open_archive(kafka) as archive:
        return await audit(archive, question, SandboxRows(here.sandbox_url), lambda what, done, total: None)
