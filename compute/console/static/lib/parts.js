// What pages are put together from.

import { announce, append, h, swap, words } from "./dom.js";
import { icon } from "./icons.js";

export function button(label, options = {}) {
  const { symbol, kind = "", onclick, key, small, ...rest } = options;
  return h("button", { type: "button", class: `button ${kind} ${small ? "small" : ""}`, onclick, "data-key": key, ...rest }, symbol && icon(symbol), label);
}

export function iconButton(label, symbol, onclick, options = {}) {
  return h("button", { type: "button", class: `icon-button ${options.kind ?? ""}`, "aria-label": label, title: label, onclick, "data-key": options.key ?? label }, icon(symbol));
}

export const badge = (text, tone = "") => h("span", { class: `badge ${tone}` }, text);

export function heading(title, about, ...actions) {
  return h("header", { class: "head" }, h("div", {}, h("h1", {}, title), about && h("p", {}, about)), actions.length > 0 && h("div", { class: "actions" }, actions));
}

export function notice(problem, tone = "bad", ...more) {
  const message = problem?.message ?? problem;
  return h("div", { class: `notice ${tone}`, role: tone === "bad" ? "alert" : "status" }, icon(tone === "ok" ? "check" : "warn"),
    h("div", {}, h("p", {}, words(message)), problem?.advice && h("p", { class: "small muted" }, words(problem.advice))), more);
}

export function empty(symbol, title, about, ...more) {
  return h("div", { class: "empty" }, h("div", { class: "glyph" }, icon(symbol)), h("h2", {}, title), h("p", {}, about), more);
}

export const loading = () => h("p", { class: "muted", role: "status" }, "One moment …");

export function tile(label, value, note, symbol) {
  return h("div", { class: "card" }, h("dl", { class: "tile" }, h("dt", {}, symbol && icon(symbol), label), h("dd", {}, value, note && h("small", {}, note))));
}

export function meter(ratio, label, tone) {
  const width = `${Math.min(100, Math.max(0, ratio * 100)).toFixed(1)}%`;
  return h("div", { class: `bar ${tone ?? (ratio > 0.95 ? "bad" : ratio > 0.85 ? "warn" : "")}`, role: "img", "aria-label": label }, h("i", { style: { width } }));
}

// columns: {title, of: row -> cell, kind}; on a phone each row folds into a block
export function table(columns, rows, { caption } = {}) {
  const head = columns.map((column) => h("th", { scope: "col", class: column.kind }, column.plain ? h("span", { class: "visually-hidden" }, column.title) : column.title));
  return h("table", { class: "table fold" }, caption && h("caption", { class: "visually-hidden" }, caption), h("thead", {}, h("tr", {}, head)),
    h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((column) => h("td", { class: column.kind, "data-label": column.label }, column.of(row)))))));
}

export function menu(label, items) {
  const list = h("div", { hidden: true, role: "menu" });
  const opener = iconButton(label, "more", (event) => { event.stopPropagation(); list.hidden ? open() : close(); });
  opener.setAttribute("aria-haspopup", "menu");
  opener.setAttribute("aria-expanded", "false");
  const holder = h("div", { class: "menu" }, opener, list);
  const away = (event) => { if (event.type === "keydown" ? event.key === "Escape" : !holder.contains(event.target)) close(); };
  function open() {
    list.hidden = false;
    const at = opener.getBoundingClientRect(), own = list.getBoundingClientRect();
    const above = at.bottom + own.height + 8 > window.innerHeight && at.top > own.height;
    list.style.setProperty("top", `${above ? at.top - own.height - 4 : at.bottom + 4}px`);
    list.style.setProperty("left", `${Math.max(8, at.right - own.width)}px`);
    opener.setAttribute("aria-expanded", "true");
    list.querySelector("button")?.focus();
    document.addEventListener("click", away);
    document.addEventListener("keydown", away);
    document.addEventListener("scroll", close, { capture: true });
  }
  function close() {
    if (!list.hidden && list.contains(document.activeElement)) opener.focus();
    list.hidden = true;
    opener.setAttribute("aria-expanded", "false");
    document.removeEventListener("click", away);
    document.removeEventListener("keydown", away);
    document.removeEventListener("scroll", close, { capture: true });
  }
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...list.children];
    all[(all.indexOf(document.activeElement) + step + all.length) % all.length]?.focus();
  });
  append(list, items.filter(Boolean).map(([text, symbol, onclick, kind]) =>
    h("button", { type: "button", role: "menuitem", class: kind, onclick: () => { close(); onclick(); } }, icon(symbol), text)));
  return holder;
}

