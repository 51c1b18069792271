"""What a size costs to serve: Algorithm 1, and models of a request's time that need a few
measured sizes instead of all of them.

    algorithm     QPS -> machines -> money
    load          a request's time -> the load at which a latency limit holds
    device        what processors can do at most: T4, one core, this machine
    roofline      a request's time from a device's figures, operator by operator
    published     the roofline of a T4 held against published results
    residual      what measured times differ by from the roofline's
    service_time  a request's time from a few measured sizes: roofline and residual
    search        the best size of a grid from a few measurements
    why           from FLOPs to cost, step by step
    table         a reader's own table of costs
"""
from lib.cost.algorithm import cost_per_hour, machines_interval, priced, required_machines
from lib.cost.device import T4, Device, this_machine
from lib.cost.load import load_at_limit
from lib.cost.roofline import Roofline
from lib.cost.service_time import ServiceTimeModel
from lib.cost.table import CostRow, load_costs

__all__ = ["T4", "CostRow", "Device", "Roofline", "ServiceTimeModel", "cost_per_hour",
           "load_at_limit", "load_costs", "machines_interval", "priced", "required_machines",
           "this_machine"]
