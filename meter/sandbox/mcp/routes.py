"""Which route answers which tool: its twin in REST, but for what MCP alone has."""

from collections.abc import Sequence

from meter.sandbox.catalogue import Catalogue
from meter.sandbox.faults.striker import Route
from meter.sandbox.knobs import Knobs
from meter.sandbox.mcp.tools import tools
from meter.sandbox.routes import Entry
from meter.sandbox.sales.customers import Customers
from meter.sandbox.sales.purchases import Purchases
from meter.sandbox.sales.refunds import Refunds
from meter.sandbox.sales.sessions import Sessions
from meter.sandbox.sales.transactions import Transactions
from meter.sandbox.store import Store
from meter.sandbox.usage.limits import Limits


def tool_routes(entries: Sequence[Entry], store: Store, catalogue: Catalogue, knobs: Knobs) -> dict[str, Route]:
    """A route for each tool, by its name; `entries` are those of REST."""
    twins = {(method, path): route for method, path, route in entries}
    purchases = Purchases(store, catalogue)
    limits = Limits(store, catalogue, Sessions(catalogue, purchases), knobs.unlimited_remaining)
    transactions = Transactions(catalogue)
    return {
        **{tool.name: twins[tool.twin] for tool in tools() if tool.twin is not None},
        "ensure_customer": Route(Customers(catalogue, purchases).ensure),
        "check_limits": Route(limits.check_in_full),
        "get_transaction_stats": Route(transactions.stats),
        "get_product_balance": Route(transactions.balance),
        "create_refund": Route(Refunds(store, catalogue).create),
    }
