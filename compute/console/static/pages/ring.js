// The ring, drawn: zones inside, then nodes, then devices; an arc is as long as the share of the partitions it holds.

import { h, s, swap } from "../lib/dom.js";
import { count, percent } from "../lib/format.js";
import { live } from "../lib/live.js";
import { badge, heading, loading, notice, table } from "../lib/parts.js";
import { devicesOf, toneOf } from "./cluster.js";

const LEVELS = { zone: [92, 126], node: [130, 168], device: [172, 214] };

export function ringPage({ page, session, signal }) {
  let said = "";
  live(signal, 5000, async () => {
    try {
      const report = await session.own("/api/cluster", signal);
      const now = JSON.stringify([report.ring, report.rings, devicesOf(report).map((each) => [each.state, each.ring])]);
      if (now !== said) swap(page, drawn(report));
      said = now;
    } catch (problem) {
      if (problem.name !== "AbortError") swap(page, heading("Ring"), notice(problem));
      throw problem;
    }
  });
}

function drawn(report) {
  const title = heading("The ring", "Every name belongs to a partition, and every partition to devices as far apart as there are. Inside: zones; then nodes; outside: devices. Arcs are as long as their share.");
  if (!report.ring || report.ring.failure) return [title, notice(report.ring?.failure ?? "The rings cannot be read.")];
  const held = report.ring.held, total = Object.values(held).reduce((sum, each) => sum + each, 0);
  const devices = devicesOf(report).map((each) => ({ ...each, held: held[each.id] ?? 0, coming: report.ring.coming?.[each.id] }))
    .sort((a, b) => a.region - b.region || a.zone - b.zone || String(a.node).localeCompare(String(b.node), "en", { numeric: true }) || a.id - b.id);
  const zones = [...new Set(devices.map((each) => `${each.region}/${each.zone}`))];
  const colour = (each) => `var(--zone-${(zones.indexOf(`${each.region}/${each.zone}`) % 6) + 1})`;
  const aside = h("div", { "aria-live": "polite" });
  const tell = (facts) => swap(aside, h("h2", {}, facts.title), h("dl", { class: "facts" }, facts.rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  const whole = { title: "All of it", rows: [["Partitions", count(report.ring.partitions)], ["Replicas", String(report.ring.replicas)], ["Zones", String(zones.length)], ["Nodes", String(report.nodes.length)], ["Devices", String(devices.length)], ["Version", String(report.rings.version)], ["Change", report.rings.change ? report.rings.change.note : "none is under way"]] };
  tell(whole);
  const arcs = ["zone", "node", "device"].flatMap((level) => groups(level, devices).map((group) => arc(level, group, total, colour, tell, whole)));
  return [title,
    h("section", { class: "card ring-view" },
      s("svg", { class: "ring", viewBox: "-224 -224 448 448", role: "group", "aria-label": "The ring by zones, nodes and devices" }, arcs,
        s("text", { class: "big", y: "-2" }, count(report.ring.partitions)), s("text", { class: "fine", y: "20" }, `partitions × ${report.ring.replicas}`)),
      aside),
    h("section", { class: "card flush" }, h("h2", {}, "Devices in the ring"), table([
      { title: "Device", kind: "name", of: (each) => h("span", {}, h("i", { class: "swatch", style: { background: colour(each) } }), `Device ${each.id}`) },
      { title: "Where", of: (each) => `node ${each.node}, zone ${each.zone}` },
      { title: "State", of: (each) => badge(each.state, toneOf(each.state)) },
      { title: "Weight", kind: "number right", label: "weight", of: (each) => String(each.ring.weight ?? "–") },
      { title: "Partitions", kind: "number right", label: "partitions", of: (each) => count(each.held) },
      { title: "Share", kind: "number right", label: "share", of: (each) => percent(each.held / total, 1) },
    ], devices, { caption: "Devices in the ring" }))];
}

function groups(level, devices) {
  const key = { zone: (each) => `${each.region}/${each.zone}`, node: (each) => each.node, device: (each) => each.id }[level];
  const found = [];
  let at = 0;
  for (const device of devices) {
    const last = found.at(-1);
    if (last && last.key === key(device)) { last.devices.push(device); last.end += device.held; }
    else found.push({ key: key(device), devices: [device], start: at, end: at + device.held });
    at += device.held;
  }
  return found.filter((each) => each.end > each.start);
}

function arc(level, group, total, colour, tell, whole) {
  const [inner, outer] = LEVELS[level], [first] = group.devices;
  const from = (group.start / total) * 2 * Math.PI - Math.PI / 2, to = (group.end / total) * 2 * Math.PI - Math.PI / 2;
  const share = (group.end - group.start) / total, away = group.devices.every((each) => each.state !== "up");
  const title = { zone: `Zone ${first.zone}`, node: `Node ${first.node}`, device: `Device ${first.id}` }[level];
  const rows = [["Share", percent(share, 1)], ["Partitions", count(group.end - group.start)]];
  if (level !== "zone") rows.push(["Zone", `${first.zone} of region ${first.region}`]);
  if (level === "device") rows.push(["Node", first.node], ["Weight", String(first.ring.weight ?? "–")], ["Role", first.ring.role ?? "–"]);
  rows.push(["State", away ? h("span", {}, badge(first.state, toneOf(first.state))) : badge("up", "ok")], ["Devices", group.devices.map((each) => each.id).join(", ")]);
  const facts = { title, rows };
  const shape = s("path", {
    class: `arc ${away ? "away" : ""}`, d: shapeOf(inner, outer, from, to), fill: colour(first), "fill-opacity": { zone: ".55", node: ".78", device: "1" }[level],
    tabindex: "0", role: "img", "aria-label": `${title}: ${percent(share, 1)} of the data${away ? ", away" : ""}`,
    onmouseenter: () => tell(facts), onfocus: () => tell(facts), onmouseleave: () => tell(whole), onblur: () => tell(whole),
  }, s("title", {}, `${title}: ${percent(share, 1)}`));
  if (share < 0.04) return [shape];
  const middle = (from + to) / 2, radius = (inner + outer) / 2;
  const short = { zone: `z${first.zone}`, node: `n${first.node}`, device: `d${first.id}` }[level];
  return [shape, s("text", { class: `label ${away || level === "zone" ? "dark" : ""}`, x: radius * Math.cos(middle), y: radius * Math.sin(middle) + 4, "aria-hidden": "true" }, short)];
}

function shapeOf(inner, outer, from, to) {
  if (to - from >= 2 * Math.PI - 1e-6) to = from + 2 * Math.PI - 1e-3; // one has all: an arc cannot end where it begins
  const point = (radius, angle) => `${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`;
  const long = to - from > Math.PI ? 1 : 0;
  return `M${point(inner, from)}L${point(outer, from)}A${outer} ${outer} 0 ${long} 1 ${point(outer, to)}L${point(inner, to)}A${inner} ${inner} 0 ${long} 0 ${point(inner, from)}Z`;
}
