// Nodes and their devices: state, fill, what they lack; and the other processes.

import { h, swap, words } from "../lib/dom.js";
import { ago, bytes, percent, plural } from "../lib/format.js";
import { live } from "../lib/live.js";
import { badge, heading, meter, notice, table } from "../lib/parts.js";
import { lackingOf, toneOf } from "./cluster.js";

export function nodesPage({ page, session, signal }) {
  let said = "";
  live(signal, 3000, async () => {
    try {
      const report = await session.own("/api/cluster", signal);
      const now = JSON.stringify([report.nodes.map((node) => [node.state, node.devices.map((each) => [each.state, Math.round(each.capacity.used_bytes / 2e7), lackingOf(each), each.health.health, each.pid])]), report.services.map((each) => each.state), report.proxies.map((each) => each.state), report.gateways.map((each) => each.state), report.problems]);
      if (now !== said) swap(page, nodes(report));
      said = now;
    } catch (problem) {
      if (problem.name !== "AbortError") swap(page, heading("Nodes"), notice(problem));
      said = "";
      throw problem;
    }
  });
}

function nodes(report) {
  const others = [...report.proxies, ...report.gateways, ...report.services];
  return [
    heading("Nodes and devices", "A node is a storage host, a device one of its disks. Every object is on devices of different nodes, in different zones where there are enough."),
    report.problems.length > 0 && h("div", {}, report.problems.map((each) => notice({ message: each.what, advice: [each.doing && `Being done: ${each.doing}.`, each.advice && `You can: ${each.advice}.`].filter(Boolean).join(" ") }, "warn"))),
    h("div", { class: "grid wide" }, report.nodes.map(nodeCard)),
    h("section", { class: "card flush" }, h("h2", {}, "Other processes"), table([
      { title: "Process", kind: "name", of: (each) => each.name },
      { title: "State", of: (each) => badge(each.state, toneOf(each.state)) },
      { title: "Memory", kind: "number", label: "memory", of: (each) => (each.rss_bytes ? bytes(each.rss_bytes) : "–") },
      { title: "Ended by itself", kind: "number", label: "ended by itself", of: (each) => (each.deaths ? `${plural(each.deaths, "time")}; last: ${each.last_exit}` : "never") },
    ], others, { caption: "Proxies, gateways and services" })),
  ];
}

function nodeCard(node) {
  return h("section", { class: "card", "aria-label": `Node ${node.node}`, "data-node": node.node, "data-state": node.state },
    h("div", { class: "node-head" }, h("h2", {}, `Node ${node.node}`), h("span", { class: "small muted" }, `zone ${node.zone}, region ${node.region}`), badge(node.state, toneOf(node.state))),
    node.devices.map(device));
}

function device(each) {
  const { capacity, ring, health } = each, lacking = lackingOf(each);
  const ratio = capacity.total_bytes ? 1 - capacity.free_bytes / capacity.total_bytes : 0;
  const told = [
    ring.share,
    each.state === "up" && lacking === null && "comparing itself with its peers",
    lacking > 0 && `${plural(lacking, "version")} it missed, being fetched`,
    lacking === 0 && "has all it should have",
    health.quarantined > 0 && `${health.quarantined} damaged, being healed`,
    health.membership?.state === "rebuilding" && "rebuilding",
    health.standing_in?.partitions > 0 && `stands in for ${plural(health.standing_in.partitions, "partition")} of others`,
  ].filter(Boolean);
  return h("div", { class: "device" },
    h("h3", {}, `Device ${each.id}`), badge(health.health?.condition && health.health.condition !== "ok" ? health.health.condition : each.state, health.health?.condition && health.health.condition !== "ok" ? "warn" : toneOf(each.state)),
    meter(ratio, `${percent(ratio)} of the file system used`),
    h("p", { class: "small muted" }, capacity.total_bytes ? `${bytes(capacity.free_bytes)} free of ${bytes(capacity.total_bytes)}` : "its file system cannot be read"),
    h("p", { class: "small" }, told.join(" · ")),
    h("p", { class: "small muted" }, each.pid ? `process ${each.pid}, ${each.since ? `for ${ago(each.since)}, ` : ""}${bytes(each.rss_bytes)} of memory` : "no process"),
    health.health?.reason && h("p", { class: "small" }, words(`${health.health.reason}. ${health.health.advice ?? ""}`)));
}
