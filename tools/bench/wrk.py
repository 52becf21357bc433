"""Running wrk, and what it says.

wrk (https://github.com/wg/wrk) is a load generator in C whose requests come from a Lua script. One thread
of it fills several cores of ours. Ours is told by arguments where the targets and the body are.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.errors import OperatorError

PROGRAM = "wrk"
ANSWER_TIMEOUT_S = 30
_PATIENCE_S = 60  # for wrk to end, beyond what it was told to take
_RESULT = "RESULT "
_US_PER_S = 1_000_000

# `mode` is "cycle": go over the targets until the time is up; or "once": stop at their end. Then those that are
# under way are not counted, and the time is that from the first request to the last answer.
_SCRIPT = r"""
local targets, count, next_target, headers, body, method, once = {}, 0, 0, {}, nil, nil, false
local rehearsed = false
first_us, last_us = 0, 0

local ffi = require("ffi")
ffi.cdef[[ typedef struct { long s; long us; } moment_t; int gettimeofday(moment_t *, void *); ]]
local moment = ffi.new("moment_t")
local function now_us()
  ffi.C.gettimeofday(moment, nil)
  return tonumber(moment.s) * 1e6 + tonumber(moment.us)
end

function setup(thread) worker = thread end

function init(arguments)
  method = arguments[1]
  for line in io.lines(arguments[2]) do count = count + 1; targets[count] = line end
  headers["Host"] = arguments[4]
  once = arguments[5] == "once"
  if arguments[3] ~= "" then
    local file = io.open(arguments[3], "rb"); body = file:read("*a"); file:close()
    headers["Content-Length"] = tostring(#body)
  end
  if once then response = function() last_us = now_us() end end
end

function request()
  if not rehearsed then  -- wrk looks at one request before it begins, and does not send it
    rehearsed = true
    return wrk.format(method, targets[1], headers, body)
  end
  if next_target == count then
    if once then wrk.thread:stop(); return "" end
    next_target = 0
  end
  if first_us == 0 then first_us = now_us() end
  next_target = next_target + 1
  return wrk.format(method, targets[next_target], headers, body)
end

function done(summary, latency, _requests)
  local duration_us = summary.duration
  local answered_us = worker:get("last_us")
  if answered_us > 0 then duration_us = answered_us - worker:get("first_us") end
  local errors = summary.errors
  io.write(string.format('RESULT {"requests": %d, "refused": %d, "failed": %d, "duration_us": %d, ' ..
    '"p50_us": %d, "p99_us": %d}\n', summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, duration_us,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run found."""

    requests_per_s: float  # of those that were answered well
    p50_ms: float
    p99_ms: float
    error_count: int  # answers of status 400 and above, connections that broke, answers that did not come


@dataclass(frozen=True, slots=True)
class Load:
    """What to send."""

    method: str
    targets: Sequence[str]
    body: bytes | None
    connections: int
    seconds: int
    once: bool = False  # stop after the last target; else go round


def require() -> None:
    """Raise OperatorError when wrk is not installed."""
    if shutil.which(PROGRAM) is None:
        raise OperatorError(
            "bench needs the load generator wrk, which is not installed: `apt-get install wrk` as root installs it"
        )


def run(endpoint: str, host: str, load: Load) -> Sample:
    """Send `load` to `endpoint`. Raise OperatorError when wrk does not say how it went."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as directory:
        command = _command(endpoint, host, load, Path(directory))
        try:
            result = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=load.seconds + _PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise OperatorError(f"wrk did not end: {endpoint} may hang") from error
    return parse(result.stdout, result.stderr)


def _command(endpoint: str, host: str, load: Load, directory: Path) -> list[str]:
    """Write what wrk reads into `directory`; return how it is called."""
    script, targets, body = directory / "script.lua", directory / "targets", directory / "body"
    script.write_text(_SCRIPT)
    targets.write_text("".join(f"{target}\n" for target in load.targets))
    if load.body is not None:
        body.write_bytes(load.body)
    options = ["-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--timeout", f"{ANSWER_TIMEOUT_S}s"]
    arguments = [load.method, str(targets), "" if load.body is None else str(body), host]
    mode = "once" if load.once else "cycle"
    return [PROGRAM, *options, "-s", str(script), endpoint, "--", *arguments, mode]


def parse(output: str, errors: str = "") -> Sample:
    """Return the sample in what wrk printed. Raise OperatorError when there is none."""
    for line in output.splitlines():
        if line.startswith(_RESULT):
            return _sample(json.loads(line.removeprefix(_RESULT)))
    said = (errors.strip() or output.strip() or "nothing").splitlines()[-1]
    raise OperatorError(f"wrk did not measure anything; it said: {said}")


def _sample(found: dict[str, int]) -> Sample:
    answered_well = found["requests"] - found["refused"]
    duration_s = found["duration_us"] / _US_PER_S
    return Sample(
        requests_per_s=answered_well / duration_s if duration_s > 0 else 0.0,
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        error_count=found["refused"] + found["failed"],
    )