let toasts = null;

export function toast(message, tone = "ok") {
  if (!toasts?.isConnected) document.body.append((toasts = h("div", { class: "toasts" })));
  const shown = notice(message, tone, iconButton("Dismiss", "close", () => shown.remove()));
  toasts.append(shown);
  announce(message?.message ?? message);
  setTimeout(() => shown.remove(), tone === "ok" ? 5000 : 15000);
}

// A dialog with fields; `act(values)` does it, and what it throws is said in the dialog. Resolves to what it returned,
// or to undefined when nothing was done.
export function ask({ title, about, fields = [], submit = "Save", kind = "primary", act, large, body }) {
  return new Promise((resolve) => {
    let result;
    const trouble = h("div", {});
    const go = h("button", { type: "submit", class: `button ${kind}` }, submit);
    const controls = new Map();
    const rows = fields.map((field) => fieldRow(field, controls));
    const form = h("form", { class: "form", method: "dialog" }, about && h("p", { class: "muted" }, words(about)), body, rows, trouble,
      h("div", { class: "buttons" }, h("button", { type: "button", class: "button", onclick: () => dialog.close() }, act ? "Cancel" : "Close"), act && go));
    const id = `dialog-${Math.random().toString(36).slice(2)}`;
    const dialog = h("dialog", { class: large ? "large" : "", "aria-labelledby": id }, h("h2", { id }, title), form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!act || go.disabled) return;
      go.disabled = true;
      swap(trouble);
      try {
        result = (await act(Object.fromEntries([...controls].map(([name, control]) => [name, valueOf(control)])), dialog)) ?? true;
        dialog.close();
      } catch (problem) {
        swap(trouble, notice(problem));
        go.disabled = false;
      }
    });
    dialog.addEventListener("close", () => { dialog.remove(); resolve(result); });
    document.body.append(dialog);
    dialog.showModal();
    (controls.values().next().value ?? dialog.querySelector("button"))?.focus();
  });
}

const valueOf = (control) => (control.type === "checkbox" ? control.checked : control.type === "file" ? control.files[0] : control.value);

function fieldRow(field, controls) {
  const id = `field-${field.name}-${Math.random().toString(36).slice(2)}`;
  const { name, label, hint, options, ...attributes } = field;
  const described = hint ? `${id}-hint` : undefined;
  const control = options
    ? h("select", { id, name, "aria-describedby": described, required: attributes.required }, options.map(([value, text]) => h("option", { value, selected: value === attributes.value }, text)))
    : h("input", { id, name, "aria-describedby": described, autocomplete: "off", ...attributes });
  controls.set(name, control);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, hint && h("small", { id: described }, hint));
}

export const confirm = (title, about, submit, act) => ask({ title, about, submit, kind: "danger primary", act });

export function show(title, body, large = true) {
  return ask({ title, body, large });
}

export function copyable(text, label) {
  const input = h("input", { readonly: true, value: text, "aria-label": label, onfocus: (event) => event.target.select() });
  const copy = button("Copy", { symbol: "copy", onclick: async () => {
    input.select();
    if (navigator.clipboard) await navigator.clipboard.writeText(text).catch(() => {});
    else document.execCommand("copy");
    announce("Copied");
    copy.lastChild.textContent = "Copied";
  } });
  return h("div", { class: "copy" }, input, copy);
}
