// One bucket: folders and objects, a page at a time; upload, look, download, share, delete.

import { announce, h, swap } from "../lib/dom.js";
import { bytes, moment, plural } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { live } from "../lib/live.js";
import { ask, button, confirm, copyable, empty, heading, iconButton, menu, notice, show as showDialog, table, toast } from "../lib/parts.js";
import { storeOf } from "../stores/choice.js";
import { begin, filesOf, uploadsOf } from "./uploads.js";

const PAGE = 100;
const PREVIEW = 64 * 1024; // bytes of a text
const IMAGE_LIMIT = 24 * 1024 * 1024;
const IMAGES = /\.(png|jpe?g|gif|webp|avif|bmp)$/i;
const TEXTS = /\.(txt|md|rst|log|csv|tsv|json|ya?ml|toml|ini|conf|cfg|xml|html?|css|m?js|ts|py|rs|go|c|h|cpp|java|sh|sql|svg)$/i;
const SECONDS = [[3600, "1 hour"], [86400, "1 day"], [3 * 86400, "3 days"], [7 * 86400, "7 days"]];

export function objectsPage({ page, session, rest, signal }) {
  const [bucket, ...folders] = rest;
  const prefix = folders.length ? `${folders.filter(Boolean).join("/")}/` : "";
  const store = storeOf(session), chosen = new Set();
  const pages = [undefined]; // where each page before this one began
  const listing = h("section", { class: "card flush" }), tools = h("div", { class: "buttons" }), paging = h("div", { class: "buttons" });
  let said = "", found = null;

  const input = h("input", { type: "file", multiple: true, class: "visually-hidden", id: "files", tabindex: "-1", "aria-label": "Files to upload", onchange: () => {
    begin(store, bucket, prefix, [...input.files].map((file) => ({ file, path: file.name })));
    input.value = "";
  } });
  const drop = h("div", { class: "drop" }, icon("up"), h("span", {}, "Drop files or folders here, or"), button("choose files", { small: true, onclick: () => input.click(), key: "choose" }), input);
  const uploads = h("section", { class: "card", hidden: true }, h("h2", {}, "On their way"), uploadsOf(bucket, signal, () => again()));
  let inside = 0;
  const over = (event, step) => { event.preventDefault(); inside += step; drop.classList.toggle("over", inside > 0); };
  page.addEventListener("dragenter", (event) => over(event, 1), { signal });
  page.addEventListener("dragleave", (event) => over(event, -1), { signal });
  page.addEventListener("dragover", (event) => event.preventDefault(), { signal });
  page.addEventListener("drop", async (event) => {
    event.preventDefault();
    inside = 0;
    drop.classList.remove("over");
    begin(store, bucket, prefix, await filesOf(event.dataTransfer));
  }, { signal });

  const crumb = (name, parts, last) => h("li", {}, last ? h("span", { "aria-current": "page" }, name) : h("a", { href: linkTo(bucket, parts) }, name));
  swap(page, heading(folders.length ? folders.at(-1) : bucket, null, button("New folder", { symbol: "folder", onclick: newFolder }), button("Upload", { symbol: "up", kind: "primary", onclick: () => input.click(), key: "upload" })),
    h("nav", { "aria-label": "Where this is" }, h("ol", { class: "crumbs" }, h("li", {}, h("a", { href: "#/buckets" }, "Buckets")), crumb(bucket, [], folders.length === 0),
      folders.map((name, at) => crumb(name, folders.slice(0, at + 1), at === folders.length - 1)))),
    drop, uploads, tools, listing, paging);

  const again = live(signal, 10000, async () => {
    try {
      found = await store.list(bucket, { prefix, after: pages.at(-1), limit: PAGE, signal });
    } catch (problem) {
      if (problem.name !== "AbortError") { swap(listing, notice(problem)); said = ""; }
      throw problem;
    }
    const now = JSON.stringify(found);
    if (now !== said) render();
    said = now;
  });

  function newFolder() {
    ask({ title: "New folder", about: "Folders are parts of names: one is there while something is in it. It is opened here, to be filled.", submit: "Open",
      fields: [{ name: "name", label: "Name", required: true, pattern: "[^\\/]+" }], act: ({ name }) => { location.hash = linkTo(bucket, [...folders, name]); } });
  }

  function render() {
    const objects = found.objects.filter((each) => each.key !== prefix);
    const known = new Set([...found.folders, ...objects.map((each) => each.key)]);
    for (const key of chosen) if (!known.has(key)) chosen.delete(key);
    const rows = [...found.folders.map((folder) => ({ folder, key: folder })), ...objects];
    if (rows.length === 0 && pages.length === 1) {
      swap(listing, empty("up", prefix ? "Nothing in this folder" : "This bucket is empty", "Drag files here, or choose them. Large ones go in parts, several at a time, and each shows how far it is."));
    } else {
      swap(listing, table([
        { title: "Choose", plain: true, kind: "check", of: (each) => box(each) },
        { title: "Name", kind: "name", of: (each) => (each.folder
          ? h("a", { href: linkTo(bucket, [...folders, nameOf(each.key)]), "data-key": each.key }, icon("folder"), nameOf(each.key))
          : h("button", { type: "button", "data-key": each.key, onclick: () => preview(each) }, icon(IMAGES.test(each.key) ? "picture" : "file"), nameOf(each.key))) },
        { title: "Size", kind: "number right", of: (each) => (each.folder ? "" : bytes(each.size)) },
        { title: "Changed", kind: "number", of: (each) => (each.folder ? "" : moment(each.modified)) },
        { title: "Actions", plain: true, kind: "tools", of: (each) => (each.folder ? "" : [
          iconButton(`Download ${nameOf(each.key)}`, "down", () => download(each), { key: `down ${each.key}` }),
          menu(`More for ${nameOf(each.key)}`, [["Look at it", "eye", () => preview(each)], ["Download", "down", () => download(each)], store.canLink && ["Share by link", "link", () => share(each)], ["Delete", "trash", () => remove([each.key]), "danger"]]),
        ]) },
      ], rows, { caption: `Objects in ${bucket}/${prefix}` }));
    }
    swap(paging, pages.length > 1 && button("Page before", { onclick: () => { pages.pop(); again(); }, key: "before" }), found.next && button("Next page", { onclick: () => { pages.push(found.next); again(); }, key: "next" }));
    renderTools(rows);
  }

  function renderTools(rows) {
    const boxes = () => listing.querySelectorAll("input[type=checkbox]");
    const everything = rows.length > 0 && rows.every((each) => chosen.has(each.key));
    swap(tools, rows.length > 1 && button(everything ? "Choose none" : "Choose all", { small: true, key: "all", onclick: () => {
      rows.forEach((each) => (everything ? chosen.delete(each.key) : chosen.add(each.key)));
      boxes().forEach((each) => { each.checked = !everything; });
      renderTools(rows);
    } }), chosen.size > 0 && button(`Delete ${chosen.size}`, { symbol: "trash", small: true, kind: "danger", key: "delete", onclick: () => remove([...chosen]) }));
    tools.hidden = !tools.childElementCount;
  }

  function box(each) {
    return h("input", { type: "checkbox", "aria-label": `Choose ${nameOf(each.key)}`, "data-key": `box ${each.key}`, checked: chosen.has(each.key), onchange: (event) => {
      if (event.target.checked) chosen.add(each.key);
      else chosen.delete(each.key);
      renderTools([...found.folders.map((key) => ({ key })), ...found.objects.filter((object) => object.key !== prefix)]);
    } });
  }

  async function remove(keys) {
    const folderCount = keys.filter((key) => key.endsWith("/")).length;
    const what = keys.length === 1 ? `“${nameOf(keys[0])}”` : plural(keys.length, "item");
    await confirm(`Delete ${what}?`, `${folderCount ? "Folders go with all that is in them. " : ""}This cannot be undone.`, "Delete", async () => {
      const whole = [];
      for (const key of keys) whole.push(...(key.endsWith("/") ? await store.allKeys(bucket, key) : [key]));
      await store.remove(bucket, whole);
      chosen.clear();
      toast(`${plural(whole.length, "object")} deleted.`);
      again();
    });
  }

  async function download(each) {
    try {
      const { url, name, isBlob } = await store.download(bucket, each.key);
      const link = h("a", { href: url, download: name });
      document.body.append(link);
      link.click();
      link.remove();
      if (isBlob) setTimeout(() => URL.revokeObjectURL(url), 60000);
      announce(`${name} is being downloaded`);
    } catch (problem) {
      toast(problem, "bad");
    }
  }

  function share(each) {
    const place = h("div", {});
    ask({
      title: "Share by link", about: `Whoever has the link can read “${nameOf(each.key)}” until it ends, without signing in.`, submit: "Make link", body: place,
      fields: [{ name: "seconds", label: "Good for", options: SECONDS.map(([value, text]) => [String(value), text]), value: "86400" }],
      act: async ({ seconds }) => {
        const link = await store.link(bucket, each.key, Number(seconds));
        const ends = new Date(Date.now() + seconds * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
        showDialog("The link", h("div", { class: "form" }, copyable(link, "The link"), h("p", { class: "small muted" }, `Good until ${ends}. To end it sooner, delete or rename the object${session.isKey ? ", or give the user new keys" : ""}.`)), false);
      },
    });
  }

  async function preview(each) {
    const name = nameOf(each.key), place = h("div", { class: "form" }, h("p", { class: "muted" }, "One moment …"));
    const facts = h("dl", { class: "facts small" }, [["Size", bytes(each.size)], ["Changed", moment(each.modified)], ["ETag", each.etag], each.type && ["Type", each.type]].filter(Boolean).map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
    const tools = h("div", { class: "buttons" }, button("Download", { symbol: "down", onclick: () => download(each) }), store.canLink && button("Share by link", { symbol: "link", onclick: () => share(each) }));
    let address = null;
    const closed = showDialog(name, h("div", { class: "form" }, place, facts, tools));
    closed.then(() => address && URL.revokeObjectURL(address));
    try {
      if (IMAGES.test(name) && each.size <= IMAGE_LIMIT) {
        const blob = await (await store.get(bucket, each.key, null, signal)).blob();
        address = URL.createObjectURL(blob);
        swap(place, h("img", { src: address, alt: name }));
      } else if (TEXTS.test(name) || /^text\/|json|xml/.test(each.type ?? "")) {
        const text = each.size ? await (await store.get(bucket, each.key, `bytes=0-${PREVIEW - 1}`, signal)).text() : "";
        swap(place, h("pre", { class: "log", tabindex: "0" }, text), each.size > PREVIEW && h("p", { class: "small muted" }, `The first ${bytes(PREVIEW)}; download it for the rest.`));
      } else swap(place, h("p", { class: "muted" }, "There is no preview of this kind of object."));
    } catch (problem) {
      swap(place, notice(problem));
    }
  }
}

const nameOf = (key) => key.replace(/\/$/, "").split("/").pop();
const linkTo = (bucket, folders) => `#/buckets/${[bucket, ...folders].map(encodeURIComponent).join("/")}`;
