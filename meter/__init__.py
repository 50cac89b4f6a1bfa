"""meter: usage events from Kafka, each billed exactly once or visibly parked.

The one rule that everything serves: a committed offset p means that every record below p has ended, accepted by the
provider, known as a duplicate of an accepted one, or kept in the dead letters. Positions are contiguous, per partition,
never go back, and are never committed for a partition that is not ours.

The map, in reading order:

pipeline/              what happens to an event, decided without I/O: values in, values out
  now.py                 one moment, as given to the core
  place.py               where a record is, or was
  headers.py             the headers that are meter's own
  event.py               a record becomes a usage event, or an invalid one with its reason
  dialect.py             what a record says, in any dialect
  body.py                the event as the provider expects it, and the bounds of each field
  timestamps.py          when it happened
  rules.py               the names of the rules that a record can break
  identity.py            the idempotency key it is billed under; frozen
  dedupe.py              the window of accepted ids
  ring.py                its memory: no growth, no pauses
  holding.py             keys in flight, and the copies waiting for them
  buffer.py              what is waiting to be sent, and when a batch is due
  batch.py               events that travel together
  lease.py               how long we are surely a member of the group
  concurrency.py         how many requests may be in flight
  retry.py               when to try again
  outcome.py             what the provider's answer means
  refusals.py            whether a refusal is the event's own fault
  queue.py               batches that wait to be sent again
  turns.py               which of them is sent next, and which event probes
  verdicts.py            what happens to an event on the way
  parking.py             what an operator wants parked
  dispatch.py            the way to the provider and back
  redriven.py            what a record carries if it was dead-lettered before
  receipt.py             what was accepted, as it is kept in Kafka
  dead_letter.py         what can never be billed, as it is kept in Kafka
  settlement.py          receipts and dead letters still to be written
  offsets.py             what has not ended yet: the commit position
  recognised.py          what receipts name above it
  start.py               where a partition begins
  assignment.py          the partitions that are ours now
  counts.py              what became of the events so far
  usage.py               usage that the provider may not have counted yet
  admission.py           which events are billed: one a key, and none again
  actions.py             what the machine answers
  machine.py             the parts together
edges.py               what the worker needs of Kafka and of the provider
worker.py              the loop: does what the machine says
errands.py             what the machine wants done outside, done
committer.py           commits, and what became of the last
rebalance.py           taking partitions over and handing them on
supervisor.py          one worker after the other
stopping.py            a stop request during start-up
kafka/                 aiokafka behind those edges
  connection.py          how the cluster is reached, and what a failure means
  internals.py           the few private parts of aiokafka that are needed
  consumer.py            records in, commits out
  consumer_faults.py     what their failures mean
  unreadable.py          records that aiokafka cannot parse
  writer.py              acknowledged writes
  receipts.py            receipts, written and read back
  dead_letters.py        dead letters, cut until they fit
  topics.py              the topics: created, extended and checked
  archive.py             reads any topic and any group
  members.py             who else is in the group
billing/               the provider behind those edges
  calling.py             a batch or a question goes out, an outcome comes back
  rest.py                as REST frames them
  mcp.py                 as MCP frames them
  mcp_answers.py         what MCP answers, put as REST would
  exchange.py            one request to the provider, as bytes
  sending.py             how far a request has got, and whether it may go on
  sockets.py             connections; a request is sent once, on one of them
  wire.py                one connection, on which no byte is sent late
  reply.py               one response, assembled from its parts
  answers.py             what an answer means
  provider_error.py      the provider's error form
  limits_outcome.py      what the answer to a limits question means
limits/                may this customer go on?
  question.py            one question
  cache.py               fresh, cached, stale, or by policy
  flights.py             questions on their way to the provider
  snapshots.py           the provider's last answers
  promise.py             what may be promised from one of them
  prices.py              what a unit costs in credits
error_bodies.py        error responses in the provider's form
http/                  the daemon, asked over HTTP
  api.py                 its routes
  exchange.py            one request and its answer
  token.py               who may ask
  limits.py              limits questions
  parking.py             parks held events for an operator
  server.py              serves them in the worker's event loop
  connection.py          one connection with bounds
  plain_connection.py    that stays HTTP/1.1
standing.py            how this replica stands: the facts for operators
health.py              ready? stuck?
stalls.py              partitions that deliver nothing
watchdog.py            ends a process that nothing else can help
metrics.py             every metric
logs.py                what is written to stderr
clock.py               time, as given to the core
errors.py              every error, named by what the caller does next
ownership.py           whose receipts a configuration writes
accounting/            what became of every record, established afterwards
  trail.py               the topics that tell of it
  letters.py             dead letters by origin: what they say, which are open
  offsets.py             the ends of one partition's offsets
  usage.py               what was accepted, and the provider's rows
  provider.py            a provider that can be asked for them
  reading.py             whole topics, with progress reports
  report.py              the findings of an audit
  audit.py               every record below the commit has one end
  trace.py               what became of one event, in words
  explain.py             finds every trace of it
  outgoing.py            events on their way back, and who writes them
  redrive_rules.py       which dead letters go back, and as what
  redrive.py             back they go
  billed.py              what receipts call accepted, and how far back
  replay_rules.py        which records of a range are sent again, and as what
  replay.py              again they go
  pace.py                a rate limit
settings/              what can be set
  options.py             every option
  sources.py             file and environment
  checks.py              combinations that cannot work
  load.py                settings, or every fault at once
daemon.py              everything is built here, and only here
cli/                   the commands, a module each
  run.py                 meter run
  check_config.py        meter check-config
  send.py                meter send
  event_lines.py         which lines of a file can be billed
  event_producer.py      lines into the topic
  status.py              meter status
  status_page.py         its page
  limits.py              meter limits
  call.py                meter call
  mcp_endpoint.py        an MCP endpoint, asked with the official client
  tool_arguments.py      what a tool is given
  tool_page.py           what it says
  dead_letters.py        meter dead-letters
  dead_letter_topic.py   how dead letters are shown
  letter_filter.py       which of them are meant
  redrive.py             meter dead-letters redrive
  letter_sender.py       sends and notes down
  park.py                meter dead-letters park
  replay.py              meter replay
  audit.py               meter audit
  explain.py             meter explain
  moments.py             --from and --to
  printable.py           what others have written, shown without harm
  sending.py             --dry-run and --per-second, and what to do after Ctrl-C
  output.py              an answer, as JSON or in words
  progress.py            bars on stderr
  looking_back.py        topics as they are kept, with a bar
  kafka.py               meter kafka
  sandbox.py             meter sandbox
  demo.py                meter demo
  configuration.py       which configuration a command works with
  running.py             asks the running daemon
  broker.py              a Kafka client for the duration of one command
__main__.py            python -m meter
sandbox/               the provider in a box; imports nothing from the rest
  rest/                  how it talks
    calls.py               one request, one answer
    errors.py              error bodies
    shapes.py              how bodies are checked
    paging.py              pages of lists
    authentication.py      who calls
    references.py          references as the provider makes them
    timestamps.py          which timestamps it takes
  bookkeeping/           what it knows, as values, and the sums over them
    entries.py             customers, products, plans, purchases and payments
    usages.py              what a usage event may be
    ledger.py              every change of a customer's credits is a row
    periods.py             where billing periods begin and end
    counting.py            what allowances count
    payments.py            what was paid for
    books.py               payments, and the sums over them
  webhooks/              who is told of it
    events.py              what a change of purchases and credits is announced as
    entry_events.py        what else is announced
    open_debits.py         what of it can be added up
    outbox.py              what is still to be delivered
    retries.py             when it is sent
    signing.py             how it proves where it comes from
    delivery.py            sends it
    samples.py             one of each
    endpoints.py           where to, over REST
    controls.py            what became of it
  knobs.py               guesses where nobody knows, and how to change them
  store.py               SQLite, one transaction a call
  catalogue.py           all entries, in memory and in the store
  sales/                 what is sold to whom
    customers.py           customers over REST
    credits.py             credits over REST
    products.py            products over REST
    plans.py               plans over REST
    mcp_products.py        products that sell the tools of an MCP server
    new_purchases.py       how a purchase begins
    purchases.py           purchases over REST
    renewals.py            how they go on, period by period
    jobs.py                what time alone does to them
    sessions.py            checkout and customer sessions over REST
    activation.py          puts a customer on a plan
    checkout.py            what happens when a customer has paid
    intents.py             payments that are announced, and what they pay for
    refunds.py             gives money back
    transactions.py        statistics, and what a product has earned
    merchant.py            who sells
  usage/                 what customers use of it
    debits.py              what usage costs in credits
    recording.py           keeps each event once, and says what it cost
    limits.py              counts allowances down
    user_info.py           what an account page wants to know
    meter_events.py        measurements that nobody bills
  pages/                 for people
    markup.py              HTML made of elements, escaped in one place
    session_pages.py       the pages behind the links of sessions
    listings.py            the tables of the page at /
    overview.py            the page itself
  faults/                failing on purpose
    fault_list.py          which faults are on
    striker.py             answers as a fault says
    connections.py         answers that are none, and clients that are gone
  routes.py              which of the provider's paths leads where
  description/           the routes, described
    schemas.py             words for JSON Schemas
    requests.py            what they take
    answers.py             what they answer
    operations.py          both, operation by operation
    openapi.py             /openapi.json, made of them
  mcp/                   the provider's tools
    parameters.py          what tools take, and how clients are told
    tools.py               the thirteen, as data
    arguments.py           arguments become the request of a route
    envelope.py            answers become results
    routes.py              which route answers which tool
    server.py              the tools as a server
    http.py                /mcp
    stdio.py               stdin and stdout
  demo_data/             the world of the provider's examples
    world.py               who and what is in it
    sales.py               what was sold there
  mishaps.py             refused cards and overdue purchases
  controls.py            /sandbox/...
  app.py                 the whole as one application
  server.py              serves it, with connections that can be reset
localkafka/            Apache Kafka on this machine
  broker.py              one node: its start, its end, its violent end
  properties.py          how it is set up
  jars.py                where its program is kept
  download.py            where it comes from
  process.py             a child that cannot outlive us
  keeper.py              sees to that
  probe.py               when it is ready
  ports.py               which ports it gets
demo/                  everything at once, killed halfway, and the books checked
  demo.py                the story
  usage.py               what happened at a product service
  dialects.py            how services tell of it
  faults.py              records that can never be billed
  events.py              the stream, and what must become of it
  expectation.py         what the books must say
  processes.py           broker, sandbox and meter as processes
  provider.py            the sandbox from outside
  topics.py              the topics from outside
  producer.py            sends at an even pace
  watch.py               looks on, as operators and services do
  evidence.py            what is found at the end
  reconciliation.py      the verdict
  audit.py               meter audit, beside it
  screen.py              what is shown
  table.py               the table at the end
"""

__version__ = "0.1.0"
