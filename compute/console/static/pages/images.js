// Images to make volumes and instances of.

import { h, swap } from "../lib/dom.js";
import { bytes, moment, percent } from "../lib/format.js";
import { upload } from "../lib/http.js";
import { live } from "../lib/live.js";
import { ask, badge, button, confirm, empty, heading, menu, notice, table, toast } from "../lib/parts.js";

const TONES = { active: "ok", killed: "bad", deactivated: "warn" };
const FORMATS = ["qcow2", "raw", "vmdk", "vdi", "vhd", "iso"];
const nameOf = (each) => each.name || each.id.slice(0, 8);

export function imagesPage({ page, session, signal }) {
  let said = "";
  const again = live(signal, 10000, async () => {
    try {
      const { images } = await session.ask("image", "/v2/images?limit=200&sort=created_at:desc", { signal });
      const now = JSON.stringify(images);
      if (now !== said) render(images);
      said = now;
      if (images.some((each) => /ing$/.test(each.status))) setTimeout(() => again(), 1500);
    } catch (problem) {
      if (problem.name !== "AbortError") { swap(page, heading("Images"), notice(problem)); said = ""; }
      throw problem;
    }
  });

  function create() {
    const bar = h("progress", { max: "1", value: "0", "aria-label": "Upload", hidden: true }), told = h("p", { class: "small muted number" });
    ask({
      title: "New image", submit: "Upload image", about: "A disk image of an operating system. It is inspected on its way, and made into a volume once, so that guests begin at once.",
      body: h("div", {}, bar, told),
      fields: [{ name: "file", label: "File", type: "file", required: true }, { name: "name", label: "Name", placeholder: "that of the file" }, { name: "format", label: "Format", options: [["", "by the file’s name"], ...FORMATS.map((each) => [each, each])] }],
      act: async ({ file, name, format }, dialog) => {
        if (!file) throw new Error("Choose a file.");
        const byName = /\.(qcow2|vmdk|vdi|vhd|iso)$/i.exec(file.name)?.[1].toLowerCase() ?? "raw";
        const image = await session.ask("image", "/v2/images", { method: "POST", body: { name: name || file.name.replace(/\.[^.]+$/, ""), disk_format: format || byName, container_format: "bare" } });
        const stop = new AbortController();
        dialog.addEventListener("close", () => stop.abort(), { once: true });
        bar.hidden = false;
        try {
          await upload(`/api/image/v2/images/${image.id}/file`, { headers: { "x-auth-token": session.token, "content-type": "application/octet-stream" }, body: file, signal: stop.signal,
            progress: (sent) => { bar.value = file.size ? sent / file.size : 1; told.textContent = sent >= file.size ? "being stored …" : `${percent(sent / file.size)} of ${bytes(file.size)}`; } });
        } catch (problem) {
          await session.ask("image", `/v2/images/${image.id}`, { method: "DELETE" }).catch(() => {});
          throw problem;
        } finally {
          again();
        }
        toast(`“${image.name}” is here.`);
      },
    });
  }

  const remove = (image) => confirm(`Delete “${nameOf(image)}”?`, "Volumes and instances that were made of it stay.", "Delete image", async () => {
    await session.ask("image", `/v2/images/${image.id}`, { method: "DELETE" });
    toast("Deleted.");
    again();
  });

  function render(images) {
    swap(page, heading("Images", "What volumes and instances are made of.", button("New image", { symbol: "plus", kind: "primary", onclick: create, key: "new" })),
      h("section", { class: "card flush" }, images.length === 0
        ? empty("image", "No image yet", "Distributions offer cloud images, as qcow2 files of a few hundred megabytes. Upload one, then make a volume or an instance of it.", button("Upload the first", { symbol: "up", kind: "primary", onclick: create }))
        : table([
          { title: "Name", kind: "name", of: (each) => h("span", { title: each.id }, nameOf(each)) },
          { title: "State", of: (each) => badge(each.status, TONES[each.status] ?? "busy") },
          { title: "Format", of: (each) => each.disk_format ?? "–" },
          { title: "Size", kind: "number right", of: (each) => bytes(each.size) },
          { title: "Seen by", label: "seen by", of: (each) => ({ public: "everybody", private: "the project", shared: "the project, and whom it is shared with", community: "whoever knows it" })[each.visibility] },
          { title: "Made", kind: "number", of: (each) => moment(each.created_at) },
          { title: "Actions", plain: true, kind: "tools", of: (each) => (each.owner === session.project || session.admin ? menu(`Actions for ${nameOf(each)}`, [["Delete", "trash", () => remove(each), "danger"]]) : "") },
        ], images, { caption: "Images" })));
  }
}
