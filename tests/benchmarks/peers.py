"""The same pools in SimPy and in Ciw, as their own documentation would write them."""

import random
from collections.abc import Generator
from time import process_time

import simpy
from cases import SERVICE_S, Case
from timing import Run


def in_simpy(case: Case, requests: int) -> Run:
    """A process for each request, which asks a `simpy.Resource` for a server; it has neither patience nor ticks."""
    random.seed(1)
    env = simpy.Environment()
    responses_s: list[float] = []
    for _ in range(case.pools):
        servers = simpy.Resource(env, case.servers)
        env.process(_arrivals(env, servers, case.rate_per_s, responses_s))
    began_s = process_time()
    env.run(until=case.horizon_s(requests))
    cpu_s = process_time() - began_s
    return Run(len(responses_s), cpu_s, sum(responses_s) / len(responses_s))


def _arrivals(
    env: simpy.Environment, servers: simpy.Resource, rate_per_s: float, responses_s: list[float]
) -> Generator[simpy.Event, None, None]:
    while True:
        yield env.timeout(random.expovariate(rate_per_s))
        env.process(_request(env, servers, responses_s))


def _request(
    env: simpy.Environment, servers: simpy.Resource, responses_s: list[float]
) -> Generator[simpy.Event, None, None]:
    arrival_s = env.now
    with servers.request() as turn:
        yield turn
        yield env.timeout(random.expovariate(1 / SERVICE_S))
    responses_s.append(env.now - arrival_s)


def in_ciw(case: Case, requests: int) -> Run:
    """A node for each pool; the time is without reading the records."""
    import ciw

    ciw.seed(1)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=case.rate_per_s) for _ in range(case.pools)],
        service_distributions=[ciw.dists.Exponential(rate=1 / SERVICE_S) for _ in range(case.pools)],
        number_of_servers=[case.servers] * case.pools,
        routing=[[0.0] * case.pools for _ in range(case.pools)],
    )
    simulation = ciw.Simulation(network)
    began_s = process_time()
    simulation.simulate_until_max_time(case.horizon_s(requests))
    cpu_s = process_time() - began_s
    records = simulation.get_all_records()
    return Run(len(records), cpu_s, sum(r.exit_date - r.arrival_date for r in records) / len(records))
