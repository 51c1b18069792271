"""What a size costs to serve: Algorithm 1, and models of a request's time that need a few
measured sizes instead of all of them.

    algorithm     QPS -> machines -> money
    service_time  a request's time from a few measured sizes
    table         a reader's own table of costs
"""
from lib.cost.algorithm import cost_per_hour, machines_interval, priced, required_machines
from lib.cost.service_time import ServiceTimeModel, load_at_limit, request_work
from lib.cost.table import CostRow, load_costs

__all__ = ["CostRow", "ServiceTimeModel", "cost_per_hour", "load_at_limit", "load_costs",
           "machines_interval", "priced", "request_work", "required_machines"]
