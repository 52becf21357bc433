// Files on their way into buckets: they go on while other pages are shown.

import { announce, h, swap } from "../lib/dom.js";
import { bytes, percent } from "../lib/format.js";
import { iconButton, notice } from "../lib/parts.js";

const AT_ONCE = 2; // files; each of several parts has more requests under way
const all = new Set();
const lookers = new Set();

class Upload {
  constructor(store, bucket, key, file) {
    Object.assign(this, { store, bucket, key, file, sent: 0, state: "waiting", problem: null, began: 0, stop: new AbortController() });
  }

  get ratio() { return this.file.size ? Math.min(1, this.sent / this.file.size) : this.state === "done" ? 1 : 0; }
}

export function begin(store, bucket, prefix, files) {
  for (const { file, path } of files) all.add(new Upload(store, bucket, prefix + path, file));
  next();
  changed();
}

function next() {
  const running = [...all].filter((each) => each.state === "running").length;
  for (const upload of [...all].filter((each) => each.state === "waiting").slice(0, Math.max(0, AT_ONCE - running))) run(upload);
}

async function run(upload) {
  upload.state = "running";
  upload.began = performance.now();
  try {
    await upload.store.put(upload.bucket, upload.key, upload.file, { signal: upload.stop.signal, progress: (sent) => { upload.sent = sent; changed(); } });
    upload.state = "done";
    upload.sent = upload.file.size;
    announce(`${upload.key} is uploaded`);
    setTimeout(() => { all.delete(upload); changed(); }, 4000);
  } catch (problem) {
    upload.state = problem.name === "AbortError" ? "stopped" : "failed";
    upload.problem = problem;
    if (upload.state === "stopped") all.delete(upload);
    else announce(`${upload.key} could not be uploaded`);
  }
  changed(upload.state === "done" ? upload : null);
  next();
}

function changed(done = null) {
  for (const look of lookers) look(done);
}

// The list of a bucket's uploads; `arrived` is called when one is through.
export function uploadsOf(bucket, signal, arrived) {
  const list = h("ul", { class: "uploads", "aria-label": "Uploads" });
  const rows = new Map();
  const look = (done) => {
    const own = [...all].filter((each) => each.bucket === bucket);
    list.parentElement?.toggleAttribute("hidden", own.length === 0);
    for (const [upload, row] of rows) if (!own.includes(upload)) { row.item.remove(); rows.delete(upload); }
    for (const upload of own) {
      if (!rows.has(upload)) { rows.set(upload, rowOf(upload)); list.append(rows.get(upload).item); }
      rows.get(upload).update();
    }
    if (done?.bucket === bucket) arrived();
  };
  lookers.add(look);
  signal.addEventListener("abort", () => lookers.delete(look), { once: true });
  queueMicrotask(look);
  return list;
}

function rowOf(upload) {
  const bar = h("progress", { max: "1", "aria-label": `Upload of ${upload.key}` });
  const told = h("span", { class: "small muted number" }), trouble = h("div", { style: { "grid-column": "1 / -1" } });
  const stop = iconButton(`Stop the upload of ${upload.key}`, "close", () => { upload.stop.abort(); if (upload.state !== "running") { all.delete(upload); changed(); } });
  const item = h("li", { "data-upload": upload.key }, h("span", { class: "clip" }, upload.key), h("span", {}, told, " ", stop), bar, trouble);
  let said = null;
  return {
    item,
    update() {
      bar.value = upload.ratio;
      item.dataset.state = upload.state;
      const seconds = (performance.now() - upload.began) / 1000;
      const rate = upload.state === "running" && seconds > 1 ? `, ${bytes(upload.sent / seconds)}/s` : "";
      told.textContent = { waiting: "waiting", done: "done", failed: "failed" }[upload.state]
        ?? (upload.ratio >= 1 ? "being stored …" : `${percent(upload.ratio)} of ${bytes(upload.file.size)}${rate}`);
      if (upload.problem && said !== upload.problem) swap(trouble, notice((said = upload.problem)));
    },
  };
}

// What was dropped, with folders as paths.
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

async function walk(entry, below, found) {
  if (entry.isFile) {
    found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path: below + entry.name });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const each of some) await walk(each, `${below}${entry.name}/`, found);
  }
}
