// What pages take from the cluster's report.

export const toneOf = (state) => ({ healthy: "ok", up: "ok", degraded: "warn", starting: "busy", stopping: "busy", stopped: "bad", dead: "bad", down: "bad", unreachable: "bad", failing: "bad" })[state] ?? "";

export const devicesOf = (report) => report.nodes.flatMap((node) => node.devices.map((device) => ({ ...device, node: node.node, zone: node.zone, region: node.region })));

export function lackingOf(device) {
  const found = [device.health.replicas_lacking, device.health.databases_lacking, device.health.chunks_lacking];
  return found.some((each) => each === null || each === undefined) ? null : found.reduce((sum, each) => sum + each, 0);
}

export function summary(report) {
  const devices = devicesOf(report), systems = new Map();
  for (const { id, capacity } of devices) if (capacity.total_bytes) systems.set(capacity.file_system ?? `device ${id}`, capacity);
  const sum = (of) => [...systems.values()].reduce((total, each) => total + of(each), 0);
  const lacks = devices.map(lackingOf), services = [...report.proxies, ...report.gateways, ...report.services];
  const size = sum((each) => each.total_bytes), free = sum((each) => each.free_bytes);
  return {
    state: report.state, sentence: report.sentence, problems: report.problems, change: report.rings?.change,
    nodes: report.nodes.length, nodesUp: report.nodes.filter((each) => each.state === "up").length,
    lacking: lacks.includes(null) ? null : lacks.reduce((total, each) => total + each, 0),
    fileSystems: systems.size, size, free: round(free), used: round(size - free), usedRatio: size ? Math.round((1 - free / size) * 1000) / 1000 : 0,
    room: round(free / (report.ring?.replicas || 3)),
    services: services.length, servicesUp: services.filter((each) => each.state === "up").length,
    servicesWaiting: services.filter((each) => each.state !== "up").map((each) => each.name),
  };
}

// so that a page is not made anew for every block that is written
const round = (count) => (count > 1e8 ? Math.round(count / 1e8) * 1e8 : count);
