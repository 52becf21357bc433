// Volumes and their snapshots.

import { h, swap } from "../lib/dom.js";
import { moment } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { live } from "../lib/live.js";
import { ask, badge, button, confirm, empty, heading, menu, notice, table, toast } from "../lib/parts.js";

const VERSION = "volume 3.66";
const TONES = { available: "ok", "in-use": "ok", error: "bad", error_deleting: "bad", error_extending: "bad" };
const BUSY_MS = 1200, QUIET_MS = 10000;
const shortId = (id) => id.slice(0, 8);
const nameOf = (each) => each.name || shortId(each.id);

export function volumesPage({ page, session, signal }) {
  const base = `/v3/${session.project}`;
  const call = (path, options) => session.ask("volume", `${base}${path}`, { version: VERSION, ...options });
  let said = "", found = { volumes: [], snapshots: [], servers: {} };

  const again = live(signal, QUIET_MS, async () => {
    try {
      const [volumes, snapshots] = await Promise.all([call("/volumes/detail", { signal }), call("/snapshots/detail", { signal })]);
      found = { volumes: volumes.volumes, snapshots: snapshots.snapshots, servers: await serverNames(volumes.volumes) };
    } catch (problem) {
      if (problem.name !== "AbortError") { swap(page, heading("Volumes"), notice(problem)); said = ""; }
      throw problem;
    }
    const now = JSON.stringify(found);
    if (now !== said) render();
    said = now;
    if ([...found.volumes, ...found.snapshots].some((each) => /ing$/.test(each.status))) setTimeout(() => again(), BUSY_MS);
  });

  async function serverNames(volumes) {
    if (!session.has("compute") || !volumes.some((each) => each.attachments.length)) return {};
    const known = await session.ask("compute", "/v2.1/servers", { signal }).catch(() => ({ servers: [] }));
    return Object.fromEntries(known.servers.map((each) => [each.id, each.name]));
  }

  // asks for something, then looks
  const does = (told, path, options) => async (values) => {
    const answer = await call(path, typeof options === "function" ? options(values) : options);
    toast(told);
    again();
    return answer ?? true;
  };

  async function create(source = "") {
    const images = session.has("image") ? (await session.ask("image", "/v2/images?limit=100&status=active").catch(() => ({ images: [] }))).images : [];
    const sources = [["", "nothing: an empty disk"], ...found.snapshots.filter((each) => each.status === "available").map((each) => [`snapshot ${each.id}`, `snapshot ${nameOf(each)} (${each.size} GiB)`]),
      ...found.volumes.filter((each) => each.status === "available" || each.status === "in-use").map((each) => [`volume ${each.id}`, `volume ${nameOf(each)} (${each.size} GiB)`]), ...images.map((each) => [`image ${each.id}`, `image ${each.name || shortId(each.id)}`])];
    const least = Number(found.snapshots.find((each) => source === `snapshot ${each.id}`)?.size ?? 1);
    await ask({
      title: "New volume", submit: "Create volume",
      fields: [{ name: "name", label: "Name", maxlength: 255 }, { name: "size", label: "Size in GiB", type: "number", min: 1, required: true, value: String(least), hint: "Only what is written takes room." }, { name: "source", label: "Made of", options: sources, value: source, hint: "A volume of a snapshot, a volume or an image is a clone: it is there at once." }],
      act: ({ name, size, source: chosen }) => {
        const [kind, id] = chosen.split(" ");
        const of = { snapshot: { snapshot_id: id }, volume: { source_volid: id }, image: { imageRef: id } }[kind] ?? {};
        return does(`“${name || "The volume"}” is being made.`, "/volumes", { method: "POST", body: { volume: { name: name || null, size: Number(size), ...of } } })();
      },
    });
  }

  const snapshot = (volume) => ask({ title: `Snapshot of ${nameOf(volume)}`, submit: "Take snapshot", fields: [{ name: "name", label: "Name", value: `${nameOf(volume)}-${new Date().toISOString().slice(0, 10)}` }],
    about: volume.status === "in-use" ? "It is in use: the snapshot is what a power cut now would leave. Flush file systems first if that matters." : "It takes no room until the volume changes.",
    act: does("The snapshot is being taken.", "/snapshots", ({ name }) => ({ method: "POST", body: { snapshot: { volume_id: volume.id, name } } })) });
  const extend = (volume) => ask({ title: `Extend ${nameOf(volume)}`, submit: "Extend", about: "A volume can grow, and never shrink. Its file system is to be grown afterwards.", fields: [{ name: "size", label: "New size in GiB", type: "number", min: volume.size + 1, value: String(volume.size + 1), required: true }],
    act: does("It is being extended.", `/volumes/${volume.id}/action`, ({ size }) => ({ method: "POST", body: { "os-extend": { new_size: Number(size) } } })) });
  const removeVolume = (volume) => confirm(`Delete “${nameOf(volume)}”?`, "What is on it is gone at once. This cannot be undone.", "Delete volume", does("It is being deleted.", `/volumes/${volume.id}`, { method: "DELETE" }));
  const removeSnapshot = (each) => confirm(`Delete snapshot “${nameOf(each)}”?`, "Volumes that were made of it stay.", "Delete snapshot", does("It is being deleted.", `/snapshots/${each.id}`, { method: "DELETE" }));
  const rename = (volume) => ask({ title: "Rename", submit: "Rename", fields: [{ name: "name", label: "Name", value: volume.name ?? "", maxlength: 255 }], act: does("Renamed.", `/volumes/${volume.id}`, ({ name }) => ({ method: "PUT", body: { volume: { name } } })) });

  function render() {
    const byId = new Map(found.volumes.map((each) => [each.id, each]));
    swap(page,
      heading("Volumes", "Disks for guests, kept three times like all else. Snapshots and clones are there at once.", button("New volume", { symbol: "plus", kind: "primary", onclick: () => create(), key: "new" })),
      h("section", { class: "card flush", "aria-label": "Volumes" }, found.volumes.length === 0
        ? empty("volume", "No volume yet", "A volume is a disk: attach it to an instance, or use it from anywhere that speaks NBD. It takes only the room that is written.", button("Make the first", { symbol: "plus", kind: "primary", onclick: () => create() }))
        : table([
          { title: "Name", kind: "name", of: (each) => h("span", { title: each.id }, nameOf(each)) },
          { title: "State", of: (each) => badge(each.status, TONES[each.status] ?? "busy") },
          { title: "Size", kind: "number right", of: (each) => `${each.size} GiB` },
          { title: "Attached to", label: "attached to", of: (each) => each.attachments.map((at) => `${at.server_id ? found.servers[at.server_id] ?? shortId(at.server_id) : at.host_name ?? "a host"}${at.device ? ` as ${at.device}` : ""}`).join(", ") || h("span", { class: "muted" }, "nothing") },
          { title: "Made", kind: "number", of: (each) => moment(each.created_at) },
          { title: "Actions", plain: true, kind: "tools", of: (each) => menu(`Actions for ${nameOf(each)}`, [
            ["Take a snapshot", "camera", () => snapshot(each)], ["Extend", "grow", () => extend(each)], ["Rename", "file", () => rename(each)], ["Clone", "copy", () => create(`volume ${each.id}`)], ["Delete", "trash", () => removeVolume(each), "danger"]]) },
        ], found.volumes, { caption: "Volumes" })),
      h("section", { class: "card flush", "aria-label": "Snapshots" }, h("h2", {}, "Snapshots"), found.snapshots.length === 0
        ? h("p", { class: "muted", style: { padding: "1rem 1.5rem" } }, "None yet. A snapshot is a volume as it was at one moment; take one from a volume’s menu.")
        : table([
          { title: "Name", kind: "name", of: (each) => h("span", { title: each.id }, icon("camera"), " ", nameOf(each)) },
          { title: "State", of: (each) => badge(each.status, TONES[each.status] ?? "busy") },
          { title: "Size", kind: "number right", of: (each) => `${each.size} GiB` },
          { title: "Of", label: "of", of: (each) => (byId.has(each.volume_id) ? nameOf(byId.get(each.volume_id)) : shortId(each.volume_id)) },
          { title: "Taken", kind: "number", of: (each) => moment(each.created_at) },
          { title: "Actions", plain: true, kind: "tools", of: (each) => menu(`Actions for snapshot ${nameOf(each)}`, [["Make a volume of it", "plus", () => create(`snapshot ${each.id}`)], ["Delete", "trash", () => removeSnapshot(each), "danger"]]) },
        ], found.snapshots, { caption: "Snapshots" })));
  }
}
