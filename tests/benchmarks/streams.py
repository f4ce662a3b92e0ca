"""Many streams at once through the graph's batch dimension, CPU beside GPU, paced: how many a core carries,
where a GPU starts to pay.

    python tests/benchmarks/streams.py [--streams 1,2,4,8,16,32,64] [--seconds 10] [--provider cpu]
        [--provider cuda]

Every stream has its own query and its own state; a step takes a hop of 10 ms of all of them, on one CPU
thread or on the GPU, with the sound copied to it and back. A number of streams is carried while p99 stays
below the hop. Without ``--provider``, all that work here.
"""

import argparse

from marssep_rt.errors import MarssepError
from marssep_rt.model import bundle as bundles
from marssep_rt.model.providers import PROVIDERS, open_graph, time_hops
from marssep_rt.model.stream import GraphInfo
from marssep_rt.utils.benchmark import quantiles


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--streams", default="1,2,4,8,16,32,64")
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--provider", action="append", choices=PROVIDERS)
    given = options.parse_args()
    for provider in given.provider or PROVIDERS:
        try:
            session, used = open_graph(bundles.load(None), provider)
        except MarssepError as e:
            print(f"{provider}: {e}")
            continue
        info = GraphInfo.of(session)
        hop = 1e3 * info.hop / info.sample_rate
        for streams in map(int, given.streams.split(",")):
            s = quantiles(time_hops(session, used, given.seconds, streams))
            print(
                f"{used}, {streams} streams: p50 {s['p50']:.2f} ms ({s['p50'] / streams:.2f} a stream), "
                f"p99 {s['p99']:.2f}, worst {s['worst']:.2f}{'' if s['p99'] < hop else '; too many'}"
            )
            if s["p50"] > 2 * hop:
                break


if __name__ == "__main__":
    main()
