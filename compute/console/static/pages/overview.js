// How it is, in words: of the cluster for administrators, of what one has for all.

import { h, swap, words } from "../lib/dom.js";
import { bytes, count, percent, plural } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { live } from "../lib/live.js";
import { heading, loading, meter, notice, tile } from "../lib/parts.js";
import { storeOf } from "../stores/choice.js";
import { summary, toneOf } from "./cluster.js";

export function overviewPage({ page, session, signal }) {
  const about = h("div", {}), own = h("section", { "aria-label": "What you have" }, loading());
  swap(page, about, own);
  if (session.canSeeCluster) {
    let said = "";
    live(signal, 4000, async () => {
      let report;
      try {
        report = await session.own("/api/cluster", signal);
      } catch (problem) {
        if (problem.name !== "AbortError") swap(about, heading("Overview"), notice(problem));
        throw problem;
      }
      const now = JSON.stringify(summary(report));
      if (now !== said) swap(about, cluster(report));
      said = now;
    });
  } else swap(about, heading(`Hello, ${session.name}`, "What you keep in this cluster, at a glance."));
  live(signal, 20000, async () => swap(own, await yours(session, signal)));
}

const TITLES = { healthy: "All is well", degraded: "Something is amiss, and the cluster serves", down: "The cluster is down" };

function cluster(report) {
  const known = summary(report);
  const tone = toneOf(report.state);
  const [first, ...rest] = report.sentence.split("\n");
  return h("div", { class: "page" },
    h("section", { class: `card hero ${tone}`, "aria-label": "Health" }, h("div", { class: "glyph" }, icon(tone === "ok" ? "check" : "warn")),
      h("div", {}, h("div", { class: "eyebrow" }, "Health"), h("h1", { id: "health", "data-state": report.state }, TITLES[report.state] ?? report.state), h("p", {}, words(first.replace(/^The cluster is healthy: all/, "All").replace(/^The cluster is (degraded, and serves|down: )\.? ?/, ""))),
        rest.map((line) => h("p", { class: "muted" }, words(line))))),
    h("div", { class: "grid tiles" },
      tile("Nodes", `${known.nodesUp} of ${known.nodes}`, known.nodesUp === known.nodes ? "all serve" : `${known.nodes - known.nodesUp} away or not whole`, "nodes"),
      tile("To be repaired", known.lacking === null ? "comparing" : count(known.lacking), known.lacking ? "versions that some replica missed; they are being fetched" : known.lacking === 0 ? "every replica has all it should have" : "not every peer can be asked", "repair"),
      tile("Room for data", bytes(known.room), `of ${bytes(known.size)} on ${plural(known.fileSystems, "file system")}, at ${report.ring?.replicas ?? 3} replicas`, "disk"),
      tile("Services", `${known.servicesUp} of ${known.services}`, known.servicesWaiting.length ? `waiting: ${known.servicesWaiting.join(", ")}` : "all answer", "server")),
    h("section", { class: "card" }, h("h2", {}, "Capacity"), h("div", {}, meter(known.usedRatio, `${percent(known.usedRatio)} of the file systems used`),
      h("p", { class: "small muted" }, `${bytes(known.used)} of ${bytes(known.size)} used, ${bytes(known.free)} free. Everything is kept ${report.ring?.replicas ?? 3} times, so about ${bytes(known.room)} more of your data fit.`))),
    report.rings?.change && h("section", { class: "card busy" }, h("h2", {}, "The ring is changing"), h("p", {}, `${report.rings.change.note}: ${report.rings.change.stage_in_words}.`), meter(report.rings.change.done_ratio, "copied", "busy")),
    report.problems.length > 0 && h("section", { class: "card" }, h("h2", {}, "What is being done, and what you can do"), h("ul", { class: "problems" },
      report.problems.map((each) => h("li", {}, h("strong", {}, words(each.what)), each.doing && h("span", {}, words(`Being done: ${each.doing}`)), each.advice && h("span", { class: "muted" }, words(`You can: ${each.advice}`)))))));
}

async function yours(session, signal) {
  const tiles = [];
  const tell = async (label, symbol, href, look) => {
    try {
      const [value, note] = await look();
      tiles.push(h("a", { href, class: "card", style: { "text-decoration": "none", color: "inherit" } }, h("dl", { class: "tile" }, h("dt", {}, icon(symbol), label), h("dd", {}, value, h("small", {}, note)))));
    } catch (problem) {
      if (problem.name === "AbortError") throw problem;
      tiles.push(h("a", { href, class: "card", style: { "text-decoration": "none", color: "inherit" } }, h("dl", { class: "tile" }, h("dt", {}, icon(symbol), label), h("dd", {}, "–", h("small", {}, problem.message)))));
    }
  };
  await tell("Buckets", "bucket", "#/buckets", async () => {
    const buckets = await storeOf(session).buckets(signal);
    const known = buckets.filter((each) => each.bytes !== undefined);
    return [count(buckets.length), known.length ? `${bytes(known.reduce((sum, each) => sum + each.bytes, 0))} in ${plural(known.reduce((sum, each) => sum + each.count, 0), "object")}` : "of your account"];
  });
  if (session.has("volume")) await tell("Volumes", "volume", "#/volumes", async () => {
    const { volumes } = await session.ask("volume", `/v3/${session.project}/volumes/detail`, { signal });
    return [count(volumes.length), `${count(volumes.reduce((sum, each) => sum + each.size, 0))} GiB in all`];
  });
  if (session.has("image")) await tell("Images", "image", "#/images", async () => {
    const { images } = await session.ask("image", "/v2/images?limit=100", { signal });
    return [`${count(images.length)}${images.length === 100 ? "+" : ""}`, "to make volumes of"];
  });
  if (session.has("compute")) await tell("Instances", "server", "#/instances", async () => {
    const { servers } = await session.ask("compute", "/v2.1/servers/detail", { signal });
    return [count(servers.length), `${count(servers.filter((each) => each.status === "ACTIVE").length)} running`];
  });
  return h("div", { class: "page" }, h("h2", {}, "What you have"), h("div", { class: "grid tiles" }, tiles));
}
