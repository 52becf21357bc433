"""A process that is the wiring of one host: it reads documents, a line each, and answers with its warnings.

Started in the network namespace that stands for the host, with a /sys of its own (`test_across_hosts`).
"""

import json
import sys
from pathlib import Path

from compute.agent.wiring.bridge import Bridges
from compute.agent.wiring.names import Names
from compute.agent.wiring.source import Reporter, Source
from compute.agent.wiring.tunnels import FIRST_PORT
from compute.agent.wiring.wanted import Endpoint
from tests.unit.compute.agent.wiring.wanted import MemoryNetworkService


def main() -> None:
    """Bring what each line wants; at the end take all away."""
    directory, address = Path(sys.argv[1]), sys.argv[2]
    names, service = Names.of(str(directory), 0), MemoryNetworkService()
    source = Source(service, directory / "kept.json")
    run = Path("/run") / f"holdfast-{names.mark}"
    wiring = Bridges(names, source, Reporter(service, {}), run, Endpoint(address, FIRST_PORT), sys.argv[3:])
    for line in sys.stdin:
        service.document, service.tag = json.loads(line), service.tag + 1
        source.refresh()
        wiring.bring()
        print(json.dumps(list(wiring.warnings)), flush=True)
    wiring.remove_all()


if __name__ == "__main__":
    main()
